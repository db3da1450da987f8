"""Runs of tiny models: records hold what was decoded and scored, whatever the batch, and survive interruptions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from harness import arms, engine, mini, run, wallclock
from harness.arms import Arm
from harness.benchmarks import BENCHMARKS, benchmark
from harness.engine import load
from harness.prompts import prompt_ids
from harness.results import ArmFile, Record, Timing, read
from harness.run import run_grid
from tests.harness.conftest import save_tiny_models

NAME = "gsm8k-mini"
COUNT = 3
BUDGET = 20


@pytest.fixture(scope="module", autouse=True)
def short_budget() -> Iterator[None]:
    """Random models never stop: a few tokens are enough of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), max_new_tokens=BUDGET))
        yield


@pytest.fixture(scope="module")
def finished(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder with the records and timings of all arms; read only."""
    folder = tmp_path_factory.mktemp("results")
    assert run_grid(all_arms(tiny_weights), folder, COUNT, 2, "cpu", "test") == len(arms.ROWS) * COUNT
    turns = len(arms.SAMPLINGS) * COUNT * wallclock.REPEATS
    assert wallclock.measure_grid(all_arms(tiny_weights), folder, COUNT, "cpu", "test") == turns
    return folder


def arm(weights: Path, loss: str = "sbd", sampling: str = "SBD gamma_low") -> Arm:
    return Arm(
        model="llama-mini", loss=loss, sampling=sampling, benchmark=NAME, checkpoint=weights / "llama-mini" / loss
    )


def all_arms(weights: Path) -> list[Arm]:
    return [arm(weights, loss, sampling) for loss, sampling in arms.ROWS]


def records(one: Arm, results: Path) -> list[Record]:
    return list(read(one.path(results), Record))


def without_time(entries: Sequence[Record]) -> list[Record]:
    return [dataclasses.replace(entry, seconds={}, batch_rows=0) for entry in entries]


def test_records_hold_what_was_decoded_counted_and_scored(tiny_weights: Path, finished: Path) -> None:
    problems = mini.test_problems(NAME, COUNT)
    for one in all_arms(tiny_weights):
        loaded = load(one.checkpoint, "cpu", {one.decoding.decoding})
        for entry, problem in zip(records(one, finished), problems, strict=True):
            assert entry.item_id == problem.item_id
            assert entry.run_id == one.run_id
            assert entry.text == loaded.tokenizer.decode(entry.generated_ids, skip_special_tokens=True)
            score = mini.score(problem, entry.text)
            assert (entry.correct, entry.extracted, entry.error) == (score.correct, score.extracted, score.error)
            tokens = len(entry.generated_ids)
            assert 1 <= tokens <= BUDGET and min(entry.seconds.values()) > 0
            if one.sampling == "NTP":
                prompt = prompt_ids(loaded.tokenizer, problem.prompt)[None]
                mask = {"suppress_tokens": [loaded.tokenizer.convert_tokens_to_ids("<|mask|>")]}
                oracle = loaded.model.generate(prompt, do_sample=False, max_new_tokens=BUDGET, **mask)[
                    0, prompt.shape[1] :
                ]
                assert entry.generated_ids == oracle.tolist()
                assert entry.nfe_decode == tokens == entry.nfe["ar"] + entry.nfe["prefill"]
            else:
                assert entry.nfe_decode == entry.nfe["block"] + entry.nfe["fused"] + entry.nfe["verify"]
                assert (entry.nfe["verify"] > 0) == (one.sampling == arms.VERIFIED)
                assert entry.nfe["ar"] == 0 and entry.block_size == 16


def test_a_second_run_makes_nothing_and_a_larger_one_only_the_rest(tiny_weights: Path, tmp_path: Path) -> None:
    one = arm(tiny_weights)
    assert run_grid([one], tmp_path, 2, 2, "cpu", "test") == 2
    before = one.path(tmp_path).read_bytes()
    assert run_grid([one], tmp_path, 2, 2, "cpu", "test") == 0
    assert one.path(tmp_path).read_bytes() == before
    assert run_grid([one], tmp_path, 3, 2, "cpu", "test") == 1
    assert one.path(tmp_path).read_bytes().startswith(before)
    runs = json.loads((one.path(tmp_path).parent / "manifest.json").read_text(encoding="utf-8"))["runs"]
    assert [entry["problems"] for entry in runs] == [2, 1]
    assert runs[0]["configuration"] == one.configuration and runs[0]["threads"] == torch.get_num_threads()


def test_batch_size_changes_no_record(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64: a random model is so undecided that float32's rounding, which the batch changes, tips some tokens."""
    monkeypatch.setattr(engine, "DTYPE", "float64")
    one = arm(tiny_weights)
    for size in (1, COUNT):
        run_grid([one], tmp_path / str(size), COUNT, size, "cpu", "test")
    assert without_time(records(one, tmp_path / "1")) == without_time(records(one, tmp_path / f"{COUNT}"))


def test_an_interrupted_run_loses_the_batch_in_flight_and_goes_on(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, entry, calls = arm(tiny_weights), benchmark(NAME), []

    def press_ctrl_c_in_the_second_batch(pairs: Sequence[tuple[mini.Problem, str]]) -> Sequence[mini.Score]:
        calls.append(len(pairs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return entry.score(pairs)

    with monkeypatch.context() as patch:
        patch.setitem(BENCHMARKS, NAME, dataclasses.replace(entry, score=press_ctrl_c_in_the_second_batch))
        with pytest.raises(KeyboardInterrupt):
            run_grid([one], tmp_path / "a", COUNT, 2, "cpu", "test")
    assert len(records(one, tmp_path / "a")) == 2
    assert run_grid([one], tmp_path / "a", COUNT, 2, "cpu", "test") == 1
    run_grid([one], tmp_path / "b", COUNT, 2, "cpu", "test")
    assert without_time(records(one, tmp_path / "a")) == without_time(records(one, tmp_path / "b"))


def test_a_problem_that_cannot_be_decoded_costs_only_itself(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = mini.test_problems(NAME, 3)
    long = dataclasses.replace(problems[1], prompt=problems[1].prompt * 40)
    given = [problems[0], long, problems[2]]
    monkeypatch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), problems=lambda n: given[:n]))
    one = arm(tiny_weights)
    run_grid([one], tmp_path, 3, 3, "cpu", "test")
    good, bad, last = records(one, tmp_path)
    assert bad.error is not None and bad.error.startswith("decoding failed: prompt of") and "512 positions" in bad.error
    assert (bad.correct, bad.generated_ids, bad.stop_reason, bad.nfe_decode) == (False, [], "error", 0)
    assert good.error is None or "decoding" not in good.error
    assert last.nfe_decode > 0


def test_other_weights_or_settings_or_problems_are_refused(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = arm(tiny_weights)
    run_grid([one], tmp_path, 1, 1, "cpu", "test")
    other = dataclasses.replace(one, checkpoint=tiny_weights / "llama-mini" / "ntp")
    with pytest.raises(ValueError, match="other weights or settings"):
        run_grid([other], tmp_path, 1, 1, "cpu", "test")
    first = mini.test_problems(NAME, 1)[0]
    changed = dataclasses.replace(first, prompt=first.prompt + " ")
    with monkeypatch.context() as patch:
        patch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), problems=lambda n: [changed]))
        with pytest.raises(ValueError, match="holds 'Gsm8kMini/0' with another prompt"):
            run_grid([one], tmp_path, 1, 1, "cpu", "test")
    monkeypatch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), max_new_tokens=25))
    with pytest.raises(ValueError, match="other weights or settings"):
        run_grid([one], tmp_path, 1, 1, "cpu", "test")


def test_run_id_depends_on_every_setting() -> None:
    base = {"gamma_nats": 0.1, "weights_hash": "a", "stop": []}
    ids = {arms.run_id(base | change) for change in ({}, {"gamma_nats": 0.2}, {"weights_hash": "b"}, {"stop": ["x"]})}
    assert len(ids) == 4
    assert arms.run_id(dict(reversed(base.items()))) == arms.run_id(base)


def test_checkpoints_that_cannot_serve_are_refused_before_any_record(tmp_path: Path) -> None:
    weights = save_tiny_models(tmp_path / "weights", positions=32)
    with pytest.raises(ValueError, match="has 32 positions, but even the shortest prompt of gsm8k-mini"):
        run_grid([arm(weights)], tmp_path, 2, 2, "cpu", "test")
    (weights / "llama-mini" / "sbd" / "sbd_config.json").unlink()
    arms.weights_hash.cache_clear()
    with pytest.raises(ValueError, match="has no sbd_config.json"):
        run_grid([arm(weights)], tmp_path, 2, 2, "cpu", "test")
    with pytest.raises(ValueError, match=r"no weights \(\*\.safetensors\)"):
        run_grid([arm(tmp_path / "nowhere")], tmp_path, 2, 2, "cpu", "test")
    assert not list(tmp_path.glob("mini/**/*.jsonl"))


def test_timings_take_turns_and_resume(tiny_weights: Path, finished: Path, tmp_path: Path) -> None:
    everything = all_arms(tiny_weights)
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = wallclock.timing_path(tmp_path, everything[1])
    lines = list(read(path, Timing))
    arms_timed = len(arms.SAMPLINGS)
    starts = range(0, len(lines), arms_timed)
    turns = [[line.sampling for line in lines[start : start + arms_timed]] for start in starts]
    assert all(sorted(turn) == sorted(arms.SAMPLINGS) for turn in turns)
    assert {turn[0] for turn in turns} == set(arms.SAMPLINGS)
    for line in lines:
        assert 0 < line.prefill_seconds < line.total_seconds
        assert line.prefill_seconds + line.decode_seconds == pytest.approx(line.total_seconds, rel=0.5)
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-5]) + b"\n")
    assert wallclock.measure_grid(everything, tmp_path, COUNT, "cpu", "test") == 4
    group = [one for one in everything if one.loss == "sbd"]
    assert len(ArmFile(path, Timing, wallclock.group_id(group)).lines) == len(lines)


def test_timings_say_where_their_tokens_went(tiny_weights: Path, finished: Path) -> None:
    everything = all_arms(tiny_weights)
    known = {
        (entry.sampling, entry.item_id): (len(entry.generated_ids), entry.nfe_decode)
        for one in everything if one.loss == "sbd" for entry in records(one, finished)
    }  # fmt: skip
    for line in read(wallclock.timing_path(finished, everything[1]), Timing):
        assert (line.tokens, line.nfe_decode) == known[line.sampling, line.item_id]


def test_a_checkpoint_is_loaded_once_for_its_arms(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def counting(checkpoint: Path, device: str, decodings: set[str]) -> object:
        loaded.append(checkpoint.name)
        return load(checkpoint, device, decodings)

    monkeypatch.setattr(run, "load", counting)
    run_grid(all_arms(tiny_weights), tmp_path, 1, 1, "cpu", "test")
    assert loaded == ["ntp", "sbd"]

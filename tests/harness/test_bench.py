"""What harness.bench times: that each arm does what its name says, that turns are fair, and the command as a whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import sbd
from harness.bench import baselines, decode, graphs, kernel, slowdown, subject, throughput, training, turns
from harness.bench.options import BenchOptions
from harness.bench.turns import Case
from harness.results import ArmFile, Measurement, read
from sbd.masks import block_mask
from sbd.model import load
from sbd.roofline import ModelShape
from sbd.training import tiles
from sbd.training.config import TrainingConfig
from sbd.training.trainer import install_objective

TINY = ModelShape(name="tiny", layers=3, hidden=32, ffn=64, heads=4, head_dim=8, kv_heads=2, vocab=99, tied=True)
CPU = torch.device("cpu")


def tiny_subject(layers: int | None = None) -> subject.Subject:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(subject.SHAPES, "tiny", TINY)
        patch.setitem(subject.SCALES, "tiny", "small")
        return subject.build_random("tiny", layers, CPU, torch.float32)


def case(arm: str, seen: list[str], **setting: int) -> Case:
    return Case(arm=arm, setting=setting, run=lambda: seen.append(arm) or {"done": 1})


def test_every_round_runs_all_and_every_arm_comes_first_in_turn() -> None:
    cases = [case(arm, [], prompt=prompt) for prompt in range(2) for arm in "abc"]
    firsts = []
    for number in range(3):
        taken = turns.order(cases, number)
        assert sorted(map(id, taken)) == sorted(map(id, cases))
        assert [c.setting["prompt"] for c in taken] == [0, 0, 0, 1, 1, 1]
        firsts.append(taken[0].arm)
    assert sorted(firsts) == ["a", "b", "c"]


def test_measuring_goes_on_where_it_stopped(tmp_path: Path) -> None:
    seen: list[str] = []
    cases = [case("a", seen, n=1), case("b", seen, n=1)]

    def sheet() -> turns.Sheet:
        return turns.Sheet(file=ArmFile(tmp_path / "x.jsonl", Measurement, "id"), scale="mini", model="m", bench="b")

    assert turns.measure(cases, sheet(), 1, CPU, warm=cases[:1]) == 2 and seen == ["a", "a", "b"]
    assert turns.measure(cases, sheet(), 3, CPU, warm=[]) == 4
    assert turns.measure(cases, sheet(), 3, CPU, warm=cases) == 0 and len(seen) == 7
    kept = list(read(tmp_path / "x.jsonl", Measurement))
    assert {line.key for line in kept} == {f"{arm}/n=1/{number}" for arm in "ab" for number in range(3)}
    assert all(line.seconds > 0 and line.counts["done"] == 1 and "cpu_seconds" in line.counts for line in kept)


def test_a_cost_is_taken_once_and_repeats_are_averaged(tmp_path: Path) -> None:
    calls: list[int] = []
    one = Case(arm="a", setting={}, run=lambda: calls.append(1) or {}, repeat=4, cost=lambda: {"peak_bytes": 5})
    sheet = turns.Sheet(file=ArmFile(tmp_path / "x.jsonl", Measurement, "id"), scale="mini", model="m", bench="b")
    turns.measure([one], sheet, 2, CPU, warm=[])
    assert len(calls) == 8
    assert ["peak_bytes" in line.counts for line in sheet.file.lines.values()] == [True, False]


def test_a_turn_may_begin_off_the_clock() -> None:
    seen: list[str] = []
    settled = Case(arm="a", setting={}, run=lambda: seen.append("a") or {}, repeat=2, settle=True)
    turns.timed(settled, CPU)
    assert len(seen) == 3


@pytest.fixture(scope="module")
def real(varied_checkpoint: Path) -> subject.Subject:
    return subject.load_subject(BenchOptions(model=str(varied_checkpoint), device="cpu"))


def test_transformers_arms_decode_what_our_autoregression_decodes(real: subject.Subject) -> None:
    prompt = subject.prompts_of(real, BenchOptions(model=".", prompts=1))[0]
    prompt = subject.Prompt(ids_L=prompt.ids_L, new_tokens=12, gamma_low=0.1)
    found = baselines.usable(real, prompt, compiled=False)
    assert [baseline.name for baseline in found] == ["hf-dynamic", "hf-static", "hf-lookup"]
    made = {c.arm: c.run() for c in decode.cases(real, [prompt], found)}
    assert {made[name]["checksum"] for name in ("ar", "verified", "hf-dynamic", "hf-static", "hf-lookup")} == {
        made["ar"]["checksum"]
    }
    assert made["ar"]["nfe_decode"] == made["ar"]["tokens"] and "nfe_decode" not in made["hf-static"]
    assert made["sbd"]["nfe_fused"] + made["sbd"]["nfe_block"] == made["sbd"]["nfe_decode"]


def test_time_beside_the_model_is_what_its_forward_does_not_take(real: subject.Subject) -> None:
    prompt = subject.Prompt(ids_L=torch.tensor([5, 6, 7]), new_tokens=6, gamma_low=0.1)
    (ar, *_) = decode.cases(real, [prompt], [])
    hooks = (len(real.model._forward_hooks), len(real.model._forward_pre_hooks))
    assert 0 < ar.cost()["beside_model"] < 1
    assert hooks == (len(real.model._forward_hooks), len(real.model._forward_pre_hooks))

    def slow() -> dict[str, float]:
        real.model(input_ids=prompt.ids_L[None])
        return {"prefill_seconds": 5.0, "decode_seconds": 5.0}

    assert decode.beside_model(real, slow)["beside_model"] > 0.5, "ten seconds, and the model took a part of one"


def test_a_baseline_that_cannot_run_is_left_out(real: subject.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no compiler\nat all")

    prompt = subject.Prompt(ids_L=torch.tensor([5, 6]), new_tokens=2, gamma_low=0.1)
    monkeypatch.setattr(real.model, "generate", broken)
    with pytest.warns(UserWarning, match="hf-compiled is left out: no compiler"):
        assert baselines.usable(real, prompt, compiled=True) == []


def test_random_weights_are_paced() -> None:
    made = tiny_subject()
    prompts = subject.prompts_of(made, BenchOptions(shape="smollm2-135m", prompts=2, prompt_tokens=5, new_tokens=32))[
        :1
    ]
    prompts = [subject.Prompt(ids_L=prompts[0].ids_L % 98, new_tokens=32, gamma_low=0.1)]
    runs = {c.arm: c.run() for c in decode.cases(made, prompts, [])}
    assert {arm: run["nfe_decode"] for arm, run in runs.items()} == {
        "ar": 32, "sbd-topk2": 16, "sbd-topk4": 8, "sbd-topk8": 4
    }  # fmt: skip


def test_throughput_decodes_every_prompt_in_batches(real: subject.Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [subject.Prompt(ids_L=torch.tensor([9 + i, 6, 7]), new_tokens=4, gamma_low=0.1) for i in range(3)]
    calls: list[tuple[int, int | None, bool]] = []
    original = sbd.generate

    def generate(model: Any, ids: Any, *, max_rows: int | None = None, refill: bool = True, **rest: Any) -> Any:
        calls.append((len(ids), max_rows, refill))
        return original(model, ids, max_rows=max_rows, refill=refill, **rest)

    monkeypatch.setattr(sbd, "generate", generate)
    cases = throughput.cases(real, prompts, (2,))
    runs = {c.arm: c.run() for c in cases}
    assert set(runs) == {f"{name} {how}" for name in ("ar", "sbd", "verified") for how in ("lock-step", "refilled")}
    assert calls == [(3, 2, False), (3, 2, True)] * 3
    assert runs["ar lock-step"]["tokens"] == runs["ar refilled"]["tokens"]
    assert [c.cost()["differing"] for c in cases] == [0] * 6, "in float32, with these few tokens"
    assert ["tie_nats" in c.cost() for c in cases] == [True, True, False, False, True, True]


def test_a_prompt_that_a_batch_answers_differently_is_counted_with_its_tie(real: subject.Subject) -> None:
    prompt = subject.Prompt(ids_L=torch.tensor([9, 6, 7]), new_tokens=4, gamma_low=0.1)
    load = throughput.Load(subject=real, prompts=[prompt], batch=1, refill=True, arguments={"decoding": "ar"})
    load.run()
    assert load.last is not None
    changed = load.last.tokens[0].clone()
    right, changed[2] = int(changed[2]), (changed[2] + 1) % 50
    load.last = dataclasses.replace(load.last, tokens=[changed])
    with torch.no_grad():
        logits_V = real.model(input_ids=torch.cat([prompt.ids_L, changed[:2]])[None]).logits[0, -1]
    gap = abs(float(logits_V[right] - logits_V[changed[2]]))
    assert load.compare() == {"differing": 1, "tie_nats": pytest.approx(gap)}


def test_forwards_have_their_widths_and_leave_the_model_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny_subject(layers=2)
    assert made.name == "tiny-random-2of3" and made.shape.layers == 2 and made.full_layers == 3
    calls: list[tuple[tuple[int, ...], int, int, int]] = []
    original = slowdown.forward

    def watched(model: Any, cache: Any, ids: torch.Tensor, *, block: int, keep: int, **rest: Any) -> torch.Tensor:
        calls.append((tuple(ids.shape), block, keep, model.config.num_hidden_layers))
        assert cache.length_B.tolist() == [6] * len(ids) and rest["span"] == 6 + ids.shape[1]
        assert rest["whole"] == (ids.shape[1] != 8), "the fused forward has causal tokens"
        return original(model, cache, ids, block=block, keep=keep, **rest)

    monkeypatch.setattr(slowdown, "forward", watched)
    cases = slowdown.cases(made, (2,), (4,), (6,))
    assert [c.arm for c in cases] == ["one", "one-rest", "block", "block-rest", "fused", "fused-rest"]
    for c in cases:
        c.run()
    assert calls == [
        ((2, tokens), block, keep, layers)
        for tokens, block, keep in ((1, 0, 1), (4, 4, 4), (8, 4, 4)) for layers in (2, 0) for _ in range(cases[0].inner)
    ]  # fmt: skip
    with pytest.raises(KeyError), slowdown.depth(made, 0):
        raise KeyError
    assert made.model.config.num_hidden_layers == 2


@pytest.mark.parametrize("objective", ["ntp", "sbd"])
def test_a_step_has_the_loss_of_training(objective: str, real: subject.Subject, varied_checkpoint: Path) -> None:
    config = sbd.SBDConfig.read(varied_checkpoint)
    batch = training.batch_of(2, 21, objective, config.mask_token_id, real.shape.vocab, CPU)
    mine = training.loss_of(real.model, batch, training.Way(objective=objective)).detach()
    whole = training.loss_of(real.model, batch, training.Way(objective=objective, chunked=False)).detach()
    trained = load(varied_checkpoint, device="cpu")
    install_objective(trained, TrainingConfig(output="", data=[], model="x", objective=objective))
    ntp, matp = trained(
        ids=batch.ids_BT, layout=batch.layout, ntp_labels=batch.ntp_labels_BL, matp_labels=batch.matp_labels
    )
    assert float(mine) == pytest.approx((ntp + matp).item(), rel=1e-5)
    assert float(whole) == pytest.approx(float(mine), rel=1e-5)
    assert (objective == "sbd") == (matp.item() > 0)


@pytest.mark.parametrize("length", [16, 21])
def test_areas_count_the_mask(length: int) -> None:
    k = training.BLOCK_SIZE
    clean = length * (length + 1) // 2
    past = sum(i // k * k for i in range(length))
    own = sum(min(k, length - i // k * k) for i in range(length))
    sbd_batch = training.batch_of(2, length, "sbd", 0, 50, CPU)
    assert training.areas(sbd_batch, 64) == {
        "tokens": 2 * length, "positions": 4 * length, "area": clean + past + own,
        "tiled_area": 64**2, "square": 4 * length**2,
    }  # fmt: skip
    assert training.areas(training.batch_of(1, length, "ntp", 0, 50, CPU), 64)["area"] == clean


def test_tiled_areas_are_those_that_are_computed() -> None:
    batch = training.batch_of(1, 192, "sbd", 0, 50, CPU)
    blocks = block_mask(batch.layout)
    full = 0 if blocks.full_kv_num_blocks is None else int(blocks.full_kv_num_blocks.sum())
    flex, ours = training.SPARSE_BLOCK["cuda"], training.SPARSE_BLOCK["cpu"]
    assert training.areas(batch, flex)["tiled_area"] == (int(blocks.kv_num_blocks.sum()) + full) * flex**2
    assert training.areas(batch, ours)["tiled_area"] == tiles.TiledMask(batch.layout, torch.float32).area


def test_every_attention_computes_the_same_loss(real: subject.Subject, varied_checkpoint: Path) -> None:
    mask_id = sbd.SBDConfig.read(varied_checkpoint).mask_token_id
    batch = training.batch_of(2, 90, "sbd", mask_id, real.shape.vocab, CPU)
    model, losses = real.model, {}
    for attention in ("sdpa", tiles.NAME):
        model.config._attn_implementation = attention
        way = training.Way(objective="sbd", attention=attention)
        losses[attention] = float(training.loss_of(model, batch, way).detach())
    model.config._attn_implementation = "sdpa"
    assert losses[tiles.NAME] == pytest.approx(losses["sdpa"], rel=1e-5)


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def step() -> None:
        a = torch.ones(250_000)
        b = a + 1
        del a
        torch.cat([b, b])

    assert training.peak_bytes(step, CPU) == pytest.approx(3_000_000, abs=1000)  # b, and the two of them joined


def test_both_kernels_read_the_same() -> None:
    logits = 3 * torch.randn(7, 301, generator=torch.Generator().manual_seed(0))
    for mine, theirs in zip(kernel.ours(logits), kernel.eager(logits), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_captured_forward_gives_what_the_eager_one_gives() -> None:
    x, y = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda")
    replay = graphs.captured(lambda: y.copy_(2 * x), torch.cuda.graph_pool_handle())
    x.fill_(5)
    replay()
    assert y.tolist() == [10, 10, 10]


@pytest.mark.gpu
@NEEDS_CUDA
def test_forwards_of_a_real_model_can_be_captured() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(subject.SHAPES, "tiny", TINY)
        patch.setitem(subject.SCALES, "tiny", "small")
        made = subject.build_random("tiny", None, torch.device("cuda"), torch.bfloat16)
    cases = slowdown.cases(made, (2,), (4,), (6,))
    assert [c.arm for c in cases] == ["one", "one-graph", "block", "block-graph", "fused", "fused-graph"]
    for c in cases:
        c.run()


def test_profiles_of_each_arm_are_traces(tmp_path: Path) -> None:
    cases = [Case(arm="add", setting={}, run=lambda: {"x": float(torch.ones(3).sum())})]
    trace, table = turns.save_profiles(cases, tmp_path, CPU)
    assert trace.name == "add.json.gz" and trace.read_bytes()[:2] == b"\x1f\x8b"
    assert "aten::sum" in table.read_text()


def test_shapes_become_the_models_they_name() -> None:
    assert subject.random_config(subject.SHAPES["qwen3-8b"], 2).model_type == "qwen3"
    config = subject.random_config(subject.SHAPES["llama-3.1-8b"], 2)
    assert (config.model_type, config.num_hidden_layers, config.vocab_size) == ("llama", 2, 128256)
    assert config.to_dict()["intermediate_size"] == 14336

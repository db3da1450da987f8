"""Steps recorded once and replayed: here by a recorder that keeps the step's Python work, on CUDA by graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd import generate
from sbd.decode import _engine, engine_kind
from sbd.engine import Engine
from sbd.graphs import Capture, Graphs, Work
from sbd.rows import Settings

Build = Callable[..., PreTrainedModel]
WAYS: dict[str, dict[str, Any]] = {
    "ar": {"decoding": "ar"},
    "sbd": {"gamma": 6.0, "block_size": 5},
    "verified": {"gamma": 6.0, "block_size": 5, "verify": True},
}


def keep(work: Work) -> Work:
    """Record a step as the very work it was: on replay it must find all that changes in storage that never moves."""
    return work


def run(
    model: PreTrainedModel, prompts: list[Tensor], capture: Capture | None, runs: int = 1, **options: Any
) -> tuple[Engine, list[list[int]]]:
    settings = Settings(max_new_tokens=30, mask_id=60, suppressed_ids=(60,), eos_ids=(3,), **options)
    with torch.inference_mode():
        engine = engine_kind(settings)(model, settings, count=2, longest=12, capture=capture)
        for _ in range(runs):
            engine.run(model, prompts)
    return engine, [answer.tokens for answer in engine.seats.answers]


def storage(engine: Engine) -> dict[str, int]:
    """Return the address of every tensor that outlives a step."""
    tensors = {name: value for name, value in vars(engine.rows).items() if isinstance(value, Tensor)}
    tensors |= {"length": engine.cache.length_B, "report": engine.report_BS}
    for layer, (keys, values) in engine.cache._storage.items():
        tensors |= {f"keys {layer}": keys, f"values {layer}": values}
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


@pytest.mark.parametrize("way", WAYS)
def test_replayed_steps_give_the_same_answers(tiny: Build, prompts: list[Tensor], way: str) -> None:
    model = tiny("llama")
    engine, plain = run(model, prompts, None, **WAYS[way])
    assert engine.graph_report() is None
    engine, replayed = run(model, prompts, keep, **WAYS[way])
    assert replayed == plain
    report = engine.graph_report()
    decoding = [forward for forward in engine.forwards if forward.kind != "prefill"]
    assert report is not None and report.refused is None
    assert report.hits + report.misses == len(decoding) and report.hits > report.misses
    k = engine.width
    assert {width for _, width, _ in report.captured} <= ({k, 2 * k} if way != "ar" else {1})
    assert {(rows, span) for rows, _, span in report.captured} == {(2, engine.cache.capacity)}


@pytest.mark.parametrize("way", WAYS)
def test_storage_never_moves_and_serves_later_calls(tiny: Build, prompts: list[Tensor], way: str) -> None:
    model = tiny("llama")
    engine, first = run(model, prompts, keep, **WAYS[way])
    before, captured = storage(engine), dict(engine.graphs.replays)
    with torch.inference_mode():
        engine.run(model, prompts[::-1])
    assert storage(engine) == before
    assert [answer.tokens for answer in engine.seats.answers] == first[::-1]
    assert captured.items() <= engine.graphs.replays.items()
    report = engine.graph_report()
    assert report is not None and report.hits >= len(engine.forwards) - 6 - report.misses > report.misses


def test_an_engine_recovers_from_a_run_that_was_broken_off(tiny: Build, prompts: list[Tensor]) -> None:
    def break_off(prompt: int, tokens: list[int]) -> int | None:
        if len(tokens) > 10:
            raise KeyboardInterrupt
        return None

    model = tiny("llama")
    engine, expected = run(model, prompts, keep, **WAYS["sbd"])
    with torch.inference_mode():
        with pytest.raises(KeyboardInterrupt):
            engine.run(model, prompts, find_stop=break_off)
        engine.run(model, prompts[:1])
    assert [answer.tokens for answer in engine.seats.answers] == expected[:1]
    assert "model" not in vars(engine)
    assert engine.rows.live_B.tolist() == [False, False]


def test_a_model_that_cannot_be_recorded_still_decodes(tiny: Build, prompts: list[Tensor]) -> None:
    def refuse(work: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing\nmore about it")

    plain = run(tiny("llama"), prompts, None, **WAYS["sbd"])[1]
    engine, answers = run(tiny("llama"), prompts, refuse, **WAYS["sbd"])
    report = engine.graph_report()
    assert answers == plain and report is not None and report.hits == 0
    assert report.refused == "operation not permitted when stream is capturing"


def test_steps_run_then_are_recorded_then_replayed() -> None:
    log: list[str] = []

    def capture(work: Work) -> Work:
        log.append("recorded")
        return lambda: log.append("replayed")

    graphs = Graphs(capture)
    for step in ("a", "a", "b", "a", "b"):
        graphs.run(step, lambda: log.append("run"))
    assert log == ["run", "recorded", "replayed", "run", "replayed", "recorded", "replayed"]
    assert (graphs.hits, graphs.misses) == (1, 4)
    graphs.begin()
    graphs.run("b", lambda: log.append("run"))
    assert (graphs.hits, graphs.misses) == (1, 0)


def test_spans_are_rounded_only_where_steps_are_recorded() -> None:
    assert [Graphs(None).span(need, 5000) for need in (1, 300, 4999)] == [1, 300, 4999]
    spans = [Graphs(keep).span(need, 5000) for need in range(1, 5001)]
    assert sorted(set(spans)) == [256, 512, 1024, 2048, 4096, 5000]
    assert all(need <= span for need, span in enumerate(spans, 1))


def test_no_engine_is_kept_without_a_cuda_device(tiny: Build, prompts: list[Tensor]) -> None:
    settings = Settings(decoding="ar")
    with torch.inference_mode():
        first, second = (_engine(tiny("llama"), settings, 2, 9, True) for _ in range(2))
    assert first is not second and first.graphs.capture is None
    assert generate(tiny("llama"), prompts, decoding="ar", max_new_tokens=3).ledger.graphs is None

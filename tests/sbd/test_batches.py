"""Prompts that take turns in the rows of a batch: every answer is that of its prompt alone, and is charged as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd import Generation, engine, generate
from sbd.model import forward, new_cache

Build = Callable[..., PreTrainedModel]
WAYS: dict[str, dict[str, Any]] = {
    "ar": {"decoding": "ar"},
    "sbd": {"gamma": 6.0, "block_size": 5},
    "verified": {"gamma": 6.0, "block_size": 5, "verify": True},
}
BUDGET = 22


@pytest.fixture(scope="module")
def many() -> list[Tensor]:
    """Return nine prompts of different lengths."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(0, 60, (length,), generator=generator) for length in (5, 1, 12, 8, 3, 20, 2, 7, 9)]


@pytest.fixture(scope="module")
def options(tiny: Build, many: list[Tensor]) -> dict[str, dict[str, Any]]:
    """Return how to decode in each way so that answers end at different times."""
    ways = {}
    for way, how in WAYS.items():
        free = generate(tiny("qwen3"), many, max_new_tokens=BUDGET, **how).tokens
        ends = {int(free[row][at]) for row, at in ((0, 3), (2, 9), (4, 14), (5, 6))}
        ways[way] = {"max_new_tokens": BUDGET, "eos_token_id": sorted(ends), **how}
    return ways


def answers(out: Generation) -> list[tuple]:
    """Return all that must not depend on the batch: tokens, end and forwards of every prompt."""
    nfe = [{kind: counts[row] for kind, counts in out.ledger.nfe.items()} for row in range(len(out.tokens))]
    return list(zip([tokens.tolist() for tokens in out.tokens], out.stop_reason, nfe, strict=True))


@pytest.fixture(scope="module")
def alone(tiny: Build, many: list[Tensor], options: dict) -> dict[str, list[tuple]]:
    """Return the answers to the prompts one at a time."""
    return {way: [answers(generate(tiny("qwen3"), [prompt], **options[way]))[0] for prompt in many] for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("max_rows", "refill"), [(3, True), (3, False), (1, True), (8, True)])
def test_every_answer_is_that_of_its_prompt_alone(
    tiny: Build, many: list[Tensor], options: dict, alone: dict, way: str, max_rows: int, refill: bool
) -> None:
    assert len({len(tokens) for tokens, _, _ in alone[way]}) > 3  # rows end at different times
    out = generate(tiny("qwen3"), many, max_rows=max_rows, refill=refill, **options[way])
    assert answers(out) == alone[way]
    assert out.ledger.batch_rows == max_rows


@pytest.mark.parametrize("way", WAYS)
def test_the_ledger_counts_the_prefill_of_waiting_prompts(
    tiny: Build, many: list[Tensor], options: dict, way: str
) -> None:
    refilled, lockstep = (
        generate(tiny("qwen3"), many, max_rows=3, refill=refill, **options[way]).ledger for refill in (True, False)
    )
    for ledger in (refilled, lockstep):
        prefills = [f.rows for f in ledger.forwards if f.kind == "prefill"]
        assert sum(prefills) == sum(ledger.nfe["prefill"]) == len(many) - (way == "verified")  # one of a single token
        busy = sum(f.rows for f in ledger.forwards if f.kind != "prefill")
        assert busy == sum(sum(ledger.nfe[kind]) for kind in ledger.nfe if kind != "prefill")
        assert ledger.seconds_prefill > 0 and ledger.seconds_decode > 0
    assert [f.kind for f in lockstep.forwards].count("prefill") == 3
    steps = [sum(f.kind != "prefill" for f in ledger.forwards) for ledger in (refilled, lockstep)]
    assert steps[0] < steps[1]  # since rows are not left empty


def test_the_batch_stays_full_while_prompts_wait(tiny: Build, many: list[Tensor], options: dict) -> None:
    out = generate(tiny("qwen3"), many, max_rows=4, **options["ar"])
    kinds = [f.kind for f in out.ledger.forwards]
    last = len(kinds) - 1 - kinds[::-1].index("prefill")
    assert kinds[:last].count("prefill") > 1
    assert {f.rows for f in out.ledger.forwards[:last] if f.kind == "ar"} == {4}


def test_prompts_that_end_at_once_make_room(tiny: Build, many: list[Tensor]) -> None:
    out = generate(tiny("llama"), many, max_rows=2, decoding="ar", max_new_tokens=1)
    assert [f.kind for f in out.ledger.forwards] == ["prefill"] * 5
    assert answers(out) == [answers(generate(tiny("llama"), [p], decoding="ar", max_new_tokens=1))[0] for p in many]


@pytest.mark.parametrize("way", WAYS)
def test_waiting_prompts_are_prefilled_in_chunks(
    tiny: Build, many: list[Tensor], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"max_rows": 2, "max_new_tokens": 6} | WAYS[way]
    whole = generate(tiny("llama"), many, **options)
    monkeypatch.setattr(engine, "PREFILL_CHUNK", 4)
    parts = generate(tiny("llama"), many, **options)
    assert [t.tolist() for t in parts.tokens] == [t.tolist() for t in whole.tokens]
    fed = [len(prompt) - (way == "verified") for prompt in many]
    assert parts.ledger.nfe["prefill"] == [-(-length // 4) for length in fed]


def test_stop_strings_ask_about_the_prompt_not_the_row(tiny: Build, many: list[Tensor]) -> None:
    from sbd.decode import Batching, decode
    from sbd.rows import Settings

    def find_stop(prompt: int, tokens: list[int]) -> int | None:
        return prompt + 1 if len(tokens) > prompt else None

    settings = Settings(decoding="ar", max_new_tokens=20)
    free = decode(tiny("llama"), many, settings).tokens
    out = decode(tiny("llama"), many, settings, batching=Batching(max_rows=2), find_stop=find_stop)
    assert [t.tolist() for t in out.tokens] == [t[: i + 1].tolist() for i, t in enumerate(free)]
    assert out.stop_reason == ["stop_string"] * 9
    assert out.ledger.nfe["ar"] == list(range(9))  # the device's row is ended as well


@pytest.mark.parametrize("max_rows", [0, -3])
def test_a_batch_needs_a_row(tiny: Build, many: list[Tensor], max_rows: int) -> None:
    with pytest.raises(ValueError, match=f"max_rows is {max_rows}; it must be at least 1"):
        generate(tiny("llama"), many, max_rows=max_rows, max_new_tokens=5)


def test_a_forward_of_some_rows_leaves_the_others_alone(tiny: Build) -> None:
    model, generator = tiny("llama"), torch.Generator().manual_seed(4)
    old, new, more = (torch.randint(0, 60, (3, width), generator=generator) for width in (6, 4, 3))
    cache = new_cache(model, 3, 32)
    forward(model, cache, old, block=0, keep=1)
    cache.commit(torch.full((3,), 6))
    row = torch.tensor([2, 0])
    cache.clear(row)
    forward(model, cache, new[row], block=0, keep=1, real_B=torch.tensor([4, 3]), span=4, row_R=row)
    cache.commit(torch.tensor([4, 3]))
    assert cache.length_B.tolist() == [3, 6, 4]
    logits = forward(model, cache, more, block=3, keep=3)
    for row_index, past in enumerate((new[0, 1:], old[1], new[2])):
        fresh = new_cache(model, 1, 32)
        forward(model, fresh, past.unsqueeze(0), block=0, keep=1)
        fresh.commit(torch.tensor([len(past)]))
        expected = forward(model, fresh, more[row_index : row_index + 1], block=3, keep=3)[0]
        torch.testing.assert_close(logits[row_index], expected, rtol=0, atol=1e-10)

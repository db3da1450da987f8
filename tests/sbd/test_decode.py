"""The engine against a naive decoder without cache, batch or vectorised sampler, and transformers' greedy search."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd import engine, generate
from sbd.masks import CLEAN, Layout, dense_mask

KINDS = ("llama", "qwen2", "qwen3", "mistral", "gpt2")
MASK = 60
Build = Callable[..., PreTrainedModel]


@contextmanager
def seen_by(model: PreTrainedModel) -> Iterator[list[tuple[int, Tensor]]]:
    """Collect (width, logits) of every call of the model's forward."""
    calls: list[tuple[int, Tensor]] = []
    hook = model.register_forward_hook(
        lambda module, args, kwargs, output: calls.append((kwargs["input_ids"].shape[1], output.logits)),
        with_kwargs=True,
    )
    try:
        yield calls
    finally:
        hook.remove()


def uncached_logits(model: PreTrainedModel, past: list[int], block: list[int]) -> Tensor:
    """Return (k, V): one full forward over clean past and noisy block with the mask of Fig. 10."""
    ids = torch.tensor([past + block])
    noisy = torch.tensor([[False] * len(past) + [True] * len(block)])
    pos = torch.arange(len(past) + len(block)).unsqueeze(0)
    layout = Layout(torch.zeros_like(pos), pos, noisy.long(), torch.where(noisy, 1, CLEAN))
    mask = dense_mask(layout, model.dtype)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask, position_ids=pos, use_cache=False)
    return out.logits[0, len(past) :]


def naive(
    model: PreTrainedModel, prompt: Tensor, k: int, gamma: float, budget: int, eos: int | None
) -> tuple[list[int], list[Tensor]]:
    """Alg. 2 one row, one uncached forward at a time; return the new tokens and the block logits of every forward."""
    done: list[int] = []
    seen: list[Tensor] = []
    while True:
        block = [MASK] * k
        while MASK in block[: budget - len(done)]:
            logits = uncached_logits(model, prompt.tolist() + done, block)
            seen.append(logits)
            logits = logits.clone()
            logits[:, MASK] = float("-inf")
            p = torch.distributions.Categorical(logits=logits)
            masked = sorted((float(p.entropy()[i]), i) for i in range(min(k, budget - len(done))) if block[i] == MASK)
            spent = 0.0
            for entropy, i in masked:
                if spent > gamma:
                    break
                block[i] = int(logits[i].argmax())
                spent += entropy
            gapless = block[: block.index(MASK)] if MASK in block else block
            if eos in gapless:
                return done + gapless[: gapless.index(eos) + 1], seen
        done += block[: budget - len(done)]
        if len(done) == budget:
            return done, seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "gamma"), [(4, 6.0), (7, 0.0), (16, 30.0)])
def test_batched_cached_sbd_equals_the_naive_decoder(
    tiny: Build, prompts: list[Tensor], kind: str, k: int, gamma: float
) -> None:
    model = tiny(kind)
    out = generate(model, prompts, block_size=k, gamma=gamma, max_new_tokens=18)
    for row, prompt in enumerate(prompts):
        tokens, forwards = naive(model, prompt, k, gamma, 18, None)
        assert out.tokens[row].tolist() == tokens
        assert out.ledger.nfe_decode(row) == len(forwards)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
def test_cached_logits_equal_one_uncached_forward(
    tiny: Build, prompts: list[Tensor], kind: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = tiny(kind, dtype)
    with seen_by(model) as calls:
        generate(model, [prompts[0]], block_size=4, gamma=5.0, max_new_tokens=14)
    forwards = naive(model, prompts[0], 4, 5.0, 14, None)[1]
    assert [width for width, _ in calls[1:]].count(8) == 3  # blocks 2 to 4 start with a fused forward
    for (_, cached), uncached in zip(calls[1:], forwards, strict=True):
        torch.testing.assert_close(cached[0], uncached, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_ar_equals_transformers_greedy_search(tiny: Build, prompts: list[Tensor], kind: str, side: str) -> None:
    model = tiny(kind)
    expected = []
    for prompt in prompts:
        ids = prompt.unsqueeze(0)
        full = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=20,
            suppress_tokens=[MASK],
            pad_token_id=0,
        )
        expected.append(full[0, len(prompt) :].tolist())
    padded = torch.full((len(prompts), 12), 3)
    mask = torch.zeros_like(padded)
    for row, prompt in enumerate(prompts):
        at = slice(12 - len(prompt), 12) if side == "left" else slice(0, len(prompt))
        padded[row, at], mask[row, at] = prompt, 1
    out = generate(model, padded, attention_mask=mask, decoding="ar", max_new_tokens=20)
    assert [tokens.tolist() for tokens in out.tokens] == expected
    assert [out.ledger.nfe_decode(row) for row in range(4)] == [20] * 4
    assert torch.equal(out.sequences[:, :12], padded)


@pytest.mark.parametrize("decoding", ["sbd", "ar"])
def test_a_row_does_not_depend_on_its_batch(tiny: Build, prompts: list[Tensor], decoding: str) -> None:
    model = tiny("qwen3")
    eos = most_common(generate(model, prompts, decoding=decoding, gamma=6.0, block_size=5, max_new_tokens=40).tokens)
    settings = {"decoding": decoding, "gamma": 6.0, "block_size": 5, "max_new_tokens": 40, "eos_token_id": eos}
    together = generate(model, prompts, **settings)
    assert len({len(tokens) for tokens in together.tokens}) > 1  # rows end at different times
    for row, prompt in enumerate(prompts):
        alone = generate(model, [prompt], **settings)
        assert torch.equal(alone.tokens[0], together.tokens[row])
        assert alone.stop_reason[0] == together.stop_reason[row]
        assert {kind: counts[0] for kind, counts in alone.ledger.nfe.items()} == {
            kind: counts[row] for kind, counts in together.ledger.nfe.items()
        }


def test_eager_attention_takes_the_same_mask(tiny: Build, prompts: list[Tensor]) -> None:
    model, settings = tiny("qwen3"), {"gamma": 6.0, "block_size": 5, "max_new_tokens": 20}
    expected = generate(model, prompts, **settings).tokens
    model.set_attn_implementation("eager")
    try:
        tokens = generate(model, prompts, **settings).tokens
    finally:
        model.set_attn_implementation("sdpa")
    assert [row.tolist() for row in tokens] == [row.tolist() for row in expected]


def most_common(tokens: list[Tensor]) -> int:
    """Return a token that many rows hold, but not at their start: an interesting end."""
    counts = torch.stack([torch.bincount(row[3:], minlength=MASK) > 0 for row in tokens]).sum(dim=0)
    first = torch.stack([torch.bincount(row[:3], minlength=MASK) > 0 for row in tokens]).sum(dim=0)
    return int((counts - 2 * first).argmax())


def test_gamma_0_reveals_one_token_per_forward(tiny: Build, prompts: list[Tensor]) -> None:
    out = generate(tiny("llama"), prompts, gamma=0.0, block_size=8, max_new_tokens=21)
    assert [out.ledger.nfe_decode(row) for row in range(4)] == [21] * 4
    assert out.tokens_per_forward.tolist() == [1.0] * 4


def test_unbounded_gamma_takes_one_forward_per_block(tiny: Build, prompts: list[Tensor]) -> None:
    out = generate(tiny("llama"), prompts, gamma=float("inf"), block_size=8, max_new_tokens=21)
    assert out.ledger.nfe == {"prefill": [1] * 4, "fused": [2] * 4, "block": [1] * 4, "verify": [0] * 4, "ar": [0] * 4}
    assert [(f.kind, f.width) for f in out.ledger.forwards] == [
        ("prefill", 12),
        ("block", 8),
        ("fused", 16),
        ("fused", 16),
    ]


@pytest.mark.parametrize("decoding", ["sbd", "ar"])
def test_the_ledger_holds_the_forwards_the_model_saw(tiny: Build, prompts: list[Tensor], decoding: str) -> None:
    model = tiny("gpt2")
    with seen_by(model) as calls:
        ledger = generate(model, prompts, decoding=decoding, gamma=6.0, block_size=6, max_new_tokens=30).ledger
    assert [forward.width for forward in ledger.forwards] == [width for width, _ in calls]
    assert all(forward.seconds > 0 for forward in ledger.forwards)
    for row in range(4):
        kinds = [kind for kind, counts in ledger.nfe.items() for _ in range(counts[row])]
        assert len(kinds) <= len(calls)
    busiest = max(sum(counts[row] for counts in ledger.nfe.values()) for row in range(4))
    assert busiest == len(calls)  # some row took part in every forward


def test_rows_start_their_next_block_while_others_fill_theirs(tiny: Build, prompts: list[Tensor]) -> None:
    ledger = generate(tiny("qwen3"), prompts, gamma=6.0, block_size=5, max_new_tokens=40).ledger
    totals = [ledger.nfe_decode(row) for row in range(4)]
    assert len(set(totals)) > 1
    assert sum(forward.kind != "prefill" for forward in ledger.forwards) == max(totals)  # no row waits for another


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_block_that_holds_the_end_is_not_paid_for_further(tiny: Build, prompts: list[Tensor], kind: str) -> None:
    model = tiny(kind)
    cheaper = 0
    for prompt in prompts:
        whole, forwards = naive(model, prompt, 8, 3.0, 24, None)
        for eos in {whole[1], whole[5], whole[12]}:
            out = generate(model, [prompt], gamma=3.0, block_size=8, max_new_tokens=24, eos_token_id=[eos, 59])
            tokens, needed = naive(model, prompt, 8, 3.0, 24, eos)
            if 59 not in tokens:
                assert out.tokens[0].tolist() == tokens
                assert out.stop_reason == ["eos"] and out.tokens[0][-1] == eos
                assert out.ledger.nfe_decode(0) == len(needed)
                cheaper += len(needed) < len(forwards)
    assert cheaper > 0


@pytest.mark.parametrize("decoding", ["sbd", "ar"])
def test_prefill_in_chunks_changes_nothing(
    tiny: Build, prompts: list[Tensor], decoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama")
    settings = {"decoding": decoding, "gamma": 6.0, "block_size": 4, "max_new_tokens": 13}
    whole = generate(model, prompts, **settings)
    monkeypatch.setattr(engine, "PREFILL_CHUNK", 5)
    parts = generate(model, prompts, **settings)
    assert [t.tolist() for t in parts.tokens] == [t.tolist() for t in whole.tokens]
    assert parts.ledger.nfe["prefill"] == [1, 1, 3, 2]
    assert [parts.ledger.nfe_decode(row) for row in range(4)] == [whole.ledger.nfe_decode(row) for row in range(4)]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("decoding", ["sbd", "ar"])
def test_the_mask_token_is_never_emitted(
    tiny: Build, prompts: list[Tensor], decoding: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("qwen2")
    bias = torch.zeros(61, dtype=torch.float64)
    bias[MASK] = 100.0
    hook = model.lm_head.register_forward_hook(lambda module, args, output: output + bias)
    try:
        out = generate(
            model, prompts, decoding=decoding, temperature=temperature, gamma=5.0, block_size=4, max_new_tokens=12,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
    finally:
        hook.remove()
    assert all(len(tokens) == 12 and MASK not in tokens for tokens in out.tokens)


def test_sampling_repeats_with_its_generator(tiny: Build, prompts: list[Tensor]) -> None:
    first, second, other = (
        generate(
            tiny("llama"), prompts, temperature=1.0, gamma=5.0, block_size=4, max_new_tokens=12,
            generator=torch.Generator().manual_seed(seed),
        ).sequences
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_sampled_ar_tokens_follow_the_model(tiny: Build) -> None:
    model, count = tiny("llama"), 4000
    prompt = torch.tensor([5, 6, 7])
    out = generate(
        model, prompt.expand(count, -1), decoding="ar", temperature=2.0, max_new_tokens=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        logits = model(input_ids=prompt.unsqueeze(0)).logits[0, -1]
    logits[MASK] = float("-inf")
    share = torch.bincount(torch.cat(out.tokens), minlength=61) / count
    assert (share - (logits / 2).softmax(dim=0)).abs().max() < 4.5 * (0.25 / count) ** 0.5

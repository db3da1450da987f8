"""Verified decoding against AR, against a naive decoder that counts its forwards, and against exact enumeration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import pytest
import torch
from scipy.stats import chi2, chisquare, ncx2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from sbd import generate, verified
from sbd.config import SBDConfig
from sbd.masks import CLEAN, Layout, dense_mask
from sbd.verified import REUSE

KINDS = ("llama", "qwen2", "qwen3", "mistral", "gpt2")
MASK = 60
INF = float("inf")
Build = Callable[..., PreTrainedModel]


def ar(model: PreTrainedModel, prompts: list[Tensor], **options: object) -> list[list[int]]:
    return [tokens.tolist() for tokens in generate(model, prompts, decoding="ar", **options).tokens]


def whole(model: PreTrainedModel, prompts: list[Tensor], count: int) -> list[list[int]]:
    """Return each prompt with AR's next `count` tokens."""
    answers = ar(model, prompts, max_new_tokens=count)
    return [prompt.tolist() + answer for prompt, answer in zip(prompts, answers, strict=True)]


@contextmanager
def drafting(
    model: PreTrainedModel, truth: list[list[int]], rows: list[int], every: int, head_too: bool = False
) -> Iterator[list[int]]:
    """Let the model draft `truth` (prompt + completion of each row), but wrongly at one position in `every`.

    Only the logits of masks change; the next-token head stays the model's own, or says `truth` whatever came before
    (`head_too`). `rows` are those that the batch holds.
    Yields the widths of the forwards seen.
    """
    widths: list[int] = []

    def hook(module: object, args: object, kwargs: dict[str, Tensor], output: object) -> None:
        ids, logits = kwargs["input_ids"], output.logits
        widths.append(ids.shape[1])
        first = ids.shape[1] - logits.shape[1]
        for row, column in ((ids[:, first:] == MASK) | head_too).nonzero().tolist():
            mask = ids[row, first + column] == MASK
            place = int(kwargs["position_ids"][row, first + column] + ~mask)
            wanted = truth[rows[row]][min(place, len(truth[rows[row]]) - 1)]
            wrong = mask and (place * 7 + rows[row]) % every == 0
            logits[row, column] = 0.0
            logits[row, column, (wanted + wrong) % MASK] = 3.0 + place * 0.618 % 5  # no two alike

    handle = model.register_forward_hook(hook, with_kwargs=True)
    try:
        yield widths
    finally:
        handle.remove()


def block_logits(model: PreTrainedModel, past: list[int], block: list[int]) -> Tensor:
    """Return (k, V): one uncached forward over clean past and noisy block with the mask of Fig. 10."""
    pos = torch.arange(len(past) + len(block)).unsqueeze(0)
    noisy = pos >= len(past)
    layout = Layout(torch.zeros_like(pos), pos, noisy.long(), torch.where(noisy, 1, CLEAN))
    mask = dense_mask(layout, model.dtype)
    with torch.no_grad():
        ids = torch.tensor([past + block])
        return model(input_ids=ids, attention_mask=mask, position_ids=pos, use_cache=False).logits[0, len(past) :]


def reveal(
    model: PreTrainedModel, past: list[int], block: list[int], room: int, gamma: float, head: int | None = None
) -> None:
    """Fill positions of the block by Eq. 8 from one forward, only the first `room`; `head` takes the first for free."""
    logits = block_logits(model, past, block)
    logits[:, MASK] = -INF
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    if head is not None:
        block[0] = head
    spent = 0.0
    for cost, i in sorted((float(entropy[i]), i) for i in range(min(room, len(block))) if block[i] == MASK):
        if spent > gamma:
            break
        block[i] = int(logits[i].argmax())
        spent += cost


def head(model: PreTrainedModel, tokens: list[int], first: int) -> list[int]:
    """Return the next-token head's choices after the tokens from index `first` on."""
    pos = torch.arange(len(tokens)).unsqueeze(0)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens]), position_ids=pos, use_cache=False).logits[0, first:]
    logits[:, MASK] = -INF
    return logits.argmax(dim=-1).tolist()


def naive(
    model: PreTrainedModel, prompt: list[int], answer: list[int], k: int, gamma: float, budget: int, eos: list[int]
) -> dict[str, int]:
    """Count the forwards by kind, one row at a time without cache; what the head says is read off AR's answer."""
    count = {"fused": 0, "verify": 0, "stale": 0, "rejections": 0}
    text, at = prompt + answer, len(prompt) - 1
    block = [text[at]] + [MASK] * (k - 1)
    while True:
        room = len(prompt) - 1 + budget - at
        gapless = block[: block.index(MASK)] if MASK in block[:room] else block[:room]
        end = next((i for i in range(1, len(gapless)) if gapless[i] in eos), None)
        draft = gapless if end is None else gapless[: end + 1]
        fed = len(draft) - (end is not None)
        agreed = next((i for i in range(1, len(draft)) if draft[i] != text[at + i]), len(draft))
        last, whole = end is not None or fed == room, agreed == len(draft)
        count["verify" if last else "fused"] += 1
        count["stale"] += not last and not whole
        count["rejections"] += not whole
        at += min(agreed, fed)
        if at == len(text) - 1:
            return count
        wrong = draft[agreed + 1 :]
        run = 0
        if wrong and not last:
            said = head(model, text[: at - agreed] + draft, at)
            run = next((i for i, token in enumerate(wrong) if token != said[i]), len(wrong))
        if whole and not last:
            block = block[fed:] + [MASK] * fed  # what the sampler revealed behind a gap stays drafted
            reveal(model, text[:at], block, room - fed, gamma, head=text[at])
        else:
            known = [text[at], *wrong[: run if run >= REUSE else 0]]
            block = known + [MASK] * (k - len(known))


def counted(model: PreTrainedModel, prompts: list[Tensor], **options: object) -> list[dict[str, int]]:
    """Return the rows' forwards by kind, and check the tokens against AR."""
    out = generate(model, prompts, verify=True, **options)
    expected = generate(model, prompts, decoding="ar", **{k: v for k, v in options.items() if k in SHARED})
    assert [tokens.tolist() for tokens in out.tokens] == [tokens.tolist() for tokens in expected.tokens]
    assert out.stop_reason == expected.stop_reason
    assert (out.tokens_per_forward >= 1).all()  # never more forwards than AR
    drafts = out.ledger.verification
    assert drafts is not None and bool((drafts.accepted <= drafts.checked).all())
    lost = {"stale": drafts.stale.tolist(), "rejections": drafts.rejections.tolist()}
    assert (drafts.checked - drafts.accepted).sum(dim=1).tolist() == lost["rejections"]
    return [{kind: (out.ledger.nfe | lost)[kind][row] for kind in COUNTED} for row in range(len(prompts))]


SHARED = ("max_new_tokens", "eos_token_id", "stop_strings", "tokenizer")
COUNTED = ("fused", "verify", "stale", "rejections")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "gamma", "ends"), [(4, 6.0, 0), (7, INF, 20), (16, 0.0, 3), (1, 0.1, 2), (2, INF, 3)])
def test_random_models_give_ar_and_the_naive_count(
    tiny: Build, prompts: list[Tensor], kind: str, k: int, gamma: float, ends: int
) -> None:
    model, eos = tiny(kind), list(range(7, 7 + ends))
    options = {"max_new_tokens": 14, "eos_token_id": eos}
    counts = counted(model, prompts, block_size=k, gamma=gamma, **options)
    for row, answer in enumerate(ar(model, prompts, **options)):
        assert counts[row] == naive(model, prompts[row].tolist(), answer, k, gamma, 14, eos)


@pytest.mark.parametrize(
    ("k", "gamma", "every"), [(4, 0.2, 3), (8, INF, 4), (8, 0.9, 9), (5, 0.0, 1000), (8, INF, 1000)]
)
def test_good_drafts_give_ar_and_the_naive_count(
    tiny: Build, prompts: list[Tensor], k: int, gamma: float, every: int
) -> None:
    model, rows = tiny("llama"), [0, 1, 2, 3]
    truth = whole(model, prompts, 30)
    for eos in ([], [truth[0][12], truth[2][33]]):
        options = {"max_new_tokens": 26, "eos_token_id": eos}
        answers = ar(model, prompts, **options)
        with drafting(model, truth, rows, every) as widths:
            together = counted(model, prompts, block_size=k, gamma=gamma, **options)
            for row, prompt in enumerate(prompts):
                rows[:] = [row]
                assert together[row] == naive(model, prompt.tolist(), answers[row], k, gamma, 26, eos)
                assert counted(model, [prompt], block_size=k, gamma=gamma, **options) == [together[row]]
            rows[:] = [0, 1, 2, 3]
        assert widths


@pytest.mark.parametrize(("k", "gamma", "every"), [(16, INF, 5), (12, INF, 8), (16, 1.0, 11), (8, INF, 5)])
def test_what_stands_behind_a_wrong_token_is_used_again(
    tiny: Build, prompts: list[Tensor], k: int, gamma: float, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows, generator = tiny("qwen3"), [0, 1, 2, 3], torch.Generator().manual_seed(5)
    truth = torch.randint(0, MASK, (4, 50), generator=generator).tolist()
    prompts = [torch.tensor(row[: len(prompt)]) for row, prompt in zip(truth, prompts, strict=True)]
    with drafting(model, truth, rows, every, head_too=True):
        together = counted(model, prompts, block_size=k, gamma=gamma, max_new_tokens=30)
        for row, prompt in enumerate(prompts):
            rows[:] = [row]
            answer = truth[row][len(prompt) : len(prompt) + 30]
            assert together[row] == naive(model, prompt.tolist(), answer, k, gamma, 30, [])
    with monkeypatch.context() as patch, drafting(model, truth, [0, 1, 2, 3], every, head_too=True):
        patch.setattr(verified, "REUSE", k)
        forgetful = counted(model, prompts, block_size=k, gamma=gamma, max_new_tokens=30)
    fused, without = (sum(counts["fused"] for counts in batch) for batch in (together, forgetful))
    assert fused < without or (k, gamma) not in ((16, INF), (12, INF))


def test_perfect_drafts_take_one_forward_a_block(tiny: Build, prompts: list[Tensor]) -> None:
    model = tiny("qwen3")
    truth = whole(model, prompts, 33)
    with drafting(model, truth, [0, 1, 2, 3], 1000) as widths:
        out = generate(model, prompts, verify=True, gamma=INF, block_size=8, max_new_tokens=33)
    assert out.ledger.nfe["prefill"] == [1, 0, 1, 1] and out.ledger.nfe["block"] == [0] * 4
    assert out.ledger.nfe["fused"] == [4] * 4 and out.ledger.nfe["verify"] == [1] * 4
    assert [(f.kind, f.width) for f in out.ledger.forwards] == [("prefill", 11), *[("fused", 16)] * 4, ("verify", 8)]
    assert [forward.width for forward in out.ledger.forwards] == widths
    assert out.tokens_per_forward.tolist() == pytest.approx([33 / 5] * 4)
    assert out.ledger.verification is not None
    assert out.ledger.verification.acceptance.isnan().tolist() == [True] + [False] * 7
    assert set(out.ledger.verification.acceptance[1:].tolist()) == {1.0}


def test_wrong_drafts_of_one_row_cost_the_others_nothing(tiny: Build, prompts: list[Tensor]) -> None:
    """Rollback of one row, again and again, while the others go on: tokens and forwards stay those of a row alone."""
    model, rows = tiny("llama"), [0, 1, 2, 3]
    truth = whole(model, prompts, 30)
    truth[2] = [(token + 1) % MASK for token in truth[2]]
    with drafting(model, truth, rows, 1000):
        together = counted(model, prompts, gamma=INF, block_size=6, max_new_tokens=24)
        for row in (0, 1, 3):
            assert together[row] == {"fused": 4, "verify": 1, "stale": 0, "rejections": 0}
    # Wrong drafts alone cost what AR costs: 24 tokens, 24 forwards. Every second one checks a draft, and rejects it.
    assert together[2] == {"fused": 21, "verify": 3, "stale": 9, "rejections": 11}


WORDS = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(60)]
"""Texts of the ids 0..59, so that a stop string may span tokens."""


@pytest.mark.parametrize("every", [2, 5, 1000])
def test_stop_strings_end_rows_where_ar_ends_them(tiny: Build, prompts: list[Tensor], every: int) -> None:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*WORDS, "<|mask|>"])}, unk_token="a"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)
    model = tiny("qwen3")
    free = ar(model, prompts, max_new_tokens=25)
    stops = ["".join(WORDS[token] for token in free[row][at : at + 3]) for row, at in ((0, 9), (1, 4), (3, 15))]
    settings = {"max_new_tokens": 20, "stop_strings": stops, "tokenizer": tokenizer}
    ends = [len(answer) for answer in ar(model, prompts, **settings)]
    assert ends[0] <= 12 and ends[1] <= 7 and ends[3] <= 18
    with drafting(model, whole(model, prompts, 25), [0, 1, 2, 3], every):
        counted(model, prompts, gamma=INF, block_size=8, **settings)


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_short_budgets_and_prompts_of_one_token(tiny: Build, budget: int) -> None:
    model, prompts = tiny("mistral"), [torch.tensor([5]), torch.tensor([9])]
    for counts in counted(model, prompts, gamma=INF, block_size=4, max_new_tokens=budget):
        assert 1 <= counts["fused"] + counts["verify"] <= budget
    out = generate(model, prompts, verify=True, max_new_tokens=1)
    assert out.ledger.nfe["prefill"] == [0, 0] and out.ledger.nfe["verify"] == [1, 1]
    assert len(out.ledger.forwards) == 1


def test_suppressed_tokens_are_never_emitted(tiny: Build, prompts: list[Tensor]) -> None:
    model = tiny("qwen2")
    bias = torch.zeros(61, dtype=torch.float64)
    bias[MASK] = 100.0
    hook = model.lm_head.register_forward_hook(lambda module, args, output: output + bias)
    try:
        counted(model, prompts, gamma=6.0, block_size=4, max_new_tokens=12)
        out = generate(model, prompts, verify=True, temperature=1.5, block_size=4, max_new_tokens=12)
    finally:
        hook.remove()
    assert all(len(tokens) == 12 and MASK not in tokens for tokens in out.tokens)


def test_the_default_drafts_a_block_in_one_forward(tiny: Build, prompts: list[Tensor]) -> None:
    default, unbounded, low = (
        generate(tiny("llama"), prompts, verify=True, max_new_tokens=12, **gamma).ledger.nfe
        for gamma in ({}, {"gamma": INF}, {"gamma": 0.1})
    )
    assert default == unbounded != low


def test_verify_is_for_sbd(tiny: Build, prompts: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="verify=True checks SBD's drafts; decoding='ar' makes none"):
        generate(tiny("llama"), prompts, decoding="ar", verify=True)


def small_model(vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        "llama", vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=None, eos_token_id=None, initializer_range=0.4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64, attn_implementation="sdpa").eval()
    model.sbd_config = SBDConfig(mask_token_id=vocabulary - 1)
    return model


def enumerated(model: PreTrainedModel, prompt: list[int], length: int, tokens: int, temperature: float) -> Tensor:
    """Return AR's exact probability of every completion, as (tokens,) * length; token 0 ends one and then pads it."""
    exact = torch.zeros((tokens,) * length, dtype=torch.float64)
    p = {}
    for size in range(length):
        for begin in product(range(1, tokens), repeat=size):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *begin]])).logits[0, -1, :tokens]
            p[begin] = (logits / temperature).softmax(dim=0)
    for completion in product(range(tokens), repeat=length):
        end = completion.index(0) + 1 if 0 in completion else length
        if not any(completion[end:]):
            exact[completion] = torch.stack([p[completion[:i]][completion[i]] for i in range(end)]).prod()
    return exact


def test_sampled_output_has_the_distribution_of_ar() -> None:
    model, prompt, count, drafts = small_model(5), [2, 1, 1], 30000, torch.zeros(2, dtype=torch.long)
    exact, found = enumerated(model, prompt, 3, 4, 1.5), torch.zeros(4, 4, 4, dtype=torch.float64)
    assert float(exact.sum()) == pytest.approx(1.0)
    for seed, gamma in enumerate((0.0, INF, INF, INF)):
        out = generate(
            model, torch.tensor(prompt).expand(count, -1), verify=True, gamma=gamma, block_size=3, max_new_tokens=3,
            temperature=1.5, eos_token_id=0, pad_token_id=0, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        found.index_put_(tuple(out.sequences[:, 3:].T), torch.ones((), dtype=torch.float64), accumulate=True)
        assert out.ledger.verification is not None
        drafts += torch.stack([out.ledger.verification.checked.sum(), out.ledger.verification.accepted.sum()])
    assert 0.2 < drafts[1] / drafts[0] < 0.8  # both ways of choosing a token are exercised
    total = 4 * count
    possible = exact > 0
    assert float(found[~possible].sum()) == 0
    assert chisquare(found[possible], exact[possible] * total).pvalue > 1e-4
    for position in range(3):
        rest = tuple(i for i in range(3) if i != position)
        marginal = exact.sum(dim=rest)
        assert chisquare(found.sum(dim=rest), marginal * total).pvalue > 1e-4
        bias = total * 0.01**2 * float((1 / marginal.topk(2).values).sum())  # 1% moved between the two likeliest tokens
        assert ncx2.sf(chi2.isf(1e-4, 3), 3, bias) > 0.9  # would be noticed

"""The one-pass statistics against a float64 softmax, and draws against their distribution."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbd.kernels import draw, plain, statistics

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-3, torch.float16: 2e-3}


def reference(logits: torch.Tensor, temperature: float, suppressed: list[int]) -> tuple[torch.Tensor, ...]:
    """Return entropy, argmax, confidence and log-sum-exp in float64 through torch's own softmax."""
    x = logits.double() / (temperature or 1.0)
    x[:, suppressed] = float("-inf")
    log_p = x.log_softmax(dim=-1)
    p = log_p.exp()
    entropy = -(p * log_p.where(p > 0, 0.0)).sum(dim=-1)
    return entropy, x.argmax(dim=-1), p.amax(dim=-1), x.logsumexp(dim=-1)


def check(logits: torch.Tensor, temperature: float = 0.0, suppressed: tuple[int, ...] = ()) -> None:
    entropy, argmax, confidence, logsumexp = reference(logits, temperature, list(suppressed))
    got = statistics(logits, temperature=temperature, suppressed_S=torch.tensor(suppressed, dtype=torch.long))
    close = {"rtol": TOLERANCE[logits.dtype], "atol": TOLERANCE[logits.dtype], "check_dtype": False}
    torch.testing.assert_close(got.entropy_N, entropy, **close)
    torch.testing.assert_close(got.confidence_N, confidence, **close)
    torch.testing.assert_close(got.logsumexp_N, logsumexp, **close)
    assert torch.equal(got.argmax_N, argmax)
    assert (got.entropy_N >= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 9), vocabulary=st.integers(3, 300), scale=st.floats(0.01, 50),
    temperature=st.sampled_from([0.0, 0.3, 2.0]), suppressed=st.sets(st.integers(0, 1)),
    dtype=st.sampled_from(list(TOLERANCE)),
)  # fmt: skip
def test_equals_float64_softmax(
    seed: int, rows: int, vocabulary: int, scale: float, temperature: float, suppressed: set[int], dtype: torch.dtype
) -> None:
    logits = torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale
    check(logits.to(dtype), temperature, tuple(suppressed))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_minus_infinity_constant_rows_and_huge_ranges(dtype: torch.dtype) -> None:
    rows = torch.zeros(4, 1001)
    rows[0, 5:] = float("-inf")
    rows[1] = 7.0
    rows[2] = torch.linspace(-3e4, 3e4, 1001)
    rows[3, 17] = 60.0
    check(rows.to(dtype))


def test_near_certain_rows_keep_their_small_entropy() -> None:
    logits = torch.zeros(1, 1000)
    logits[0, 0] = 40.0  # H is about 1000 * 41 e^-40: far below float32's step at 1
    exact = 999 * 41 * math.exp(-40)
    torch.testing.assert_close(statistics(logits).entropy_N.item(), exact, rtol=1e-5, atol=0)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(10, 33, dtype=torch.float64)
    whole = statistics(logits)
    monkeypatch.setattr(plain, "CHUNK_ELEMENTS", 100)
    parts = statistics(logits)
    for name in ("entropy_N", "argmax_N", "confidence_N", "logsumexp_N"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))


def test_the_logits_are_left_alone() -> None:
    logits = torch.randn(3, 7)
    before = logits.clone()
    statistics(logits, temperature=2.0, suppressed_S=torch.tensor([1]))
    draw(logits, temperature=2.0, suppressed_S=torch.tensor([1]))
    assert torch.equal(logits, before)


def test_draws_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 5.0, -1.0])
    temperature, count = 0.7, 40_000
    expected = logits.clone()
    expected[3] = float("-inf")
    expected = (expected / temperature).softmax(dim=0)
    tokens = draw(
        logits.expand(count, -1), temperature=temperature, suppressed_S=torch.tensor([3]),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    share = torch.bincount(tokens, minlength=5) / count
    assert share[3] == 0
    assert (share - expected).abs().max() < 4 * (0.25 / count) ** 0.5  # four standard errors


def test_draws_repeat_with_their_generator() -> None:
    logits = torch.randn(50, 20)
    first, second, other = (
        draw(logits, temperature=1.0, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)

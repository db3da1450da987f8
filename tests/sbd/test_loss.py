"""The chunked cross-entropy against a dense float64 one, value and gradients."""

import pytest
import torch
from torch import nn

from sbd import loss
from sbd.noise import IGNORE


def case(dtype: torch.dtype, bias: bool):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 50, 16, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 37, (3, 50), generator=generator)
    labels[torch.rand(3, 50, generator=generator) < 0.4] = IGNORE
    head = nn.Linear(16, 37, bias=bias, dtype=torch.float64)
    return hidden.to(dtype).requires_grad_(), labels, head.to(dtype)


def gradients(value: torch.Tensor, hidden: torch.Tensor, head: nn.Linear) -> list[torch.Tensor]:
    return list(torch.autograd.grad(value, [hidden, *head.parameters()]))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_equals_dense_reference_with_gradients(monkeypatch, bias, native):
    """Both routes: torch's own chunked operator where there is one, and ours."""
    if native and not hasattr(nn, "LinearCrossEntropyOptions"):
        pytest.skip("this torch has no linear_cross_entropy")
    monkeypatch.setattr(loss, "CHUNK", 7)
    if not native:
        monkeypatch.delattr(nn, "LinearCrossEntropyOptions", raising=False)
    hidden, labels, head = case(torch.float64, bias)
    dense = nn.functional.cross_entropy(
        head(hidden).flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    ours = loss.cross_entropy_sum(hidden, labels, head)
    torch.testing.assert_close(ours, dense, rtol=1e-12, atol=0)
    for actual, expected in zip(gradients(ours, hidden, head), gradients(dense, hidden, head), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_all_logits_never_exist(monkeypatch):
    """No tensor of the graph has as many rows of logits as there are positions."""
    monkeypatch.setattr(loss, "CHUNK", 10)
    monkeypatch.delattr(nn, "LinearCrossEntropyOptions", raising=False)
    hidden, labels, head = case(torch.float32, False)
    sizes = []
    linear = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda *a: sizes.append(len(a[0])) or linear(*a))
    loss.cross_entropy_sum(hidden, labels, head).backward()
    assert max(sizes) == 10 and sum(sizes) == 2 * (labels != IGNORE).sum(), (
        "each carrying position once forward, once again backward"
    )


def test_no_carrying_position_is_zero():
    hidden, labels, head = case(torch.float32, False)
    value = loss.cross_entropy_sum(hidden, torch.full_like(labels, IGNORE), head)
    assert value == 0
    value.backward()
    assert not hidden.grad.any()

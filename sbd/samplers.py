"""Which masked positions of a block to reveal after a forward: EB (Eqs. 8 and 18), Factor, threshold and top-k.

Knows entropies, confidences and which positions are masked; knows nothing of tokens or models. Every rule sorts the
masked positions, best first, and reveals the longest prefix that its bound allows, at least one; ties keep the block's
order.

Shapes: B rows, K positions of a block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Sampler = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(entropy_BK in nats, confidence_BK, masked_BK bool, parameter) -> reveal_BK bool."""


def eb_entropy(entropy_BK: Tensor, confidence_BK: Tensor, masked_BK: Tensor, gamma: float) -> Tensor:
    """Reveal the largest s >= 1 with H_1 + ... + H_{s-1} <= gamma, entropies ascending; gamma in nats (Eq. 8)."""
    order_BK = _order(entropy_BK, masked_BK)
    entropy_sorted_BK = entropy_BK.masked_fill(~masked_BK, 0.0).gather(-1, order_BK)
    before_BK = torch.nn.functional.pad(entropy_sorted_BK[:, :-1].cumsum(-1), (1, 0))  # the s-th entropy is free
    return _reveal_prefix(order_BK, before_BK <= gamma, masked_BK)


def eb_confidence(entropy_BK: Tensor, confidence_BK: Tensor, masked_BK: Tensor, gamma: float) -> Tensor:
    """Reveal the largest s with sum_{j<=s} H_j - max_{j<=s} H_j <= gamma, confidences descending (Eq. 18)."""
    order_BK = _order(-confidence_BK, masked_BK)
    entropy_sorted_BK = entropy_BK.masked_fill(~masked_BK, 0.0).gather(-1, order_BK)
    bound_BK = entropy_sorted_BK.cumsum(-1) - entropy_sorted_BK.cummax(-1).values
    return _reveal_prefix(order_BK, bound_BK <= gamma, masked_BK)


def factor(entropy_BK: Tensor, confidence_BK: Tensor, masked_BK: Tensor, f: float) -> Tensor:
    """Reveal the largest n with (n + 1)(1 - c_n) < f, confidences descending.

    DEVIATION appendix B.1: it prints (n + 1) c_n < f; this is the rule of Wu et al., arXiv 2505.22618.
    """
    order_BK = _order(-confidence_BK, masked_BK)
    rank_K = torch.arange(1, masked_BK.shape[-1] + 1, device=masked_BK.device)
    return _reveal_prefix(order_BK, (rank_K + 1) * (1 - confidence_BK.gather(-1, order_BK)) < f, masked_BK)


def threshold(entropy_BK: Tensor, confidence_BK: Tensor, masked_BK: Tensor, t: float) -> Tensor:
    """Reveal every position with confidence >= t."""
    order_BK = _order(-confidence_BK, masked_BK)
    return _reveal_prefix(order_BK, confidence_BK.gather(-1, order_BK) >= t, masked_BK)


def topk(entropy_BK: Tensor, confidence_BK: Tensor, masked_BK: Tensor, count: float) -> Tensor:
    """Reveal the `count` most confident positions."""
    rank_K = torch.arange(1, masked_BK.shape[-1] + 1, device=masked_BK.device)
    return _reveal_prefix(_order(-confidence_BK, masked_BK), (rank_K <= count).expand_as(masked_BK), masked_BK)


SAMPLERS: dict[str, Sampler] = {
    "eb_entropy": eb_entropy,
    "eb_confidence": eb_confidence,
    "factor": factor,
    "threshold": threshold,
    "topk": topk,
}

RANGES: dict[str, tuple[float, float, str]] = {
    "eb_entropy": (0.0, float("inf"), "gamma >= 0, in nats"),
    "eb_confidence": (0.0, float("inf"), "gamma >= 0, in nats"),
    "factor": (0.0, float("inf"), "a factor f >= 0"),
    "threshold": (0.0, 1.0, "a probability between 0 and 1"),
    "topk": (1.0, float("inf"), "a count >= 1"),
}
"""Lowest and highest parameter of each sampler, and the words for it."""


def check_sampler(name: str, parameter: float) -> None:
    """Raise ValueError unless `name` is a sampler and `parameter` is in its range."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler {name!r} is unknown; choose one of {', '.join(SAMPLERS)}")
    low, high, words = RANGES[name]
    if not low <= parameter <= high:
        raise ValueError(f"gamma is {parameter}, but sampler {name!r} takes {words}")


def _order(key_BK: Tensor, masked_BK: Tensor) -> Tensor:
    """Return (B, K) indices that put the masked positions first, by ascending key."""
    return key_BK.masked_fill(~masked_BK, float("inf")).argsort(dim=-1, stable=True)


def _reveal_prefix(order_BK: Tensor, fits_BK: Tensor, masked_BK: Tensor) -> Tensor:
    """Reveal the sorted positions up to the last rank that fits, at least the first, and none that is not masked."""
    rank_K = torch.arange(1, order_BK.shape[-1] + 1, device=order_BK.device)
    fits_BK = fits_BK & masked_BK.gather(-1, order_BK)
    count_B1 = (fits_BK * rank_K).amax(dim=-1, keepdim=True).clamp(min=1)
    return torch.zeros_like(masked_BK).scatter(-1, order_BK, rank_K <= count_B1) & masked_BK

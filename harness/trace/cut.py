"""How a sampler ranked the masked positions of one forward, and the bound that decided; knows nothing of models.

The rules are those of sbd.samplers, in plain numbers for one row, so that a page can show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One masked position in the sampler's order: its index among the masked ones, and its bound."""

    index: int
    bound: float


BOUNDS: dict[str, tuple[str, str]] = {
    "eb_entropy": ("sum of the entropies before it (nats)", "at most"),
    "eb_confidence": ("sum of the entropies up to it less the largest (nats)", "at most"),
    "factor": ("(rank + 1)(1 - confidence)", "less than"),
    "threshold": ("confidence", "at least"),
    "topk": ("rank", "at most"),
}
"""Sampler -> what its bound is, and how it is held against the sampler's parameter."""


def ranks(sampler: str, entropy_nats: Sequence[float], confidence: Sequence[float]) -> list[Rank]:
    """Return the masked positions, best first, each with the number that is held against the parameter.

    Raises:
        ValueError: for an unknown sampler.

    Source: Eqs. 8 and 18; appendix B.1 for "factor".
    """
    if sampler not in BOUNDS:
        raise ValueError(f"sampler {sampler!r} is unknown; choose one of {', '.join(BOUNDS)}")
    by_entropy = sampler == "eb_entropy"
    key = list(entropy_nats) if by_entropy else [-value for value in confidence]
    order = sorted(range(len(key)), key=key.__getitem__)
    sorted_nats = [entropy_nats[index] for index in order]
    sums, largest = list(accumulate(sorted_nats)), list(accumulate(sorted_nats, max))
    bounds = {
        "eb_entropy": [0.0, *sums[:-1]],
        "eb_confidence": [total - most for total, most in zip(sums, largest, strict=True)],
        "factor": [(rank + 2) * (1 - confidence[index]) for rank, index in enumerate(order)],
        "threshold": [confidence[index] for index in order],
        "topk": [float(rank + 1) for rank in range(len(order))],
    }
    return [Rank(index=index, bound=bound) for index, bound in zip(order, bounds[sampler], strict=False)]

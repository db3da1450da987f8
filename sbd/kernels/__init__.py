"""What a sampler reads from logits, in one pass: entropy, argmax, confidence and log-sum-exp of every row.

Chooses where it is computed: by Triton (`fused`) on a CUDA device, else by torch (`plain`), with the same signature and
the same result up to rounding. Knows nothing of blocks or of which positions are masked.

Shapes: N rows of logits, V vocabulary, S suppressed ids.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from sbd.kernels import plain
from sbd.kernels.plain import Statistics, draw

__all__ = ["Statistics", "draw", "statistics"]

HAS_TRITON = importlib.util.find_spec("triton") is not None
"""Torch's CUDA builds bring Triton along; elsewhere it is optional."""


def statistics(logits_NV: Tensor, *, temperature: float = 0.0, suppressed_S: Tensor | None = None) -> Statistics:
    """Return entropy, argmax, max probability and log-sum-exp of p = softmax(logits / temperature).

    Args:
        logits_NV: any float dtype; accumulated in float32, float64 stays float64; -inf means zero probability.
        temperature: 0 leaves the logits as they are (greedy decoding reads the model's own distribution).
        suppressed_S: int64 ids that get zero probability.

    Source: Eqs. 8 and 18 need H and max p.
    """
    if HAS_TRITON and logits_NV.is_cuda and logits_NV.dtype != torch.float64:
        from sbd.kernels import fused  # only here, so that CPU installs need no Triton

        return fused.statistics(logits_NV, temperature=temperature, suppressed_S=suppressed_S)
    return plain.statistics(logits_NV, temperature=temperature, suppressed_S=suppressed_S)

"""The statistics of logits and draws from them in plain torch, on any device, a few rows at a time.

Knows logits and token ids that must never be emitted; knows nothing of devices or of which positions are masked.

Shapes: N rows of logits, V vocabulary, S suppressed ids, C rows of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22
"""Logits that are held in the accumulation dtype at one time."""

FLOOR = -1e4
"""Lowest log-probability ratio that is told from zero probability: exp(FLOOR) is 0 in every dtype."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Per row: entropy_N in nats, argmax_N (int64), confidence_N = max_v p(v), logsumexp_N of the tempered logits."""

    entropy_N: Tensor
    argmax_N: Tensor
    confidence_N: Tensor
    logsumexp_N: Tensor


def statistics(logits_NV: Tensor, *, temperature: float = 0.0, suppressed_S: Tensor | None = None) -> Statistics:
    """Return entropy, argmax, max probability and log-sum-exp of p = softmax(logits / temperature).

    With m = max x, z = x - m and r = the sum of exp z without the argmax: logsumexp = m + log(1 + r), confidence =
    1 / (1 + r), H = log(1 + r) - (sum z exp z) / (1 + r). Both terms of H are positive, so it keeps its digits near 0.

    Args:
        logits_NV: any float dtype; accumulated in float32, float64 stays float64; -inf means zero probability.
        temperature: 0 leaves the logits as they are (greedy decoding reads the model's own distribution).
        suppressed_S: int64 ids that get zero probability.

    Source: Eqs. 8 and 18 need H and max p.
    """
    rows = logits_NV.shape[0]
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    entropy_N, confidence_N, logsumexp_N = torch.empty(3, rows, dtype=dtype, device=logits_NV.device)
    argmax_N = torch.empty(rows, dtype=torch.long, device=logits_NV.device)
    for at, x_CV in _chunks(logits_NV, temperature, suppressed_S):
        top_C, argmax_N[at] = x_CV.max(dim=-1)
        z_CV = x_CV.sub_(top_C.unsqueeze(-1)).clamp_(min=FLOOR)
        e_CV = z_CV.exp().scatter_(1, argmax_N[at].unsqueeze(-1), 0.0)
        rest_C = e_CV.sum(dim=-1)
        log_C = rest_C.log1p()
        entropy_N[at] = log_C - e_CV.mul_(z_CV).sum(dim=-1) / (1 + rest_C)
        confidence_N[at] = 1 / (1 + rest_C)
        logsumexp_N[at] = top_C + log_C
    return Statistics(entropy_N=entropy_N, argmax_N=argmax_N, confidence_N=confidence_N, logsumexp_N=logsumexp_N)


def draw(
    logits_NV: Tensor,
    *,
    temperature: float,
    suppressed_S: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return (N,) tokens drawn from softmax(logits / temperature) by the Gumbel-max trick.

    Args:
        logits_NV, suppressed_S: as in `statistics`.
        temperature: greater than 0.
        generator: source of the noise, on any device; None takes torch's default generator.
    """
    device = logits_NV.device if generator is None else generator.device
    token_N = torch.empty(logits_NV.shape[0], dtype=torch.long, device=logits_NV.device)
    for at, x_CV in _chunks(logits_NV, temperature, suppressed_S):
        noise_CV = torch.empty(x_CV.shape, dtype=x_CV.dtype, device=device).exponential_(generator=generator)
        noise_CV = noise_CV.clamp_(min=torch.finfo(x_CV.dtype).tiny).log_().to(x_CV.device)
        token_N[at] = x_CV.sub_(noise_CV).argmax(dim=-1)
    return token_N


def _chunks(logits_NV: Tensor, temperature: float, suppressed_S: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of rows with their tempered, suppressed logits, a copy that may be overwritten."""
    rows, vocabulary = logits_NV.shape
    step = max(1, CHUNK_ELEMENTS // vocabulary)
    dtype = torch.promote_types(logits_NV.dtype, torch.float32)
    for start in range(0, rows, step):
        at = slice(start, start + step)
        x_CV = logits_NV[at].to(dtype, copy=True)
        if temperature > 0:
            x_CV.div_(temperature)
        if suppressed_S is not None:
            x_CV.index_fill_(1, suppressed_S, float("-inf"))
        yield at, x_CV

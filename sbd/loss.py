"""The training objectives (Eq. 14): next-token plus masked-token cross-entropy, without ever holding all logits.

Knows hidden states, the output head and labels; knows nothing of how x_hat was made.

Shapes: P positions that carry loss, D hidden size, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sbd.noise import IGNORE

CHUNK = 4096
"""Positions whose logits exist at one time."""


def cross_entropy_sum(hidden: Tensor, labels: Tensor, head: nn.Linear) -> Tensor:
    """Return the summed cross-entropy, in nats, over the positions whose label is not IGNORE.

    Only those positions go through the head, CHUNK at a time; a chunk's logits are made again in the backward pass.

    Args:
        hidden: (..., D) last hidden states.
        labels: (...) token ids or IGNORE.
        head: the output projection, weight (V, D), bias (V) or none.
    """
    carries = labels != IGNORE
    hidden_PD, labels_P = hidden[carries], labels[carries]
    if hasattr(nn, "LinearCrossEntropyOptions") and hidden.requires_grad:  # torch >= 2.13
        return nn.functional.linear_cross_entropy(
            hidden_PD, head.weight, labels_P, linear_bias=head.bias, reduction="sum",
            options=nn.LinearCrossEntropyOptions(batch_chunk_size=CHUNK),
        )  # fmt: skip
    total = hidden_PD.sum() * 0.0
    for hidden_chunk, labels_chunk in zip(hidden_PD.split(CHUNK), labels_P.split(CHUNK), strict=True):
        total = total + checkpoint(_chunk_sum, hidden_chunk, labels_chunk, head.weight, head.bias, use_reentrant=False)
    return total


def _chunk_sum(hidden: Tensor, labels: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = nn.functional.linear(hidden, weight, bias)
    return nn.functional.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="sum"
    )

"""Attention of a decoding forward: query heads that share a key head become more queries of that head.

SDPA's fast kernels take no mask together with shared keys, so transformers copies keys and values once for each query
head, for every forward that is wider than one token. Here the queries move instead, which are few: (H, Q) become
(G, H / G * Q), with the mask repeated. Knows attention's arguments; knows nothing of caches or blocks.

Shapes: B rows, H query heads, G key heads, Q queries, S slots, D head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sbd_shared_keys"


def shared_keys(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Return softmax(q k^T * scaling + mask) v, (B, Q, H, D), as transformers' "sdpa" does, without copying keys.

    A mask that is one number for all slots (stride 0 along S) is left out: softmax does not change with it.

    Args:
        query: (B, H, Q, D). key, value: (B, G, S, D).
        attention_mask: additive, (B, 1, Q, S); or (B, 1, C * Q, S), repeated C times beforehand, H / G as a rule, so
            that not every layer must do it.
    """
    batch, heads, queries, size = query.shape
    shared, mask = heads // key.shape[1], attention_mask
    if mask is None or mask.shape[1] != 1 or options.get("softcap"):
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, **options)
    folded = query.reshape(batch, key.shape[1], shared * queries, size)
    if mask.stride(-1) == 0:
        mask = None
    elif mask.shape[2] != shared * queries:
        mask = mask[:, :, :queries].repeat(1, 1, shared, 1)
    out = scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(batch, heads, queries, value.shape[-1]).transpose(1, 2).contiguous(), None


def query_heads_per_key(config: PreTrainedConfig) -> int:
    """Return H / G of a model; 1 where its configuration knows no shared keys."""
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", 1)
    return max(1, heads // (getattr(text, "num_key_value_heads", None) or heads))


AttentionInterface.register(NAME, shared_keys)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def without_copies(config: PreTrainedConfig) -> Iterator[bool]:
    """Let a model that uses "sdpa" use `shared_keys` meanwhile; gives whether it does."""
    before = config._attn_implementation
    if before != "sdpa":
        yield before == NAME
        return
    config._attn_implementation = NAME
    try:
        yield True
    finally:
        config._attn_implementation = before

"""Who attends to whom in set block decoding: one predicate for training and inference (Figs. 3, 8-10).

Knows nothing of tokens, models or caches: it sees four integers per position.

Shapes: B batch rows, Q query positions, K key positions, N positions of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

CLEAN = 0
"""Stream of the real tokens x; streams 1, 2, ... are independently masked copies x_hat of them."""


@dataclass(frozen=True)
class Layout:
    """Where each position of a batch stands; every field is an integer tensor (B, N).

    Args:
        doc: document a position belongs to, unique within its row; -1 is padding, which is a document of its own.
        pos: position in the document (what the position embedding sees), in tokens.
        block: index of the position's block in its document; any integer, only order and equality matter.
        stream: CLEAN for real tokens, 1, 2, ... for noisy copies.
    """

    doc: Tensor
    pos: Tensor
    block: Tensor
    stream: Tensor

    def __len__(self) -> int:
        return self.doc.shape[1]

    @staticmethod
    def cat(*parts: Layout) -> Layout:
        """Put layouts side by side along the position axis."""
        fields = zip(*((part.doc, part.pos, part.block, part.stream) for part in parts), strict=True)
        return Layout(*(torch.cat(tensors, dim=1) for tensors in fields))


def _rule(
    q_doc: Tensor, q_pos: Tensor, q_block: Tensor, q_stream: Tensor,
    k_doc: Tensor, k_pos: Tensor, k_block: Tensor, k_stream: Tensor,
) -> Tensor:  # fmt: skip
    """Decide elementwise whether a query position may attend to a key position (Fig. 8)."""
    q_clean, k_clean = q_stream == CLEAN, k_stream == CLEAN
    causal = q_clean & k_clean & (k_pos <= q_pos)
    within_block = ~q_clean & (q_stream == k_stream) & (q_block == k_block)
    past_blocks = ~q_clean & k_clean & (k_block < q_block)
    return (q_doc == k_doc) & (causal | within_block | past_blocks)


def allowed(query: Layout, key: Layout) -> Tensor:
    """Return the boolean attention mask (B, Q, K), True where the query may attend to the key.

    clean -> clean is causal; noisy -> noisy stays inside one block of one copy, in both directions; noisy -> clean
    reaches the blocks strictly before; clean -> noisy never happens; nothing crosses documents. Padding attends to
    padding only, so that no row of the mask is empty.

    Source: Figs. 3, 8, 9 (training) and 10 (inference).
    """
    q = (x.unsqueeze(2) for x in (query.doc, query.pos, query.block, query.stream))
    k = (x.unsqueeze(1) for x in (key.doc, key.pos, key.block, key.stream))
    return _rule(*q, *k)


def dense_mask(layout: Layout, dtype: torch.dtype) -> Tensor:
    """Return the additive mask (B, 1, N, N) for scaled-dot-product attention: 0 where allowed, -inf elsewhere."""
    mask = torch.zeros(layout.doc.shape[0], 1, len(layout), len(layout), dtype=dtype, device=layout.doc.device)
    return mask.masked_fill_(~allowed(layout, layout).unsqueeze(1), float("-inf"))


def block_mask(layout: Layout) -> BlockMask:
    """Return the same mask as a FlexAttention BlockMask, whose memory and time follow the mask's true area."""
    from torch.nn.attention.flex_attention import create_block_mask

    doc, pos, block, stream = layout.doc, layout.pos, layout.block, layout.stream

    def mask_mod(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return _rule(
            doc[b, q], pos[b, q], block[b, q], stream[b, q],
            doc[b, k], pos[b, k], block[b, k], stream[b, k],
        )  # fmt: skip

    rows, n = layout.doc.shape
    return create_block_mask(mask_mod, B=rows, H=None, Q_LEN=n, KV_LEN=n, device=str(layout.doc.device))

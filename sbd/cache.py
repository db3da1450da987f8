"""The exact KV cache: fixed storage, per-row lengths, commit and rollback.

A token's slot is its position, so the past of a row is always a prefix of its slots, and the mask of Fig. 10 is a
staircase: each query sees the slots below one limit. Knows keys, values and lengths; knows nothing of token ids.

Shapes: B rows, R rows that take part in a forward (all, unless it says which), Q tokens of one forward, S slots shown
to attention, H heads, D head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the tokens of one forward go and what they see.

    Args:
        slot_RQ: where each token is stored.
        position_RQ: what the position embedding sees: the slot, but never past the model's last position. (Only padding
            and masks behind the token budget can lie there.)
        limit_RQ: each token attends to the slots 0..limit-1; None where all see the whole span.
        span: S, the number of slots that any token of the forward may see.
    """

    slot_RQ: Tensor
    position_RQ: Tensor
    limit_RQ: Tensor | None
    span: int

    def hidden(self) -> Tensor:
        """Return the mask of Fig. 10 as a boolean (R, Q, S), True where a token may NOT attend to a slot."""
        if self.limit_RQ is None:
            return torch.zeros(*self.slot_RQ.shape, self.span, dtype=torch.bool, device=self.slot_RQ.device)
        return torch.arange(self.span, device=self.limit_RQ.device) >= self.limit_RQ.unsqueeze(-1)

    def mask(self, dtype: torch.dtype, copies: int = 1) -> Tensor:
        """Return the same as an additive mask (R, 1, copies * Q, S); one zero, expanded, where nothing is hidden."""
        rows, width = self.slot_RQ.shape
        if self.limit_RQ is None:
            return torch.zeros(1, dtype=dtype, device=self.slot_RQ.device).expand(rows, 1, copies * width, self.span)
        mask = (self.hidden().to(dtype) * torch.finfo(dtype).min).unsqueeze(1)
        return mask if copies == 1 else mask.repeat(1, 1, copies, 1)


class KVCache(Cache):
    """Keys and values of every layer in storage that never moves, handed to the model as `past_key_values`.

    A forward writes its tokens behind each row's length; they count only once they are committed, and the next forward
    overwrites what was not. Rolling a row back only lowers its length.

    Args:
        rows: B.
        capacity: slots of a row; a forward of width Q needs the longest row + Q of them.
        positions: how many positions the model was built for.
        dtype: of the model's activations.
        device: where the lengths live; keys and values live where their layer computes.
        sharing: query heads that read the same keys.
    """

    def __init__(
        self, rows: int, capacity: int, *, positions: int, dtype: torch.dtype, device: torch.device, sharing: int = 1
    ) -> None:
        super().__init__(layers=[])
        self.sharing = sharing
        self.rows, self.capacity, self.positions, self.dtype = rows, capacity, positions, dtype
        self.length_B = torch.zeros(rows, dtype=torch.long, device=device)
        self._storage: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> keys, values: (B, H, capacity, D), slot by slot
        self._index: Tensor | None = None
        self._row_R: Tensor | None = None
        self._span = 0
        self._first_slot_B1 = torch.arange(rows, device=device).unsqueeze(1) * capacity

    def place(
        self, width: int, real_R: Tensor, block: int | Tensor, span: int, row_R: Tensor | None = None, *,
        whole: bool = False,
    ) -> Placement:  # fmt: skip
        """Prepare a forward whose rows end with `real_R` real tokens, the last `block` columns bidirectional.

        Columns before the real tokens are padding: stored behind them, where nobody looks, and seeing one slot only.

        Args:
            width: Q.
            real_R: number of real tokens of each row, 0..width; rows are right-aligned.
            block: columns at the end that see each other in both directions; 0 for a causal forward; (R, 1) where rows
                differ.
            span: S, at least the longest row's length + real tokens, as known on the host.
            row_R: rows that take part; all by default.
            whole: all rows that matter fill the span with tokens that see each other; the mask is then not computed.
        """
        self._span, self._row_R = span, row_R
        length_B1, first_slot_B1 = self.length_B.unsqueeze(1), self._first_slot_B1
        length_R1 = length_B1 if row_R is None else length_B1[row_R]
        first_slot_R1 = first_slot_B1 if row_R is None else first_slot_B1[row_R]
        real_R1 = real_R.unsqueeze(1)
        column_Q = torch.arange(width, device=self.length_B.device)
        offset_RQ = column_Q + (real_R1 - width)
        slot_RQ = length_R1 + offset_RQ.remainder(width)
        limit_RQ = None
        if not whole:
            limit_RQ = torch.where(column_Q >= width - block, length_R1 + real_R1, slot_RQ + 1)
            limit_RQ = limit_RQ.masked_fill(offset_RQ < 0, 1)
        self._index = (slot_RQ + first_slot_R1).flatten()
        position_RQ = slot_RQ.clamp(max=self.positions - 1)
        return Placement(slot_RQ=slot_RQ, position_RQ=position_RQ, limit_RQ=limit_RQ, span=span)

    def commit(self, count_R: Tensor) -> None:
        """Keep the first `count_R` tokens of each row of the last forward."""
        if self._row_R is None:
            self.length_B += count_R
        else:
            self.length_B.index_add_(0, self._row_R, count_R)

    def rollback(self, length_B: Tensor) -> None:
        """Forget everything behind `length_B`; a row that is not longer stays as it is."""
        self.length_B.copy_(torch.minimum(self.length_B, length_B))

    def clear(self, row_R: Tensor) -> None:
        """Forget all of some rows."""
        self.length_B.index_fill_(0, row_R, 0)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's (R, H, Q, D) keys and values at the placed slots; return all (R, H, S, D) of the span."""
        if layer_idx not in self._storage:
            self._storage[layer_idx] = (self._allocate(key_states), self._allocate(value_states))
        assert self._index is not None, "place() comes before every forward"
        keys, values = self._storage[layer_idx]
        return self._write(keys, key_states), self._write(values, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of slots shown to attention in the current forward."""
        return self._span

    def _allocate(self, states: Tensor) -> Tensor:
        heads, size = states.shape[1], states.shape[3]
        return states.new_zeros(self.rows, self.capacity, heads, size).transpose(1, 2)

    def _write(self, storage: Tensor, states: Tensor) -> Tensor:
        index, row_R = self._index, self._row_R
        assert index is not None
        if index.device != storage.device:
            index, row_R = index.to(storage.device), None if row_R is None else row_R.to(storage.device)
        if self.rows == 1:
            storage.index_copy_(2, index, states)
        else:
            storage.transpose(1, 2).flatten(0, 1).index_copy_(0, index, states.transpose(1, 2).flatten(0, 1))
        shown = storage[:, :, : self._span]
        return shown if row_R is None else shown.index_select(0, row_R)

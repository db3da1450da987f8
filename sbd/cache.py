"""The exact KV cache: fixed storage, per-row lengths, commit and rollback.

A token's slot is its position, so the past of a row is always a prefix of its slots, and the mask of Fig. 10 is a
staircase: each query sees the slots below one limit. Knows keys, values and lengths; knows nothing of token ids.

Shapes: B rows, Q tokens of one forward, S slots shown to attention, H heads, D head size.
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
        slot_BQ: where each token is stored.
        position_BQ: what the position embedding sees: the slot, but never past the model's last position. (Only padding
            and masks behind the token budget can lie there.)
        limit_BQ: each token attends to the slots 0..limit-1.
        span: S, the number of slots that any token of the forward may see.
    """

    slot_BQ: Tensor
    position_BQ: Tensor
    limit_BQ: Tensor
    span: int

    def hidden(self) -> Tensor:
        """Return the mask of Fig. 10 as a boolean (B, Q, S), True where a token may NOT attend to a slot."""
        return torch.arange(self.span, device=self.limit_BQ.device) >= self.limit_BQ.unsqueeze(-1)

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return the same as an additive mask (B, 1, Q, S)."""
        return (self.hidden().to(dtype) * torch.finfo(dtype).min).unsqueeze(1)


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
    """

    def __init__(self, rows: int, capacity: int, *, positions: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[])
        self.rows, self.capacity, self.positions, self.dtype = rows, capacity, positions, dtype
        self.length_B = torch.zeros(rows, dtype=torch.long, device=device)
        self._storage: dict[int, tuple[Tensor, Tensor]] = {}
        self._index: Tensor | None = None
        self._span = 0
        self._first_slot_B1 = torch.arange(rows, device=device).unsqueeze(1) * capacity

    def place(self, width: int, real_B: Tensor, block: int | Tensor, span: int) -> Placement:
        """Prepare a forward whose rows end with `real_B` real tokens, the last `block` columns bidirectional.

        Columns before the real tokens are padding: stored behind them, where nobody looks, and seeing one slot only.

        Args:
            width: Q.
            real_B: number of real tokens of each row, 0..width; rows are right-aligned.
            block: columns at the end that see each other in both directions; 0 for a causal forward; (B, 1) where rows
                differ.
            span: S, at least the longest row's length + real tokens, as known on the host.
        """
        length_B1, real_B1 = self.length_B.unsqueeze(1), real_B.unsqueeze(1)
        column_Q = torch.arange(width, device=self.length_B.device)
        offset_BQ = column_Q + (real_B1 - width)
        slot_BQ = length_B1 + offset_BQ.remainder(width)
        limit_BQ = torch.where(column_Q >= width - block, length_B1 + real_B1, slot_BQ + 1)
        limit_BQ = torch.where(offset_BQ < 0, 1, limit_BQ)
        self._index, self._span = (slot_BQ + self._first_slot_B1).flatten(), span
        position_BQ = slot_BQ.clamp(max=self.positions - 1)
        return Placement(slot_BQ=slot_BQ, position_BQ=position_BQ, limit_BQ=limit_BQ, span=span)

    def commit(self, count_B: Tensor) -> None:
        """Keep the first `count_B` tokens of each row's last forward."""
        self.length_B = self.length_B + count_B

    def rollback(self, length_B: Tensor) -> None:
        """Forget everything behind `length_B`; a row that is not longer stays as it is."""
        self.length_B = torch.minimum(self.length_B, length_B)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store one layer's (B, H, Q, D) keys and values at the placed slots; return all (B, H, S, D) of the span."""
        if layer_idx not in self._storage:
            self._storage[layer_idx] = (self._allocate(key_states), self._allocate(value_states))
        assert self._index is not None, "place() comes before every forward"
        keys, values = self._storage[layer_idx]
        return self._write(keys, key_states), self._write(values, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of slots shown to attention in the current forward."""
        return self._span

    def _allocate(self, states: Tensor) -> Tensor:
        return states.new_zeros(self.rows * self.capacity, states.shape[1], states.shape[3])

    def _write(self, storage: Tensor, states: Tensor) -> Tensor:
        assert self._index is not None
        storage.index_copy_(0, self._index.to(storage.device), states.transpose(1, 2).flatten(0, 1))
        return storage.unflatten(0, (self.rows, self.capacity))[:, : self._span].transpose(1, 2)

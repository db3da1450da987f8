"""Masked attention tile by tile, so that time and memory follow the area the mask allows, wherever SDPA runs.

FlexAttention does the same, but has no backward pass on a CPU. A tile of queries attends to those tiles of keys in
which the mask allows it anything, by one call of SDPA. Knows layouts and attention's arguments, and nothing of losses.

Shapes: B rows, T positions, n tiles of a row, P queries of a tile, S keys that a tile sees, H query heads, G key heads,
D head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from sbd.masks import CLEAN, Layout, allowed

NAME = "sbd_tiles"
SIZE = 64
"""Positions of a tile; wider ones compute more of what the mask forbids, narrower ones call SDPA more often."""


@dataclass(frozen=True)
class Tile:
    """What one tile of queries sees.

    Args:
        queries: its positions. keys: runs of positions that it sees something of.
        mask: additive, (B, 1, copies * P, S).
    """

    queries: slice
    keys: tuple[slice, ...]
    mask: Tensor


class TiledMask(BlockMask):
    """The training mask of a layout, in tiles. A BlockMask only so that transformers hands it on to attention as it is.

    Args:
        dtype: of the masks, and of the arithmetic on a CPU.
        copies: query heads that share a key head; their masks stand below each other.
    """

    ndim = 4  # some models ask

    def __init__(self, layout: Layout, dtype: torch.dtype, copies: int = 1, size: int = SIZE) -> None:
        rows, length = layout.doc.shape
        self.dtype, self._shape = dtype, (rows, 1, length, length)
        self.tiles = [
            _tile(layout, slice(size * place, min(size * (place + 1), length)), seen, dtype, copies, size)
            for place, seen in enumerate(_candidates(layout, size).tolist())
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, 1, T, T), as of a dense mask."""
        return self._shape

    def __repr__(self) -> str:
        return f"TiledMask(shape={self.shape}, tiles={len(self.tiles)})"

    @property
    def area(self) -> int:
        """Pairs of positions of a row that are computed."""
        return sum(
            (tile.queries.stop - tile.queries.start) * sum(keys.stop - keys.start for keys in tile.keys)
            for tile in self.tiles
        )


def _tile(layout: Layout, queries: slice, seen: list[bool], dtype: torch.dtype, copies: int, size: int) -> Tile:
    """Return one tile of queries with the tiles of keys that hold something for it, of those that may (`seen`)."""
    length = len(layout)
    places = [slice(size * place, min(size * (place + 1), length)) for place, may in enumerate(seen) if may]
    query = _part(layout, [queries])
    pieces = [(place, allowed(query, _part(layout, [place]))) for place in places]
    pieces = [(place, piece) for place, piece in pieces if piece.any()]
    allowed_BPS = torch.cat([piece for _, piece in pieces], dim=2)
    mask = torch.zeros(allowed_BPS.shape, dtype=dtype, device=allowed_BPS.device)
    mask = mask.masked_fill_(~allowed_BPS, float("-inf")).unsqueeze(1).repeat(1, 1, copies, 1)
    return Tile(queries, tuple(_joined([place for place, _ in pieces])), mask)


def _joined(places: list[slice]) -> list[slice]:
    """Return the same positions in as few runs as possible."""
    runs: list[slice] = []
    for place in places:
        if runs and runs[-1].stop == place.start:
            runs[-1] = slice(runs[-1].start, place.stop)
        else:
            runs.append(place)
    return runs


def _part(layout: Layout, places: list[slice]) -> Layout:
    fields = (layout.doc, layout.pos, layout.block, layout.stream)
    return Layout(*(torch.cat([field[:, place] for place in places], dim=1) for field in fields))


def _candidates(layout: Layout, size: int) -> Tensor:
    """Return which pairs of tiles, (n, n), the ranges of their fields let attend; all that do are among them."""
    doc, pos, block, stream = (_ranges(x, size) for x in (layout.doc, layout.pos, layout.block, layout.stream))

    def overlap(ranges: tuple[Tensor, Tensor]) -> Tensor:
        low_Bn, high_Bn = ranges
        return (low_Bn[:, :, None] <= high_Bn[:, None]) & (low_Bn[:, None] <= high_Bn[:, :, None])

    clean_Bn, noisy_Bn = stream[0] == CLEAN, stream[1] != CLEAN
    causal = clean_Bn[:, :, None] & clean_Bn[:, None] & (pos[0][:, None] <= pos[1][:, :, None])
    past_blocks = noisy_Bn[:, :, None] & clean_Bn[:, None] & (block[0][:, None] < block[1][:, :, None])
    within_block = noisy_Bn[:, :, None] & overlap(stream) & overlap(block)
    return (overlap(doc) & (causal | past_blocks | within_block)).any(dim=0)


def _ranges(field_BT: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest value in each tile, (B, n) each."""
    missing = -field_BT.shape[1] % size
    padded = pad(field_BT[:, None].double(), (0, missing), mode="replicate").long().squeeze(1)
    tiles = padded.unflatten(1, (-1, size))
    return tiles.amin(dim=2), tiles.amax(dim=2)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: TiledMask,
    scaling: float | None = None, **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Return softmax(q k^T * scaling + mask) v, (B, T, H, D), tile by tile.

    Args:
        query: (B, H, T, D). key, value: (B, G, T, D). attention_mask: with copies = H / G.
    """
    assert isinstance(attention_mask, TiledMask), "training in tiles goes by its own masks"
    dtype, (batch, heads, _, size), groups = query.dtype, query.shape, key.shape[1]
    if query.device.type == "cpu":  # where SDPA's backward pass is slow in bfloat16
        query, key, value = (states.to(attention_mask.dtype) for states in (query, key, value))
    outputs = []
    with torch.autocast(query.device.type, enabled=False):
        for tile in attention_mask.tiles:
            keys, values = (_gather(states, tile.keys) for states in (key, value))
            folded = query[:, :, tile.queries].reshape(batch, groups, -1, size)
            out = scaled_dot_product_attention(
                folded, keys, values, attn_mask=tile.mask.to(folded.dtype), scale=scaling,
                dropout_p=options.get("dropout", 0.0),
            )  # fmt: skip
            outputs.append(out.reshape(batch, heads, -1, size))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous().to(dtype), None


def _gather(states: Tensor, places: tuple[slice, ...]) -> Tensor:
    parts = [states[:, :, place] for place in places]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


AttentionInterface.register(NAME, attend)

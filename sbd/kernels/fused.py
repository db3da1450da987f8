"""The statistics of logits as two Triton kernels that read every logit once.

A row is cut into tiles, and each tile is one program's work, kept in registers: 16 rows of 128,256 logits make 512
programs, which fill 132 multiprocessors. The second kernel, one program a row, combines the tiles' partial results.

A partial result stands for a set of logits: its maximum m, where that is (the first one), and with z = x - m the sums
over the others r = sum exp z and t = sum z exp z. Two sets combine exactly: with d = m2 - m1 <= 0,

    r = r1 + exp(d) (1 + r2)        t = t1 + exp(d) (t2 + d (1 + r2))

At the end H = log(1 + r) - t / (1 + r): both terms are positive, so H keeps its digits near 0 (see `plain`).

Shapes: N rows of logits, V vocabulary, S suppressed ids, T tiles of a row.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sbd.kernels.plain import FLOOR as FLOOR_OF_PLAIN
from sbd.kernels.plain import Statistics

FLOOR = tl.constexpr(FLOOR_OF_PLAIN)
LOWEST = tl.constexpr(-3.0e38)
"""What -inf becomes: finite, so that differences are never nan; only a row of nothing else could tell."""

NOWHERE = tl.constexpr(2**31 - 1)

TILE = 4096
"""Logits of a program: 8 kB in bfloat16, 32 a thread, which a multiprocessor holds several times over."""


@triton.jit
def _log1p(r):
    """Return log(1 + r), r >= 0, to float32's precision also near 0: 2 artanh(r / (2 + r)) as a series below 1."""
    s = r / (2 + r)
    q = s * s
    series = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))))
    return tl.where(r < 1, 2 * s * series, tl.log(1 + r))


@triton.jit
def _tiles(
    logits_NV, hidden_V, top_NT, where_NT, r_NT, t_NT, vocabulary, stride, inverse,
    TILE: tl.constexpr, HIDES: tl.constexpr,
):  # fmt: skip
    """First kernel, program (row, tile): one tile's partial result."""
    row, tile = tl.program_id(0), tl.program_id(1)
    column = tile * TILE + tl.arange(0, TILE)
    inside = column < vocabulary
    at = row.to(tl.int64) * stride + column
    x = tl.load(logits_NV + at, mask=inside, other=float("-inf"), eviction_policy="evict_first").to(tl.float32)
    if HIDES:
        x = tl.where(tl.load(hidden_V + column, mask=inside, other=0) == 0, x, float("-inf"))
    x = tl.maximum(x * inverse, LOWEST)
    top = tl.max(x, axis=0)
    where = tl.min(tl.where(x == top, column, NOWHERE), axis=0)
    z = tl.maximum(x - top, FLOOR)
    e = tl.where(column == where, 0.0, tl.exp(z))
    out = row * tl.num_programs(1) + tile
    tl.store(top_NT + out, top)
    tl.store(where_NT + out, where)
    tl.store(r_NT + out, tl.sum(e, axis=0))
    tl.store(t_NT + out, tl.sum(z * e, axis=0))


@triton.jit
def _combine(
    top_NT, where_NT, r_NT, t_NT, entropy_N, argmax_N, confidence_N, logsumexp_N, tiles, WIDTH: tl.constexpr
):  # fmt: skip
    """Second kernel, program (row): combine the row's tiles and write its statistics."""
    row = tl.program_id(0)
    tile = tl.arange(0, WIDTH)
    inside = tile < tiles
    at = row * tiles + tile
    top_T = tl.load(top_NT + at, mask=inside, other=LOWEST)
    r_T, t_T = tl.load(r_NT + at, mask=inside, other=0.0), tl.load(t_NT + at, mask=inside, other=0.0)
    top = tl.max(top_T, axis=0)
    first = tl.min(tl.where((top_T == top) & inside, tile, NOWHERE), axis=0)
    d_T = tl.maximum(top_T - top, FLOOR)
    scale_T = tl.where(inside, tl.exp(d_T), 0.0)
    others_T = tl.where(tile == first, r_T, 1 + r_T)  # the row's maximum itself is in neither sum
    r = tl.sum(scale_T * others_T, axis=0)
    t = tl.sum(scale_T * (t_T + d_T * others_T), axis=0)
    log = _log1p(r)
    tl.store(entropy_N + row, log - t / (1 + r))
    tl.store(argmax_N + row, tl.load(where_NT + row * tiles + first).to(tl.int64))
    tl.store(confidence_N + row, 1 / (1 + r))
    tl.store(logsumexp_N + row, top + log)


def statistics(logits_NV: Tensor, *, temperature: float = 0.0, suppressed_S: Tensor | None = None) -> Statistics:
    """Return what `sbd.kernels.statistics` returns; float32, bfloat16 or float16 logits."""
    if logits_NV.stride(1) != 1:
        logits_NV = logits_NV.contiguous()
    rows, vocabulary = logits_NV.shape
    tile = min(TILE, triton.next_power_of_2(vocabulary))
    tiles = triton.cdiv(vocabulary, tile)
    device: Any = logits_NV.device
    top_NT, r_NT, t_NT = torch.empty(3, rows, tiles, dtype=torch.float32, device=device)
    where_NT = torch.empty(rows, tiles, dtype=torch.int32, device=device)
    entropy_N, confidence_N, logsumexp_N = torch.empty(3, rows, dtype=torch.float32, device=device)
    argmax_N = torch.empty(rows, dtype=torch.long, device=device)
    hides, hidden_V = False, logits_NV  # a pointer that is never read
    if suppressed_S is not None and len(suppressed_S) > 0:
        hides, hidden_V = True, _hidden(suppressed_S, vocabulary)
    if rows > 0:
        _tiles[(rows, tiles)](
            logits_NV, hidden_V, top_NT, where_NT, r_NT, t_NT, vocabulary, logits_NV.stride(0),
            1.0 / (temperature or 1.0), TILE=tile, HIDES=hides, num_warps=4,
        )  # fmt: skip
        _combine[(rows,)](
            top_NT, where_NT, r_NT, t_NT, entropy_N, argmax_N, confidence_N, logsumexp_N, tiles,
            WIDTH=triton.next_power_of_2(tiles), num_warps=1,
        )  # fmt: skip
    return Statistics(entropy_N=entropy_N, argmax_N=argmax_N, confidence_N=confidence_N, logsumexp_N=logsumexp_N)


def _hidden(suppressed_S: Tensor, vocabulary: int) -> Tensor:
    """Return (V,) bytes, 1 at the suppressed ids: read beside every row, but from the cache."""
    hidden_V = torch.zeros(vocabulary, dtype=torch.int8, device=suppressed_S.device)
    return hidden_V.index_fill_(0, suppressed_S, 1)

"""The attention predicate against a reading of Fig. 8 position by position, and the two forms built from it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbd.masks import CLEAN, Layout, allowed, block_mask, dense_mask


def layout_of(rows: list[list[tuple[int, int, int, int]]]) -> Layout:
    """Build a layout from (doc, pos, block, stream) tuples, padding short rows."""
    width = max(len(row) for row in rows)
    padded = [row + [(-1, 0, 0, CLEAN)] * (width - len(row)) for row in rows]
    return Layout(*torch.tensor(padded).unbind(dim=2))


def training_row(lengths: list[int], block_size: int, copies: int) -> list[tuple[int, int, int, int]]:
    """Describe the row [x ; x_hat ; ...] of several documents, blocks counted from each document's start."""
    return [
        (doc, pos, pos // block_size, stream)
        for stream in range(copies + 1)
        for doc, length in enumerate(lengths)
        for pos in range(length)
    ]


def read_figure_8(q: tuple[int, int, int, int], k: tuple[int, int, int, int], block_size: int) -> bool:
    """Say in plain words whether q sees k, from positions alone."""
    (q_doc, q_pos, _, q_stream), (k_doc, k_pos, _, k_stream) = q, k
    if q_doc != k_doc:
        return False
    start = q_pos - q_pos % block_size  # first position of the query's block
    if q_stream == CLEAN:
        return k_stream == CLEAN and k_pos <= q_pos
    if k_stream == CLEAN:
        return k_pos < start
    return k_stream == q_stream and start <= k_pos < start + block_size


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=3),
    st.integers(1, 16),
    st.integers(1, 2),
)
def test_training_mask_is_figure_8(rows, block_size, copies):
    described = [training_row(lengths, block_size, copies) for lengths in rows]
    layout = layout_of(described)
    mask = allowed(layout, layout)
    for b, row in enumerate(described):
        n = len(row)
        expected = torch.tensor([[read_figure_8(q, k, block_size) for k in row] for q in row])
        assert torch.equal(mask[b, :n, :n], expected)
        assert not mask[b, :n, n:].any(), "a token attends to padding"
        assert not mask[b, n:, :n].any(), "padding attends to a token"
    assert mask.any(dim=2).all(), "a position without any key would make NaN"


def test_inference_mask_is_figure_10():
    """Cached past, the previous block's final tokens (causal), the masks of the next block (both directions)."""
    k, past = 4, 6
    cached = [(0, pos, -1, CLEAN) for pos in range(past)]
    commit = [(0, past + i, 0, CLEAN) for i in range(k)]
    masks = [(0, past + k + i, 1, 1) for i in range(k)]
    query, key = layout_of([commit + masks]), layout_of([cached + commit + masks])
    expected = torch.zeros(2 * k, past + 2 * k, dtype=torch.bool)
    expected[:k, :past] = True
    expected[:k, past : past + k] = torch.ones(k, k).tril().bool()
    expected[k:] = True
    assert torch.equal(allowed(query, key)[0], expected)


def test_dense_and_block_mask_hold_the_predicate():
    layout = layout_of([training_row([5, 7], 3, 1), training_row([11], 4, 1)])
    expected = allowed(layout, layout)
    assert torch.equal(dense_mask(layout, torch.float32)[:, 0] == 0, expected)
    assert torch.isneginf(dense_mask(layout, torch.float32)[:, 0][~expected]).all()
    n = len(layout)
    built = block_mask(layout)
    b, q, kv = torch.meshgrid(torch.arange(2), torch.arange(n), torch.arange(n), indexing="ij")
    assert torch.equal(built.mask_mod(b, torch.zeros_like(b), q, kv), expected)
    assert built.shape == (2, 1, n, n)


@pytest.mark.parametrize("stream", [1, 2])
def test_copies_do_not_see_each_other(stream):
    layout = layout_of([training_row([6], 3, 2)])
    own, other = layout.stream[0] == stream, layout.stream[0] == 3 - stream
    assert not allowed(layout, layout)[0][own][:, other].any()

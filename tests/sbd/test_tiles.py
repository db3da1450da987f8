"""Attention in tiles against one dense mask: values, gradients, and that no more is computed than the mask needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sbd.masks import Layout, allowed
from sbd.noise import Documents, add_noise, clean_layout
from sbd.training.tiles import TiledMask, attend

DOCUMENTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=4)
"""(length, of it prompt) of the documents of one row."""


def layout_of(rows: list[list[tuple[int, int]]], copies: int, block_size: int) -> Layout:
    """Return the layout of packed, padded rows with their noisy copies."""
    width = max(sum(length for length, _ in row) for row in rows)
    documents = [
        (index, sum(length for length, _ in row[:place]), min(prompt, length - 1), length)
        for index, row in enumerate(rows) for place, (length, prompt) in enumerate(row)
    ]  # fmt: skip
    row, offset, prompt, length = (torch.tensor(column) for column in zip(*documents, strict=True))
    docs = Documents(torch.zeros(len(rows), width, dtype=torch.long), row, offset, prompt, length)
    noisy = add_noise(
        docs, block_size=block_size, grid="completion", mask_id=1, fill_id=2, copies=copies,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return Layout.cat(clean_layout(docs, block_size, "completion"), noisy.layout)


def dense(layout: Layout, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    shared = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(shared, dim=1) for x in (key, value))
    scores = (query @ key.transpose(2, 3) * 0.3).masked_fill(~allowed(layout, layout)[:, None], float("-inf"))
    return (scores.softmax(dim=3) @ value).transpose(1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(DOCUMENTS, min_size=1, max_size=3), st.integers(1, 2), st.integers(1, 5), st.sampled_from([2, 5, 64]))
def test_tiles_cover_what_the_mask_allows_and_nothing_that_it_forbids(
    rows: list[list[tuple[int, int]]], copies: int, block_size: int, size: int
) -> None:
    layout = layout_of(rows, copies, block_size)
    seen = torch.zeros_like(allowed(layout, layout))
    for tile in TiledMask(layout, torch.float32, size=size).tiles:
        columns = torch.cat([torch.arange(keys.start, keys.stop) for keys in tile.keys])
        seen[:, tile.queries, columns] = tile.mask[:, 0] == 0
    assert torch.equal(seen, allowed(layout, layout))


@pytest.mark.parametrize("heads", [(4, 4), (6, 2)])
def test_values_and_gradients_are_those_of_a_dense_mask(heads: tuple[int, int]) -> None:
    layout = layout_of([[(9, 2), (5, 0)], [(12, 4)]], 2, 3)
    length, generator = len(layout), torch.Generator().manual_seed(1)
    states = [
        torch.randn(2, count, length, 8, generator=generator, dtype=torch.float64, requires_grad=True)
        for count in (heads[0], heads[1], heads[1])
    ]  # fmt: skip
    mask = TiledMask(layout, torch.float64, copies=heads[0] // heads[1], size=4)
    out, _ = attend(torch.nn.Module(), *states, mask, scaling=0.3)
    expected = dense(layout, *states)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    weight = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad((out * weight).sum(), states), torch.autograd.grad((expected * weight).sum(), states),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_the_area_grows_as_the_masks() -> None:
    """Long rows: what is computed stays near what is allowed, where a dense mask computes the whole square."""
    shares = []
    for length in (256, 512, 1024):
        layout = layout_of([[(length, 0)]], 1, 16)
        mask = TiledMask(layout, torch.float32)
        assert mask.shape == (1, 1, 2 * length, 2 * length)
        shares.append(mask.area / int(allowed(layout, layout).sum()))
    assert shares == sorted(shares, reverse=True) and 1 <= shares[-1] < 1.15

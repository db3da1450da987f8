"""The per-row cache: its staircase mask against the attention predicate, its storage against plain bookkeeping."""

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from sbd.cache import KVCache
from sbd.masks import CLEAN, Layout, allowed
from sbd.model import forward, new_cache


def cache_of(lengths: list[int], capacity: int) -> KVCache:
    cache = KVCache(len(lengths), capacity, positions=capacity, dtype=torch.float32, device=torch.device("cpu"))
    cache.commit(torch.tensor(lengths))
    return cache


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.booleans()), min_size=1, max_size=4), st.integers(1, 5))
def test_mask_equals_the_predicate(rows: list[tuple[int, bool, bool]], k: int) -> None:
    """Rows with a past, some committing a block, some ended: real tokens see exactly what Fig. 10 allows."""
    past = [length for length, _, _ in rows]
    real = [0 if ended else k * (1 + commits) for _, commits, ended in rows]
    width, span = 2 * k, max(past) + 2 * k
    placement = cache_of(past, span).place(width, torch.tensor(real), block=k, span=span)
    for row, (length, n) in enumerate(zip(past, real, strict=True)):
        slots = torch.arange(span)
        noisy = (slots >= length + n - k) & (slots < length + n) if n else torch.zeros(span, dtype=torch.bool)
        doc = torch.where(slots < length + n, 0, -1)
        key = Layout(*(x.unsqueeze(0) for x in (doc, slots, torch.where(noisy, 1, 0), torch.where(noisy, 1, CLEAN))))
        query = Layout(*(x[:, length : length + n] for x in (key.doc, key.pos, key.block, key.stream)))
        shown = ~placement.hidden()[row, width - n :]
        assert torch.equal(shown, allowed(query, key)[0])
        assert placement.slot_RQ[row, width - n :].tolist() == list(range(length, length + n))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=4))
def test_tokens_never_overwrite_the_past_nor_each_other(rows: list[tuple[int, int]]) -> None:
    past, real = [length for length, _ in rows], [n for _, n in rows]
    slots = cache_of(past, 10).place(4, torch.tensor(real), block=0, span=10).slot_RQ
    for length, taken in zip(past, slots.tolist(), strict=True):
        assert sorted(taken) == list(range(length, length + 4))


def test_storage_returns_what_was_written() -> None:
    cache = cache_of([0, 2], capacity=8)
    states = torch.randn(2, 3, 4, 5)
    cache.place(4, torch.tensor([4, 1]), block=0, span=4)
    keys, values = cache.update(states, -states, layer_idx=0)
    assert keys.shape == (2, 3, 4, 5)
    assert torch.equal(keys[0], states[0]) and torch.equal(values, -keys)
    assert torch.equal(keys[1, :, 2], states[1, :, 3])  # the only real token of row 1 follows its two old ones


def test_rollback_of_one_row_then_going_on_equals_a_fresh_cache(tiny: Callable[..., PreTrainedModel]) -> None:
    model = tiny("llama")
    old, new = torch.randint(0, 60, (2, 9)), torch.randint(0, 60, (2, 5))
    cache = new_cache(model, 2, 32)
    forward(model, cache, old, block=0, keep=1)
    cache.commit(torch.tensor([9, 9]))
    forward(model, cache, torch.randint(0, 60, (2, 4)), block=2, keep=1)
    cache.commit(torch.tensor([4, 0]))
    cache.rollback(torch.tensor([3, 99]))
    assert cache.length_B.tolist() == [3, 9]
    logits = forward(model, cache, new, block=2, keep=5)
    for row, kept in enumerate([3, 9]):
        fresh = new_cache(model, 1, 32)
        forward(model, fresh, old[row : row + 1, :kept], block=0, keep=1)
        fresh.commit(torch.tensor([kept]))
        torch.testing.assert_close(
            forward(model, fresh, new[row : row + 1], block=2, keep=5)[0], logits[row], rtol=0, atol=1e-10
        )

"""x_hat (Eq. 13): which tokens are masked, which blocks are kept, and how often."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbd.noise import (
    GRIDS,
    IGNORE,
    Documents,
    add_noise,
    clean_labels,
    clean_layout,
    draw_block_size,
    first_block_start,
)

MASK, END = 98, 99
Shape = list[list[tuple[int, int]]]  # rows of (prompt, completion) lengths
SHAPES = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20)), min_size=1, max_size=3), min_size=1, max_size=3
)


def documents(shape: Shape, *, ends: bool = True) -> Documents:
    """Pack documents of the given lengths; token ids count up over the batch, the last one of a document is END."""
    rows, table, token = [], [], 0
    for r, row in enumerate(shape):
        tokens: list[int] = []
        for prompt, completion in row:
            table.append((r, len(tokens), prompt, prompt + completion))
            tokens += [(token + i) % 90 for i in range(prompt + completion)]
            token += prompt + completion
            if ends:
                tokens[-1] = END
        rows.append(tokens)
    width = max(map(len, rows))
    ids = torch.tensor([tokens + [97] * (width - len(tokens)) for tokens in rows])
    return Documents(ids, *torch.tensor(table).unbind(dim=1))


def noisy(docs: Documents, *, block_size: int = 4, grid: str = "completion", copies: int = 1, seed: int = 0, trim=True):
    generator = torch.Generator().manual_seed(seed)
    return add_noise(
        docs, block_size=block_size, grid=grid, mask_id=MASK, fill_id=END, copies=copies, generator=generator, trim=trim
    )


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.integers(1, 16), st.sampled_from(GRIDS), st.integers(1, 2), st.booleans())
def test_every_completion_token_once_a_copy_and_no_prompt_masked(shape, block_size, grid, copies, ends):
    docs = documents(shape, ends=ends)
    out = noisy(docs, block_size=block_size, grid=grid, copies=copies)
    clean = clean_layout(docs, block_size, grid)
    for d in range(len(docs.row)):
        row, offset, prompt, length = (int(x[d]) for x in (docs.row, docs.offset, docs.prompt, docs.length))
        original = docs.ids[row, offset : offset + length]
        start = int(first_block_start(docs, block_size, grid)[d])
        for copy in range(1, copies + 1):
            here = (out.layout.doc[row] == d) & (out.layout.stream[row] == copy)
            pos, ids, labels = out.layout.pos[row][here], out.ids[row][here], out.labels[row][here]
            assert pos.tolist() == list(range(start, start + len(pos))), "positions run on from the first block"
            assert len(pos) >= length - start
            if ends:
                assert len(pos) % block_size == 0, "the last block is filled up"
            else:
                assert len(pos) == length - start
            whole = torch.cat([original, original.new_full((max(0, start + len(pos) - length),), END)])[start:]
            assert torch.equal(torch.where(ids == MASK, labels, ids), whole), (
                "hidden or shown, every token is the right one"
            )
            assert torch.equal(labels != IGNORE, ids == MASK), "loss exactly at the masks"
            assert not (ids[pos < prompt] == MASK).any(), "a prompt token is masked"
            assert torch.equal(out.layout.block[row][here], (pos - start) // block_size)
            inside = (clean.doc[row] == d) & (clean.pos[row] >= start)
            assert torch.equal(clean.block[row][inside], (clean.pos[row][inside] - start) // block_size)


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.integers(1, 16), st.sampled_from(GRIDS))
def test_trimming_leaves_the_same_masked_tokens(shape, block_size, grid):
    docs = documents(shape)
    found = []
    for trim in (True, False):
        out = noisy(docs, block_size=block_size, grid=grid, trim=trim)
        clean = clean_layout(docs, block_size, grid, trim)
        labelled = out.labels != IGNORE
        rows = labelled.nonzero()[:, 0]
        past = [  # how many clean tokens each masked position may attend to
            int(((clean.doc[row] == doc) & (clean.block[row] < block)).sum())
            for row, doc, block in zip(rows, out.layout.doc[labelled], out.layout.block[labelled], strict=True)
        ]
        found.append((rows.tolist(), out.layout.pos[labelled].tolist(), out.labels[labelled].tolist(), past))
    assert found[0] == found[1]


def test_padding_carries_nothing():
    out = noisy(documents([[(2, 3)], [(1, 20)]]))
    padding = out.layout.doc == -1
    assert padding.any()
    assert (out.labels[padding] == IGNORE).all()
    assert not (out.ids[padding] == MASK).any()


def test_one_eta_a_document():
    """Masks of a document follow one eta, so the masked share varies as U(0, 1), not narrowly around one half."""
    docs = documents([[(1, 400)]] * 300)
    share = torch.stack([(row == MASK).float().mean() for row in noisy(docs, block_size=16).ids])
    assert abs(share.mean() - 0.5) < 0.06  # five standard errors
    assert abs(share.std() - 12**-0.5) < 0.03


def test_copies_and_seeds_differ_and_repeat():
    docs = documents([[(3, 40)]])
    two = noisy(docs, copies=2)
    half = two.ids.shape[1] // 2
    assert not torch.equal(two.ids[:, :half], two.ids[:, half:])
    assert torch.equal(two.ids, noisy(docs, copies=2).ids)
    assert not torch.equal(two.ids, noisy(docs, copies=2, seed=1).ids)


def test_clean_labels_leave_out_prompts_and_first_tokens():
    docs = documents([[(2, 3), (0, 4)]])
    assert clean_labels(docs)[0].tolist() == [
        IGNORE, IGNORE, 2, 3, END,
        IGNORE, 6, 7, END,
    ]  # fmt: skip


def test_block_sizes_are_uniform_over_their_range():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw_block_size(2, 16, generator) for _ in range(6000)])
    counts = torch.bincount(drawn, minlength=17)[2:]
    assert drawn.min() == 2 and drawn.max() == 16
    assert ((counts - 400).abs() < 100).all()  # five standard deviations

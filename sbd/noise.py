"""The noisy half x_hat of a training batch (Eq. 13), trimmed to the blocks that carry loss.

Knows documents, prompts and blocks; knows nothing of models or losses. All randomness comes from a torch.Generator.

Shapes: B batch rows, L clean positions of a row, N noisy positions of a row (all copies), D documents of the batch,
M noisy positions of one copy over the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sbd.masks import CLEAN, Layout

IGNORE = -100
"""Label of a position that carries no loss, as everywhere in torch and transformers."""

GRIDS = ("completion", "document")


@dataclass(frozen=True)
class Documents:
    """A packed batch: rows of tokens and a table of the documents in them.

    Args:
        ids: (B, L) token ids, padded at the end of each row.
        row, offset: (D,) the row a document lies in and the column of its first token; ordered by row, then column.
        prompt: (D,) number of leading tokens that carry no loss and are never masked.
        length: (D,) number of tokens, prompt included.
    """

    ids: Tensor
    row: Tensor
    offset: Tensor
    prompt: Tensor
    length: Tensor


@dataclass(frozen=True)
class Noisy:
    """x_hat of a batch: token ids (B, N), their layout, and labels (B, N): the token itself where it is masked."""

    ids: Tensor
    layout: Layout
    labels: Tensor


def first_block_start(docs: Documents, block_size: int, grid: str, trim: bool = True) -> Tensor:
    """Return (D,) where in each document the first block of the noisy half starts, in tokens.

    The paper counts blocks from the document's start ("document"); decoding counts them from the completion's start
    ("completion"). Trimmed, that is the first block that can carry loss; on the document grid it may begin inside the
    prompt, whose tokens are then shown unmasked, since the masked positions of their block attend to them (Fig. 8).
    Not trimmed, it is the document's first whole block, as in the paper: the same loss from more tokens.
    """
    if grid not in GRIDS:
        raise ValueError(f"grid {grid!r} is unknown; choose one of {', '.join(GRIDS)}")
    origin = docs.prompt % block_size if grid == "completion" else torch.zeros_like(docs.prompt)
    return origin + (docs.prompt - origin) // block_size * block_size if trim else origin


def clean_layout(docs: Documents, block_size: int, grid: str, trim: bool = True) -> Layout:
    """Return the layout (B, L) of the clean half; blocks before the noisy half's first have negative indices."""
    doc = torch.full_like(docs.ids, -1)
    pos = torch.zeros_like(docs.ids)
    block = torch.zeros_like(docs.ids)
    index, within = _ragged(docs.length)
    row, column = docs.row[index], docs.offset[index] + within
    doc[row, column] = index
    pos[row, column] = within
    start = first_block_start(docs, block_size, grid, trim)
    block[row, column] = torch.div(within - start[index], block_size, rounding_mode="floor")
    return Layout(doc, pos, block, torch.full_like(doc, CLEAN))


def clean_labels(docs: Documents) -> Tensor:
    """Return (B, L) labels of the clean half as in transformers: each token labels itself, the loss shifts.

    Prompt tokens carry no label, nor does the first token of a document, which nothing precedes.
    """
    labels = torch.full_like(docs.ids, IGNORE)
    index, within = _ragged(docs.length)
    row, column = docs.row[index], docs.offset[index] + within
    target = (within >= docs.prompt[index]) & (within > 0)
    row, column = row[target], column[target]
    labels[row, column] = docs.ids[row, column]
    return labels


def draw_block_size(smallest: int, largest: int, generator: torch.Generator) -> int:
    """Draw the block size of one training step uniformly from {smallest..largest} (the paper: 2..16)."""
    return int(torch.randint(smallest, largest + 1, (), generator=generator))


def add_noise(
    docs: Documents, *, block_size: int, grid: str, mask_id: int, fill_id: int, copies: int, generator: torch.Generator,
    trim: bool = True,
) -> Noisy:  # fmt: skip
    """Mask every loss-carrying token with probability eta ~ U(0, 1), one eta per document and copy (Eq. 13).

    The last block of a document that ends with `fill_id` (end of text) is filled up with that token, so that the model
    sees whole blocks as it will when it decodes; the fill is masked and carries loss like any other token.

    Args:
        block_size: k, in tokens.
        grid: where blocks are counted from, one of GRIDS.
        mask_id, fill_id: the mask token m and the end-of-text token.
        copies: independently masked copies of each document; the paper has 1.
        generator: a CPU generator, so that a step's noise is the same on every device.
        trim: leave out the blocks that cannot carry loss.
    """
    start = first_block_start(docs, block_size, grid, trim)
    last = docs.ids[docs.row, docs.offset + docs.length - 1]
    fill = torch.where(last == fill_id, (start - docs.length) % block_size, 0)
    size = docs.length - start + fill  # (D,) noisy positions of each document
    index, within = _ragged(size)
    pos = start[index] + within
    source = docs.offset[index] + torch.minimum(pos, docs.length[index] - 1)
    token = torch.where(pos < docs.length[index], docs.ids[docs.row[index], source], fill_id)

    row = docs.row[index]
    width = torch.zeros(docs.ids.shape[0], dtype=size.dtype, device=size.device).index_add_(0, docs.row, size)
    before_row = torch.cumsum(width, 0) - width
    column = torch.arange(len(index), device=index.device) - before_row[row]
    shape = (docs.ids.shape[0], int(width.max()))

    def spread(values: Tensor, empty: int) -> Tensor:
        out = torch.full(shape, empty, dtype=torch.long, device=docs.ids.device)
        out[row, column] = values
        return out

    eligible = pos >= docs.prompt[index]
    doc, position, block = spread(index, -1), spread(pos, 0), spread(within // block_size, 0)
    halves = []
    for copy in range(1, copies + 1):
        eta = torch.rand(len(size), generator=generator).to(size.device)
        draw = torch.rand(int(eligible.sum()), generator=generator).to(size.device)
        masked = eligible.clone()
        masked[eligible] = draw < eta[index][eligible]
        ids = spread(torch.where(masked, mask_id, token), fill_id)
        labels = spread(torch.where(masked, token, IGNORE), IGNORE)
        halves.append(Noisy(ids, Layout(doc, position, block, torch.full_like(doc, copy)), labels))
    return Noisy(
        torch.cat([half.ids for half in halves], dim=1),
        Layout.cat(*(half.layout for half in halves)),
        torch.cat([half.labels for half in halves], dim=1),
    )


def _ragged(size: Tensor) -> tuple[Tensor, Tensor]:
    """Return (M,) the owner of each element and its place within the owner, for owners of `size` elements each."""
    index = torch.repeat_interleave(torch.arange(len(size), device=size.device), size)
    start = torch.cumsum(size, 0) - size
    return index, torch.arange(len(index), device=size.device) - start[index]

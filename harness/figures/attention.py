"""Figure 3: who attends to whom in training and in decoding, read out of the code that trains and decodes.

Training: `sbd.noise` lays out [x ; x_hat] and `sbd.masks.allowed` decides. Decoding: `sbd.cache.KVCache.place` decides.

Shapes: Q query positions, K key positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor

from harness.figures import style
from sbd.cache import KVCache
from sbd.masks import Layout, allowed
from sbd.noise import Documents, add_noise, clean_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLOCK, LENGTH = 4, 8
"""Block size and document length that are drawn, in tokens."""

KINDS: dict[str, str] = {
    "causal": style.BLUE, "earlier blocks": style.SKY, "own block, both directions": style.ORANGE,
}  # fmt: skip
"""Ways of attending, and their colours, from dark to light."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One mask: who the positions are, in groups of one block, and what each query may see.

    Args:
        title: of the panel. queries, keys: a name for each position, such as "x1" or "m5".
        rows, columns: a name for each group of BLOCK positions.
        seen_QK: boolean (Q, K). noisy_Q, noisy_K: which positions stand in a block that is still being predicted.
    """

    title: str
    queries: Sequence[str]
    keys: Sequence[str]
    rows: Sequence[str]
    columns: Sequence[str]
    seen_QK: Tensor
    noisy_Q: Tensor
    noisy_K: Tensor

    def kind(self, query: int, key: int) -> str:
        """Return one of KINDS, or "" where the query does not see the key."""
        if not self.seen_QK[query, key]:
            return ""
        if not self.noisy_Q[query]:
            return "causal"
        return "own block, both directions" if self.noisy_K[key] else "earlier blocks"


def training_panel() -> Panel:
    """Return the mask of one training row [x ; x_hat] of a document of two blocks (Figs. 3 and 8)."""
    one = torch.zeros(1, dtype=torch.long)
    document = Documents(torch.arange(LENGTH).unsqueeze(0), one, one, one, torch.full_like(one, LENGTH))
    generator = torch.Generator().manual_seed(0)
    noisy = add_noise(
        document, block_size=BLOCK, grid="document", mask_id=-1, fill_id=-2, copies=1, generator=generator, trim=False
    )
    layout = Layout.cat(clean_layout(document, BLOCK, "document", trim=False), noisy.layout)
    names = [f"x{i}" for i in range(1, LENGTH + 1)] + [f"xhat{i}" for i in range(1, LENGTH + 1)]
    blocks = [r"$x_{1..4}$", r"$x_{5..8}$", r"$\hat{x}_{1..4}$", r"$\hat{x}_{5..8}$"]
    noisy_N = torch.arange(2 * LENGTH) >= LENGTH
    return Panel(
        title="training: [x ; x̂]", queries=names, keys=names, rows=blocks, columns=blocks,
        seen_QK=allowed(layout, layout)[0], noisy_Q=noisy_N, noisy_K=noisy_N,
    )  # fmt: skip


def decoding_panel(fused: bool) -> Panel:
    """Return the mask of a decoding forward (Figs. 3 and 10): of a block alone, or with the one before it (fused)."""
    past = BLOCK if fused else 2 * BLOCK
    width = 2 * BLOCK if fused else BLOCK
    cache = KVCache(1, past + width, positions=past + width, dtype=torch.float32, device=torch.device("cpu"))
    cache.commit(torch.tensor([past]))
    seen_QK = ~cache.place(width, torch.tensor([width]), BLOCK, past + width).hidden()[0]
    keys = [f"x{i}" for i in range(1, 2 * BLOCK + 1)] + [f"m{i}" for i in range(2 * BLOCK + 1, 3 * BLOCK + 1)]
    blocks = [r"$x_{1..4}$", r"$x_{5..8}$", r"$m_{9..12}$"]
    noisy_K = torch.arange(past + width) >= past + width - BLOCK
    return Panel(
        title="decoding: a block's first\nforward, 2k wide" if fused else "decoding: its later\nforwards, k wide",
        queries=keys[past:], keys=keys, rows=blocks[past // BLOCK :],
        columns=[name + (" cached" if place < past // BLOCK else "") for place, name in enumerate(blocks)],
        seen_QK=seen_QK, noisy_Q=noisy_K[past:], noisy_K=noisy_K,
    )  # fmt: skip


def all_panels() -> list[Panel]:
    """Return the panels of Figure 3."""
    return [training_panel(), decoding_panel(fused=True), decoding_panel(fused=False)]


def points(panels: Sequence[Panel]) -> pd.DataFrame:
    """Return one row for each query and key of each panel."""
    return pd.DataFrame(
        [
            {"panel": panel.title.replace("\n", " "), "query": query, "key": key, "allowed": bool(panel.seen_QK[i, j]),
             "kind": panel.kind(i, j)}
            for panel in panels for i, query in enumerate(panel.queries) for j, key in enumerate(panel.keys)
        ]
    )  # fmt: skip


def draw(folder: Path) -> list[Path]:
    """Draw Figure 3 and write it with its cells; returns the paths."""
    panels = all_panels()
    with style.canvas(style.COLUMN, 2.95) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=(16, 12), height_ratios=(8, 5))
        for panel, place in zip(panels, (grid[:, 0], grid[0, 1], grid[1, 1]), strict=True):
            _draw(figure.add_subplot(place), panel)
        _key(figure.axes[0])
        style.caption(
            figure, "Figure 3: who attends to whom",
            "A row is a query, a column what it may see; white: nothing. Block size k = 4; x: tokens, x̂: their masked "
            "copy, m: masks. Cells read from sbd.masks (training) and sbd.cache (decoding).",
        )  # fmt: skip
        return style.save(figure, folder, "figure3", points(panels))


def _draw(ax: Axes, panel: Panel) -> None:
    from matplotlib.patches import Rectangle

    height, width = panel.seen_QK.shape
    for i in range(height):
        for j in range(width):
            kind = panel.kind(i, j)
            if kind:
                ax.add_patch(Rectangle((j, i), 1, 1, facecolor=KINDS[kind], edgecolor="white", linewidth=0.3))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.grid(False)
    for place in range(BLOCK, width, BLOCK):
        ax.axvline(place, color="0.2", linewidth=0.5)
    for place in range(BLOCK, height, BLOCK):
        ax.axhline(place, color="0.2", linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(True)
    centre = BLOCK / 2
    ax.set_xticks([centre + BLOCK * n for n in range(width // BLOCK)], [c.replace(" ", "\n") for c in panel.columns])
    ax.set_yticks([centre + BLOCK * n for n in range(height // BLOCK)], list(panel.rows))
    ax.tick_params(length=0, pad=2)
    ax.set_title(panel.title, fontsize=6.5)


def _key(ax: Axes) -> None:
    """Name the colours below the training panel, where there is room."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=kind) for kind, colour in KINDS.items()]
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(-0.02, -0.1), frameon=False, handlelength=1, handleheight=1,
        borderaxespad=0.2, labelspacing=0.3,
    )  # fmt: skip

"""One look for all figures: sizes in inches as they are printed, fonts, colours, captions and the files written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.4
"""Width of a column of a two-column page, in inches; figures are drawn at the size they are printed."""
PAGE = 7.0
"""Width of the whole page, in inches."""

BLUE, RED, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
"""Colours that the common kinds of colour blindness tell apart (Okabe and Ito 2008); shapes and dashes say it again."""
GREY = "0.45"

LINES: tuple[tuple[str, str, str], ...] = (
    (BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"), (ORANGE, "v", "-"), (SKY, "P", "--"),
)  # fmt: skip
"""Colour, marker and dash of the first, second, ... line of a panel."""

SMALL = 5.5
"""Smallest letters, in points."""
_RC: dict[Any, Any] = {
    "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 6.5, "xtick.labelsize": 6, "ytick.labelsize": 6,
    "legend.fontsize": 6, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.minor.size": 1.2, "ytick.minor.size": 1.2,
    "lines.linewidth": 1.0, "lines.markersize": 2.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "0.9", "grid.linewidth": 0.4, "axes.axisbelow": True,
    "pdf.fonttype": 42, "mathtext.default": "regular", "savefig.dpi": 300,
}  # fmt: skip


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, drawn in this style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        yield Figure(figsize=(width, height), layout="constrained")


def caption(figure: Figure, title: str, text: str, key: Sequence[Artist] = ()) -> None:
    """Put a title above all panels; below them a key, and the lines that say what was measured, on how much.

    Args:
        key: handles with labels for one line of names; none by default.
    """
    inches, height = figure.get_figwidth(), figure.get_figheight()
    figure.suptitle("\n".join(textwrap.wrap(title, int(16 * inches))), fontsize=7.5, fontweight="bold")
    lines = textwrap.wrap(text, int(24 * inches))
    below = (0.1 * len(lines) + 0.06) / height
    figure.text(0.5, 0.02 / height, "\n".join(lines), fontsize=SMALL, color="0.25", ha="center", va="bottom")
    if key:
        figure.legend(
            handles=list(key), loc="lower center", bbox_to_anchor=(0.5, below), ncols=len(key), frameon=False,
            handlelength=2.2, columnspacing=1.0, handletextpad=0.4, borderpad=0, borderaxespad=0,
        )  # fmt: skip
        below += 0.16 / height
    figure.set_layout_engine("constrained", rect=(0, below, 1, 1 - below))


def missing(ax: Axes, why: Sequence[str]) -> None:
    """Mark what a panel lacks, in the panel itself."""
    text = "not measured:\n" + "\n".join("\n".join(textwrap.wrap(reason, 30)) for reason in why)
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=SMALL, color=RED, wrap=True,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": RED, "linewidth": 0.6, "linestyle": "--"},
    )  # fmt: skip


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Return label positions at least `gap` apart, as near to the wanted ones as pushing apart pairwise gets them."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed = [float(positions[index]) for index in order]
    for _ in range(200):
        moved = False
        for low in range(len(placed) - 1):
            lack = gap - (placed[low + 1] - placed[low])
            if lack > 1e-9 * gap:
                placed[low] -= lack / 2
                placed[low + 1] += lack / 2
                moved = True
        if not moved:
            break
    result = [0.0] * len(placed)
    for place, index in zip(placed, order, strict=True):
        result[index] = place
    return result


def save(figure: Figure, folder: Path, name: str, points: pd.DataFrame) -> list[Path]:
    """Write name.png, name.pdf (vector) and name.csv, the plotted numbers; returns the three paths.

    Raises:
        OSError: where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, pdf, csv = (folder / f"{name}.{suffix}" for suffix in ("png", "pdf", "csv"))
    figure.savefig(png)
    figure.savefig(pdf, metadata={"CreationDate": None})
    points.to_csv(csv, index=False, float_format="%.4f", lineterminator="\n")
    return [png, pdf, csv]

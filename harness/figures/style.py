"""One look for all figures: sizes in inches as they are printed, fonts, colours, captions and the files written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

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


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a figure says besides its panels: a title, a caption, and handles with labels for one line of names."""

    title: str
    text: str
    key: Sequence[Artist]


_WORDS: WeakKeyDictionary[Figure, Words] = WeakKeyDictionary()
"""The words of the figures that are being drawn; `save` sets them where they are wanted."""


def caption(figure: Figure, title: str, text: str, key: Sequence[Artist] = ()) -> None:
    """Give a figure its title and the lines that say what was measured, on how much; `save` sets them.

    Args:
        key: handles with labels for one line of names; none by default.
    """
    _WORDS[figure] = Words(title=title, text=text, key=key)


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
    """Write a figure as name.png, name.pdf (vector), name.csv (the plotted numbers) and name.md (its words).

    The PNG stands alone, with title and caption; the PDF has panels and key alone, for a page that sets the words.

    Returns:
        The four paths.

    Raises:
        OSError: where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, pdf, csv, md = (folder / f"{name}.{suffix}" for suffix in ("png", "pdf", "csv", "md"))
    words, width, height = _WORDS[figure], *figure.get_size_inches()
    title, text = textwrap.wrap(words.title, int(16 * width)), textwrap.wrap(words.text, int(24 * width))
    below = 0.1 * len(text) + 0.06
    figure.set_size_inches(width, height - below - 0.13 * len(title))
    _lay_out(figure, words.key, 0.0)
    figure.savefig(pdf, metadata={"CreationDate": None})
    figure.set_size_inches(width, height)
    figure.suptitle("\n".join(title), fontsize=7.5, fontweight="bold")
    figure.text(0.5, 0.02 / height, "\n".join(text), fontsize=SMALL, color="0.25", ha="center", va="bottom")
    _lay_out(figure, words.key, below)
    figure.savefig(png)
    points.to_csv(csv, index=False, float_format="%.4f", lineterminator="\n")
    md.write_text(f"**{words.title}**\n\n{words.text}\n", encoding="utf-8")
    return [png, pdf, csv, md]


def _lay_out(figure: Figure, key: Sequence[Artist], below: float) -> None:
    """Put the key `below` inches above the lower edge, in place of an earlier one, and the panels above it."""
    height = figure.get_figheight()
    for legend in list(figure.legends):
        legend.remove()
    if key:
        figure.legend(
            handles=list(key), loc="lower center", bbox_to_anchor=(0.5, below / height), ncols=len(key), frameon=False,
            handlelength=2.2, columnspacing=1.0, handletextpad=0.4, borderpad=0, borderaxespad=0,
        )  # fmt: skip
        below += 0.16
    figure.set_layout_engine("constrained", rect=(0, below / height, 1, 1 - below / height))

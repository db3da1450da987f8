"""Tables 3 and 4 and the figure of section 4: predicted slowdowns and speedups, as printed, corrected and published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from harness import paper
from harness.render import Grid, to_latex, to_markdown
from sbd.roofline import HARDWARE, SHAPES, Hardware, ModelShape, Roofline, read_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINI_SHAPES = ("llama-mini", "qwen3-mini")
"""Model shapes that are read from the config.json of the shipped weights."""

FREE = 1.1
"""A block counts as free in the figure while its forward takes at most this many times that of one token."""

_KV_SHOWN = {16: "16", 4096: "4k", 65536: "64k", 4194304: "4M"}
_BATCHES_SHOWN = (1, 16)
_BLOCKS_SHOWN = (1, 2, 4, 8, 16, 32, 64)
_LINES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))
_STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, kw_only=True)
class RooflineOptions:
    """Which accelerator, model and number format to predict for; the defaults are the paper's own.

    Args:
        gpu: a key of `sbd.roofline.HARDWARE`.
        shape: a key of `sbd.roofline.SHAPES`, one of `MINI_SHAPES`, or the path of a Hugging Face config.json.
        dtype: a key of `sbd.roofline.DTYPE_BYTES`.

    Raises:
        ValueError: for an unknown accelerator, shape or dtype, or a dtype the accelerator has no units for.
    """

    gpu: str = "h100-paper"
    shape: str = "paper-8b"
    dtype: str = "fp8"

    def __post_init__(self) -> None:
        self.rooflines()

    def rooflines(self) -> Readings:
        """The two readings of Fig. 11 for these options."""
        gpu, shape = _hardware(self.gpu), _shape(self.shape)
        printed, corrected = (
            Roofline(shape=shape, hardware=gpu, dtype=self.dtype, as_printed=as_printed) for as_printed in (True, False)
        )
        return Readings(printed, corrected)

    def file_name(self, stem: str) -> str:
        """`stem` for the paper's own setting, else with the options behind it."""
        if self == RooflineOptions():
            return stem
        return f"{stem}-{self.gpu}-{_shape(self.shape).name}-{self.dtype}"

    def describe(self) -> str:
        """The options in a caption's words."""
        return f"{_shape(self.shape).name}, {_hardware(self.gpu).name}, {self.dtype}"


class Readings(NamedTuple):
    """The roofline as the paper prints it and with its two slips corrected."""

    printed: Roofline
    corrected: Roofline


def build_table3(out_dir: Path, options: RooflineOptions) -> list[Path]:
    """Write Table 3, the slowdown of a block's forward over that of one token, as CSV, Markdown and LaTeX.

    Returns:
        The paths written.
    """
    published = paper.load("table3").rename(columns={"slowdown": "paper"})
    keys = ["batch_size", "kv_length", "block_size"]

    def cell(roofline: Roofline, row: dict[str, int]) -> float:
        """Slowdown of one cell."""
        return roofline.slowdown(batch=row["batch_size"], block_size=row["block_size"], kv_length=row["kv_length"])

    cells = _cells(published, keys, options, cell)
    title = "Table 3 (roofline): slowdown of a block's forward over one token's, time(k) / time(1)"
    return write_table(out_dir, options.file_name("table3"), cells, _grid(cells, keys, title, options))


def build_table4(out_dir: Path, options: RooflineOptions) -> list[Path]:
    """Write Table 4, the predicted wall-clock speedup (Eq. 16), as CSV, Markdown and LaTeX.

    Returns:
        The paths written.
    """
    published = paper.load("table4").rename(columns={"wallclock_speedup": "paper"})
    keys = ["batch_size", "nfe_speedup", "kv_length", "block_size"]

    def cell(roofline: Roofline, row: dict[str, int]) -> float:
        """Speedup of one cell."""
        return roofline.wallclock_speedup(
            batch=row["batch_size"], block_size=row["block_size"], kv_length=row["kv_length"],
            nfe_speedup=row["nfe_speedup"],
        )  # fmt: skip

    cells = _cells(published, keys, options, cell)
    title = "Table 4 (roofline): wall-clock speedup of set block decoding over autoregression, Eq. 16"
    columns = ["batch_size", "kv_length", "block_size", "nfe_speedup", "as_printed", "corrected", "paper"]
    return write_table(out_dir, options.file_name("table4"), cells[columns], _grid(cells, keys, title, options))


def build_figure(out_dir: Path, options: RooflineOptions) -> list[Path]:
    """Draw where a larger block stops being free: slowdown over block size by KV length and batch, as PNG and PDF.

    Returns:
        The paths written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    readings = options.rooflines()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(
            2, len(_BATCHES_SHOWN), figsize=(3.4, 3.3), sharex=True, sharey=True, layout="constrained"
        )
        for label, roofline, row in zip(("as printed", "corrected"), readings, axes, strict=True):
            for batch, ax in zip(_BATCHES_SHOWN, row, strict=True):
                _panel(ax, roofline, batch)
                ax.set_title(f"{label}, batch {batch}")
        axes[0, 0].set_ylim(0.95, 1.6 * axes[0, 0].get_ylim()[1])  # room for labels above the highest line
        figure.supxlabel("block size k (tokens)", fontsize=7)
        figure.supylabel("time(k) / time(1)", fontsize=7)
        out_dir.mkdir(parents=True, exist_ok=True)
        paths = [out_dir / f"{options.file_name('roofline')}.{suffix}" for suffix in ("png", "pdf")]
        figure.savefig(paths[1], metadata={"CreationDate": None})  # its page says what it shows; the PNG stands alone
        figure.suptitle(f"Roofline: {options.describe()}\nlines by KV length (tokens); grey: 10% slower", fontsize=7)
        figure.savefig(paths[0], dpi=300)
        pyplot.close(figure)
    return paths


def write_table(out_dir: Path, name: str, cells: pd.DataFrame, grid: Grid) -> list[Path]:
    """Write every cell as name.csv and the layout as name.md and name.tex; the folder is made where it is missing.

    Returns:
        The three paths, CSV first.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = [out_dir / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")]
    cells.to_csv(paths[0], index=False, lineterminator="\n")
    paths[1].write_text(to_markdown(grid), encoding="utf-8")
    paths[2].write_text(to_latex(grid), encoding="utf-8")
    return paths


def _panel(ax: Axes, roofline: Roofline, batch: int) -> None:
    """One batch size of one reading: a line a KV length, its label at the right end."""
    ends = {}
    ax.axhline(FREE, color="0.6", linewidth=0.6)
    for (kv_length, label), (colour, marker, line) in zip(_KV_SHOWN.items(), _LINES, strict=True):
        slowdowns = [roofline.slowdown(batch=batch, block_size=k, kv_length=kv_length) for k in _BLOCKS_SHOWN]
        ax.plot(_BLOCKS_SHOWN, slowdowns, color=colour, marker=marker, markersize=2.2, linestyle=line)
        ends[label] = (slowdowns[-1], colour)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xticks([1, 4, 16, 64])
    ax.set_xlim(0.8, 230)
    ax.spines[["top", "right"]].set_visible(False)
    height = 0.0
    for label, (end, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(end, height * 1.17)  # labels of lines that meet stand above each other
        ax.annotate(label, (75, height), color=colour, va="center", fontsize=6, annotation_clip=False)


def _cells(
    published: pd.DataFrame,
    keys: list[str],
    options: RooflineOptions,
    cell: Callable[[Roofline, dict[str, int]], float],
) -> pd.DataFrame:
    """The published cells with both readings beside them, in the paper's order."""
    readings = options.rooflines()
    rows = [dict(zip(keys, map(int, row), strict=True)) for row in published[keys].itertuples(index=False)]
    table = published[keys].copy()
    table["as_printed"] = [round(cell(readings.printed, row), 4) for row in rows]
    table["corrected"] = [round(cell(readings.corrected, row), 4) for row in rows]
    table["paper"] = published["paper"]
    return table


def _grid(cells: pd.DataFrame, keys: list[str], title: str, options: RooflineOptions) -> Grid:
    """The paper's layout: block sizes side by side, each cell `as printed / corrected / published`."""
    columns = [cells[column] for column in ("as_printed", "corrected", "paper")]
    triples = [
        (f"{printed:.3f} / {corrected:.3f} / {published:.3f}",)
        for printed, corrected, published in zip(*columns, strict=True)
    ]
    text = pd.Series(triples, index=cells.index, dtype=object)
    *labels, block = keys
    wide = cells.assign(text=text).pivot(index=labels, columns=block, values="text")
    header = [(name.replace("_", " "),) for name in labels] + [(f"k = {size}",) for size in wide.columns]
    rows = [[*((str(label),) for label in row[0]), *row[1:]] for row in wide.itertuples(name=None)]
    notes = [
        "Cells: as printed / corrected / published.",
        f"The first two for {options.describe()}; the published ones for an 8B model on an H100 with FP8.",
        "A prediction, not a measurement.",
    ]
    return Grid(title=title, header=header, rows=rows, notes=notes)


def _hardware(name: str) -> Hardware:
    if name not in HARDWARE:
        raise ValueError(f"unknown GPU {name!r}; known: {', '.join(HARDWARE)}")
    return HARDWARE[name]


def _shape(name: str) -> ModelShape:
    if name in MINI_SHAPES:
        return read_shape(Path(str(files("harness") / "mini" / "weights" / name / "base" / "config.json")))
    if name not in SHAPES and not Path(name).exists():
        known = ", ".join([*SHAPES, *MINI_SHAPES])
        raise ValueError(f"unknown model shape {name!r}; give one of {known}, or the path of a config.json")
    return read_shape(name)

"""A grid of cells of a few short lines each, as terminal text, Markdown or LaTeX; knows nothing of their meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cell = tuple[str, ...]

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: a title, a header, rows of cells, and notes below."""

    title: str
    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(
                    f"a row of {len(row)} cells under a header of {len(self.header)}; give each column one cell"
                )


def to_text(grid: Grid) -> str:
    """Return the grid in fixed-width columns, the lines of a cell below each other."""
    table = [grid.header, *grid.rows]
    widths = [max(len(line) for row in table for line in (row[column] or ("",))) for column in range(len(grid.header))]
    blocks = []
    for row in table:
        height = max(len(cell) for cell in row)
        stacked = [[cell[line] if line < len(cell) else "" for cell in row] for line in range(height)]
        blocks.append("\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in stacked))
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    gap = "\n\n" if any(len(cell) > 1 for row in grid.rows for cell in row) else "\n"
    return "\n".join([grid.title, rule, blocks[0], rule, gap.join(blocks[1:]), rule, *grid.notes]) + "\n"


def to_markdown(grid: Grid) -> str:
    """Return the grid as a Markdown table, the lines of a cell joined by <br>, the title above and the notes below."""

    def line(row: Sequence[Cell]) -> str:
        return "| " + " | ".join("<br>".join(cell).replace("|", "\\|") for cell in row) + " |"

    lines = [line(grid.header), "|" + "---|" * len(grid.header), *map(line, grid.rows)]
    return "\n".join([f"**{grid.title}**", "", *lines, "", *(f"- {note}" for note in grid.notes)]) + "\n"


def to_latex(grid: Grid) -> str:
    """Return the grid as a LaTeX table (packages booktabs and makecell)."""

    def line(row: Sequence[Cell]) -> str:
        stacked = (r" \\ ".join(map(escape, cell)) for cell in row)
        return " & ".join(r"\makecell[l]{" + text + "}" if r"\\" in text else text for text in stacked)

    body = "\n".join(f"{line(row)} \\\\" for row in grid.rows)
    notes = " ".join(map(escape, grid.notes))
    return (
        "\\begin{table*}\n\\footnotesize\n\\caption{" + escape(grid.title) + (". " + notes if notes else "") + "}\n"
        "\\begin{tabular}{" + "l" * len(grid.header) + "}\n\\toprule\n" + line(grid.header) + " \\\\\n\\midrule\n" +
        body +
        "\n\\bottomrule\n\\end{tabular}\n\\end{table*}\n"
    )  # fmt: skip


def escape(text: str) -> str:
    """Return text with LaTeX's special characters made plain."""
    return "".join(_LATEX.get(character, character) for character in text)

"""Tables as the report sets them, and how numbers are printed; knows nothing of what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from harness.render import Cell


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its caption.

    Args:
        label: such as "Table 1". caption: what stands beside the label.
        header: one cell a column; a cell is a tuple of lines. rows: likewise.
        labels: how many columns at the left are words; the others are numbers.
        wide: whether it takes both columns of the page.
        rules: rows that a thin line stands above. spans: (first column, columns, words) above the header.
        size: of the letters, in points. notes: set below the table.
    """

    label: str
    caption: str
    header: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1
    wide: bool = True
    rules: Sequence[int] = ()
    spans: Sequence[tuple[int, int, str]] = ()
    size: float = 7.0
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.header), f"{self.label}: {len(row)} cells under {len(self.header)} headings"

    def data(self) -> dict[str, object]:
        """Return the table as plain JSON values, its text as it is printed."""
        return {
            "label": self.label, "caption": typeset(self.caption), "labels": self.labels, "wide": self.wide,
            "header": _lines([self.header])[0], "rows": _lines(self.rows), "rules": list(self.rules),
            "spans": [list(span) for span in self.spans], "size": self.size, "notes": [typeset(n) for n in self.notes],
        }  # fmt: skip


def _lines(rows: Sequence[Sequence[Cell]]) -> list[list[list[str]]]:
    return [[[typeset(line) for line in cell] for cell in row] for row in rows]


def typeset(text: str) -> str:
    """Return text with minus and multiplication signs in place of hyphens and letters x beside numbers."""
    return re.sub(r"(?<=\d)x\b|(?<=\d )x(?= \d)|(?<=, )x$", "×", re.sub(r"(?<![\w.])-(?=\d)", "\u2212", text))


def number(value: float, digits: int, form: str = "") -> str:
    """Return a number with this many digits, or a dash where it is missing; form "+" shows the sign of any."""
    return "\u2013" if pd.isna(value) else f"{value:{form},.{digits}f}"


def interval(low: float, high: float, digits: int = 1, form: str = "") -> str:
    """Return an interval in brackets."""
    return f"[{number(low, digits, form)}, {number(high, digits, form)}]"


def column_digits(column: pd.Series) -> int:
    """Return the decimals that give a column of numbers about three digits, the same for all of it."""
    values = column.dropna().abs()
    if values.empty or (values == values.round()).all():
        return 0
    largest = float(values.max())
    return next((digits for digits, bound in ((1, 100.0), (2, 1.0), (3, 0.1)) if largest >= bound), 4)


def breaks(keys: Sequence[object]) -> list[int]:
    """Return the rows at which a key differs from the one before."""
    return [row for row in range(1, len(keys)) if keys[row] != keys[row - 1]]

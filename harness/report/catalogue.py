"""The items of the report: number, files and command of each table and figure; knows nothing of their contents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Item:
    """One table or figure of the paper, or of the checks beside it.

    Args:
        key: its name here, such as "table1". label: its name in the report, such as "Table 1".
        stem: path of its files below the reports folder, without suffix; {scale} stands for the scale.
        arguments: those of `python -m harness.reproduce` that make it.
    """

    key: str
    label: str
    stem: str
    arguments: str

    def command(self, scale: str) -> str:
        """Return the command that makes this item."""
        return f"python -m harness.reproduce {self.arguments}" + (f" --scale {scale}" if scale != "mini" else "")


def _table(number: str, folder: str) -> Item:
    return Item(
        key=f"table{number}", label=f"Table {number}", stem=f"{folder}/table{number}", arguments=f"--table {number}"
    )


def _figure(number: str) -> Item:
    return Item(
        key=f"figure{number}", label=f"Figure {number}", stem=f"{{scale}}/figure{number}",
        arguments=f"--figure {number}",
    )  # fmt: skip


TABLES: dict[str, Item] = {
    item.key: item
    for item in (
        _table("1", "{scale}"),
        Item(key="table1_pooled", label="Table 1, pooled", stem="{scale}/table1_pooled", arguments="--table 1"),
        _table("2", "{scale}"),
        _table("3", "roofline"),
        _table("4", "roofline"),
        Item(key="audit", label="Audit", stem="audit", arguments="--audit"),
    )
}
"""By key, each with a CSV file."""
FIGURES: dict[str, Item] = {
    item.key: item
    for item in (
        *(_figure(number) for number in ("1", "3", "4", "5", "12", "13")),
        Item(key="roofline", label="Roofline", stem="roofline/roofline", arguments="--figure roofline"),
    )
}
"""By key, each with a PDF and a PNG, most with the plotted numbers as CSV and their words as Markdown."""

BENCH = "python -m harness.bench"
"""What measures wall clock beyond Table 1's."""

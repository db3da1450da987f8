"""The report's sentences with numbers in them, and its lists: abstract, errata, deviations, captions of figures."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from harness.errata import ERRATA
from harness.report.cells import interval, number, typeset

Span = tuple[str, bool]
"""A piece of text, and whether it is code."""


def abstract(pooled: pd.DataFrame, table: pd.DataFrame, scale: str) -> list[str]:
    """Return the headline numbers of a run: its last pooled base model's arms, each against the reference.

    Args:
        pooled, table: the frames of table1_pooled.csv and table1.csv.
    """
    rows = pooled[pooled["base_model"] == pooled["base_model"].iloc[-1]]
    models, names = table["base_model"].nunique(), table["benchmark"].nunique()
    sentences = [
        f"At {scale} scale ({_count(models, 'base model')}, {_count(names, 'procedural benchmark')}, "
        f"{int(rows['n'].iloc[0]):,} problems an arm):"
    ]
    for _, row in rows.iterrows():
        solves = f"{number(row['accuracy_pct'], 1)}% {interval(row['accuracy_low'], row['accuracy_high'])}"
        arm = f"{row['loss']}-trained weights with {row['sampling']} sampling solve {solves}"
        if (row["loss"], row["sampling"]) == ("NTP", "NTP"):
            sentences.append(f"{arm}, the reference.")
            continue
        wall = row["wallclock_speedup"]
        speed = f" at {number(row['tokens_per_forward'], 2)} tokens per forward"
        timed = "" if pd.isna(wall) else f" and {number(wall, 2)}x measured wall clock"
        sentences.append(f"{arm}{speed}{timed}{_compared(row)}.")
    return [typeset(sentence) for sentence in sentences]


def _compared(row: pd.Series) -> str:
    """Say what the paired difference from the reference shows."""
    if pd.isna(row["difference_points"]):
        return ""
    low, high = row["difference_low"], row["difference_high"]
    verdict = "a loss" if high < 0 else "a gain" if low > 0 else "no difference shown"
    return f": {number(row['difference_points'], 1, '+')} {interval(low, high, 1, '+')} points, {verdict}"


def _count(number_of: int, what: str) -> str:
    words = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
    return f"{words.get(number_of, str(number_of))} {what}{'s' * (number_of != 1)}"


def errata() -> list[dict[str, object]]:
    """Return each erratum as plain JSON values, its proof computed now."""
    return [
        {"where": e.where, "claim": typeset(e.claim), "proof": typeset(e.proof), "holds": bool(e.holds)}
        for e in (erratum() for erratum in ERRATA)
    ]


def deviations() -> list[dict[str, object]]:
    """Return the sections of docs/deviations.md, each a heading and its items as spans; empty where it is not there."""
    packed, checkout = files("harness.report") / "deviations.md", Path(__file__).parents[2] / "docs" / "deviations.md"
    source = packed if packed.is_file() else checkout
    return sections(source.read_text(encoding="utf-8")) if source.is_file() else []


def sections(markdown: str) -> list[dict[str, object]]:
    """Return the second-level headings of a Markdown text with the items of their lists."""
    result: list[dict[str, object]] = []
    for part in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        items = [" ".join(item.split()) for item in re.split(r"^- ", body, flags=re.MULTILINE)[1:]]
        result.append({"heading": heading.strip(), "items": [spans(item) for item in items]})
    return result


def spans(markdown: str) -> list[Span]:
    """Cut Markdown text into plain text and code; links keep their words alone."""
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown)
    return [(piece, place % 2 == 1) for place, piece in enumerate(plain.split("`")) if piece]


def caption(words: Path, label: str) -> str:
    """Return a figure's caption from its Markdown: "Title, where. Text"; the label's own words where it has none.

    Args:
        words: the file that `harness.figures.style.save` writes. label: such as "Figure 5".
    """
    if not words.is_file():
        return CAPTIONS.get(label, "")
    title, _, text = words.read_text(encoding="utf-8").strip().partition("\n\n")
    before, colon, what = title.strip("*").partition(": ")
    where = before.removeprefix(label).strip(", ")
    if not colon:
        where, what = "", before
    return typeset(f"{what[:1].upper()}{what[1:]}{f' ({where})' if where else ''}. {text}".strip())


CAPTIONS: dict[str, str] = {
    "Roofline": "Slowdown of a block's forward over one token's, time(k) / time(1), over the block size k, for the "
    "paper's 8B shape on an H100 with FP8: as printed and corrected. Lines by cached tokens; grey: 10% slower."
}
"""Of figures without a file of words."""

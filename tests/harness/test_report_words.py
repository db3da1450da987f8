"""Small parts of the report: commands that exist, Markdown cut into words and code, captions, signs and decimals."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from harness.report import prose
from harness.report.catalogue import FIGURES, TABLES
from harness.report.cells import column_digits, number, typeset


def test_every_command_of_the_report_is_one_that_exists():
    from harness.reproduce import FIGURES as KNOWN_FIGURES
    from harness.reproduce import TABLES as KNOWN_TABLES

    for item in (*TABLES.values(), *FIGURES.values()):
        option, *rest = item.arguments.split()
        known = {"--table": KNOWN_TABLES, "--figure": KNOWN_FIGURES, "--audit": {}}[option]
        assert set(rest) <= set(known), item
    assert {f"figure{n}" for n in KNOWN_FIGURES} - {"figureroofline"} == set(FIGURES) - {"roofline"}


def test_markdown_is_cut_into_words_and_code():
    assert prose.spans("see [the list](a.md) of `x` and `y z`.") == [
        ("see the list of ", False), ("x", True), (" and ", False), ("y z", True), (".", False)
    ]  # fmt: skip


def test_captions_come_from_the_figure(tmp_path):
    (tmp_path / "f.md").write_text("**Figure 5, mini scale: accuracy over forwards**\n\nOurs: n = 50, -2.0x.\n")
    assert prose.caption(tmp_path / "f.md", "Figure 5") == (
        "Accuracy over forwards (mini scale). Ours: n = 50, \u22122.0×."
    )
    assert prose.caption(tmp_path / "none.md", "Figure 5") == ""


def test_signs_are_set_and_names_are_not_touched():
    assert typeset("-1.5 [-2.0, +0.1], 3.2x wall") == "\u22121.5 [\u22122.0, +0.1], 3.2× wall"
    assert typeset("Llama-3.1 8B, llama-mini, 2026-01-02, x, 0x1f, wall clock, x") == (
        "Llama-3.1 8B, llama-mini, 2026-01-02, x, 0x1f, wall clock, ×"
    )
    assert number(float("nan"), 2) == "\u2013" and number(1234.5, 1) == "1,234.5" and number(2, 1, "+") == "+2.0"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_a_column_has_one_number_of_decimals(values):
    digits = column_digits(pd.Series(values))
    assert 0 <= digits <= 4
    if digits:
        assert any(value != round(value) for value in values)

"""Every erratum holds on the published data, would not hold on other data, and is explained to readers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import errata, paper

DOCS = Path(__file__).parents[2] / "docs" / "errata.md"
FINDINGS = {erratum.__name__: erratum() for erratum in errata.ERRATA}


@pytest.mark.parametrize("name", FINDINGS)
def test_every_proof_holds(name: str) -> None:
    assert FINDINGS[name].holds


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("roofline_widths", ["0.00051", "1.406 instead of 1.016", "1.102 instead of 1.058"]),
        ("roofline_bandwidth", ["10.0%"]),
        ("duplicated_panels", ["24/24", "54/54 points of Fig. 12", "54/54 points of Fig. 13"]),
        ("duplicated_panels_are_gsm8k", ["1/1319"]),
        ("factor_rule", ["reveals 1 and the right one 16", "16 and 1"]),
        ("gamma_order", ["3.23x at gamma_high, 3.55x at gamma_low", "1 of 12"]),
        ("figure1_against_table1", ["0 of 4", "3.72x: 31.7 is nearest to 3.58x: 32.8"]),
        ("sample_sizes", ["is 454"]),
        ("mbpp_cells", ["70.9, 69.5, 77.7, 77.5 (4 of 8", "0 of 8 miss 1/378"]),
        ("overall_speedups", ["mean 3.38", "mean 2.99", "mean 3.76", "mean 3.18"]),
    ],
)
def test_proofs_show_the_known_figures(name: str, figures: list[str]) -> None:
    for figure in figures:
        assert figure in FINDINGS[name].proof


def changed(column: str, row: int, value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return an edit of one cell of a published table, as if the paper had printed another value."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return edit


@pytest.mark.parametrize(
    ("erratum", "table", "edit"),
    [
        ("roofline_widths", "table3", changed("slowdown", 100, 1.5)),
        ("roofline_widths", "table4", changed("wallclock_speedup", 287, 1.5)),
        ("duplicated_panels", "fig12", changed("mean_nfe", 161, 1000.0)),
        ("duplicated_panels_are_gsm8k", "fig5", changed("accuracy_pct", 27, 42.12)),
        ("gamma_order", "table1", changed("nfe_speedup", 24, 4.0)),
        ("figure1_against_table1", "fig1", lambda f: f.assign(nfe_speedup=[*f.nfe_speedup[:-1], 3.92],
                                                             pass_at_1_pct=[*f.pass_at_1_pct[:-1], 37.2])),
        ("sample_sizes", "fig1", changed("pass_at_1_pct", 1, 32.9)),
        ("mbpp_cells", "table1", changed("accuracy_pct", 17, 70.2)),
        ("overall_speedups", "table1", changed("nfe_speedup", 24, 9.0)),
    ],
)  # fmt: skip
def test_a_proof_fails_where_the_data_were_others(
    monkeypatch: pytest.MonkeyPatch, erratum: str, table: str, edit: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    load = paper.load
    monkeypatch.setattr(paper, "load", lambda name: edit(load(name)) if name == table else load(name))
    assert not getattr(errata, erratum)().holds


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12), st.floats(0.05, 5))
def test_factor_rule_by_brute_force(confidences: list[float], f: float) -> None:
    """The n surest positions for every n, the largest that satisfies the rule."""
    best = 1
    for n, chosen in itertools.product(range(1, len(confidences) + 1), [sorted(confidences, reverse=True)]):
        if (n + 1) * (1 - min(chosen[:n])) < f:
            best = n
    assert errata.factor_reveals(confidences, f, as_printed=False) == best


def test_the_command_prints_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert errata.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(errata.ERRATA)
    assert not [line for line in lines if line.startswith("NOT PROVEN")]


def test_the_command_says_what_it_cannot_prove(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = errata.Erratum(where="Table 1", claim="c", proof="p", holds=False)
    monkeypatch.setattr(errata, "ERRATA", (lambda: wrong,))
    assert errata.main() == 1
    assert capsys.readouterr().out == "NOT PROVEN Table 1: c: p.\n"


@pytest.mark.parametrize("name", FINDINGS)
def test_readers_get_every_erratum_with_its_proof(name: str) -> None:
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert f"`{name}`" in text
    assert FINDINGS[name].proof in text

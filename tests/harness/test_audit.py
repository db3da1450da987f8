"""The audit of the paper's Table 1: its cells, its verdicts and what it writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness import audit, paper
from harness.stats import wilson

COMPARISONS = audit.audit()


def find(base_model: str, sampling: str, benchmark: str) -> audit.Comparison:
    (found,) = [c for c in COMPARISONS if (c.base_model, c.sampling, c.benchmark) == (base_model, sampling, benchmark)]
    return found


def test_every_sbd_cell_is_compared_with_its_own_baseline() -> None:
    assert len(COMPARISONS) == 2 * 3 * 6
    cell = find("Qwen-3 8B", "SBD gamma_high", "MBPP")
    assert (cell.accuracy_pct, cell.ntp_accuracy_pct, cell.difference_points) == (74.6, 78.0, -3.4)
    assert {c.n for c in COMPARISONS} == {500, 30, 454, 1319, 164}


def test_intervals_are_as_wide_as_the_errata_say() -> None:
    """Half widths of about 17 points for AIME25 and 7.6 for HumanEval+."""
    aime, humaneval = find("Llama-3.1 8B", "NTP", "AIME25"), find("Llama-3.1 8B", "NTP", "HumanEval+")
    assert (aime.ntp_high - aime.ntp_low) / 2 == pytest.approx(17, abs=1.1)
    assert (humaneval.ntp_high - humaneval.ntp_low) / 2 == pytest.approx(7.6, abs=0.2)
    interval = wilson(10, 30)
    assert (aime.ntp_low, aime.ntp_high) == (round(100 * interval.low, 2), round(100 * interval.high, 2))


def test_the_paper_shows_no_loss_anywhere_and_excludes_one_only_on_the_larger_benchmarks() -> None:
    verdicts = pd.Series([c.verdict for c in COMPARISONS]).value_counts().to_dict()
    assert verdicts == {audit.UNDECIDABLE: 19, audit.NO_LOSS: 17}
    assert {c.verdict for c in COMPARISONS if c.benchmark in ("AIME25", "HumanEval+")} == {audit.UNDECIDABLE}
    assert {c.verdict for c in COMPARISONS if c.benchmark == "GSM8K"} == {audit.NO_LOSS}


def test_verdicts_follow_from_their_bounds() -> None:
    for c in COMPARISONS:
        expected = audit.NO_LOSS if c.loss_at_most_points <= audit.MARGIN_POINTS else audit.UNDECIDABLE
        assert c.verdict == (audit.LOSS if c.difference_high < 0 else expected)
        assert c.difference_low <= c.difference_points <= c.difference_high
        assert c.loss_at_most_points <= -c.difference_low, "a one-sided bound is tighter than a two-sided one"


def test_a_large_loss_is_shown_and_more_problems_decide() -> None:
    def verdict(drop: float, n: int) -> str:
        cells = [
            pd.Series({"base_model": "m", "loss": "SBD", "sampling": "s", "benchmark": "b", "accuracy_pct": accuracy})
            for accuracy in (80 - drop, 80.0)
        ]
        return audit.compare(*cells, n=n, margin_points=2.0).verdict

    assert verdict(40.0, 30) == audit.LOSS
    assert verdict(0.0, 500) == audit.UNDECIDABLE
    assert verdict(0.0, 5000) == audit.NO_LOSS


def test_files_hold_every_comparison(tmp_path: Path) -> None:
    csv, md, tex = audit.build_audit(tmp_path)
    assert [path.name for path in (csv, md, tex)] == ["audit.csv", "audit.md", "audit.tex"]
    table = pd.read_csv(csv)
    assert len(table) == 36 and table.notna().all().all()
    text = md.read_text(encoding="utf-8")
    assert "no loss beyond 1.6 points" in text and "undecidable" in text
    assert "Of 36 SBD cells: 0 loss shown, 17 no loss shown, 19 undecidable." in text
    assert "Qwen-3 8B SBD / SBD gamma_low becomes undecidable" in text, "MBPP at the 378 problems of MBPP+"
    assert tex.read_text(encoding="utf-8").count(r"\\") >= 36


def test_bad_margins_and_unknown_benchmarks_are_refused() -> None:
    with pytest.raises(ValueError, match="margin_points is 0"):
        audit.audit(margin_points=0)
    with pytest.raises(ValueError, match="'HumanEval'.*HumanEval"):
        paper.sample_size("HumanEval")

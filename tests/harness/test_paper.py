"""The packaged published numbers: complete, unchanged and typed."""

from __future__ import annotations

import pytest

from harness import paper

FIGURES = {"fig1": 11, "fig4": 153, "fig5": 72, "fig12": 162, "fig13": 162}
TABLES = {"table1": 60, "table2": 18, "table3": 224, "table4": 288}


@pytest.mark.parametrize("name", paper.NAMES)
def test_every_name_loads_with_the_papers_number_of_cells(name: str) -> None:
    assert len(paper.load(name)) == (FIGURES | TABLES)[name]


def test_golden_cells() -> None:
    table1 = paper.load("table1")
    cell = table1.query("base_model == 'Qwen-3 8B' and sampling == 'SBD gamma_low' and benchmark == 'LCB-V6'")
    assert cell[["accuracy_pct", "nfe_speedup"]].values.tolist() == [[37.2, 3.92]]
    table3 = paper.load("table3")
    assert table3.query("batch_size == 1 and kv_length == 65536 and block_size == 64").slowdown.item() == 1.016


def test_gamma_is_missing_only_where_the_paper_has_none() -> None:
    fig12 = paper.load("fig12")
    assert fig12[fig12.sampler == "EB"].gamma_nats.notna().all()
    assert fig12[fig12.sampler != "EB"].gamma_nats.isna().all()


def test_every_benchmark_of_table1_has_a_sample_size() -> None:
    assert set(paper.load("table1").benchmark) == set(paper.SAMPLE_SIZES) - {"MBPP+"}
    assert paper.sample_size("GSM8K") == 1319


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'table9'.*table1"):
        paper.load("table9")
    with pytest.raises(ValueError, match="'MMLU'.*GSM8K"):
        paper.sample_size("MMLU")
    with pytest.raises(ValueError, match="problems is 0"):
        paper.SampleSize(problems=0, source="nowhere")

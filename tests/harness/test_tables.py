"""Table 1 from made-up records, held against sums done by hand and the paper's printed cells."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path

import pandas as pd
import pytest

from harness import layout, paper, tables
from harness.arms import MODELS, ROWS, SAMPLINGS, VERIFIED
from harness.benchmarks import BENCHMARKS
from harness.render import Grid, escape, to_latex, to_markdown, to_text
from harness.results import Record, Timing

NAMES = ["math500-mini", "gsm8k-mini"]


def line(
    model: str, loss: str, sampling: str, benchmark: str, item: int, correct: bool, tokens: int, nfe: int
) -> Record:
    return Record(
        run_id=f"{model}/{loss}/{sampling}/{benchmark}", scale="mini", model=model, weights_hash="w",
        benchmark=benchmark, item_id=f"{benchmark}/{item}", loss=loss, sampling=sampling,
        decoding="ar" if sampling == "NTP" else "sbd", sampler=None, gamma_nats=None if sampling == "NTP" else 0.1,
        block_size=None, prompt_hash="p", generated_ids=[0] * tokens, text="", stop_reason="eos" if nfe else "error",
        correct=correct, extracted=None, error=None, nfe={"block": nfe}, nfe_decode=nfe, nfe_budget=None, seconds={},
        batch_rows=1, seed=0,
    )  # fmt: skip


def timing(sampling: str, item: int, repeat: int, seconds: float) -> Timing:
    return Timing(
        run_id="t", scale="mini", model="llama-mini", weights_hash="w", benchmark="gsm8k-mini",
        item_id=f"gsm8k-mini/{item}", loss="sbd", sampling=sampling, gamma_nats=None, repeat=repeat, tokens=1,
        nfe_decode=1, prefill_seconds=0.0, decode_seconds=0.0, total_seconds=seconds,
    )  # fmt: skip


def frames(lines: list[Record], timings: list[Timing]) -> tuple[pd.DataFrame, pd.DataFrame]:
    records = pd.DataFrame([vars(entry) for entry in lines])
    columns = [field.name for field in dataclasses.fields(Timing)]
    return records.assign(tokens=records["generated_ids"].map(len)), pd.DataFrame(map(vars, timings), columns=columns)


def made_up(seed: int = 0, problems: int = 40) -> list[Record]:
    draw = random.Random(seed)
    lines = []
    for model in MODELS:
        for loss, sampling in ROWS:
            for name in NAMES:
                for item in range(problems):
                    tokens = draw.randint(5, 60)
                    nfe = tokens if sampling == "NTP" else draw.randint(1, tokens)
                    lines.append(line(model, loss, sampling, name, item, draw.random() < 0.7, tokens, nfe))
    return lines


def test_cells_equal_sums_done_by_hand() -> None:
    lines = made_up()
    records, timings = frames(lines, [])
    table = tables.table1(records, timings)
    assert len(table) == len(MODELS) * len(ROWS) * len(NAMES)
    for _, row in table.iterrows():
        cell = [
            entry for entry in lines
            if (entry.model, entry.loss.upper(), entry.sampling, entry.benchmark)
            == (row["base_model"], row["loss"], row["sampling"], row["benchmark"])
        ]  # fmt: skip
        ar = [
            entry.nfe_decode for entry in lines
            if (entry.model, entry.loss, entry.sampling, entry.benchmark)
            == (row["base_model"], "ntp", "NTP", row["benchmark"])
        ]  # fmt: skip
        forwards = sum(entry.nfe_decode for entry in cell)
        assert row["n"] == len(cell) == 40
        assert row["accuracy_pct"] == pytest.approx(100 * sum(entry.correct for entry in cell) / 40)
        assert row["accuracy_low"] < row["accuracy_pct"] < row["accuracy_high"]
        assert row["tokens_per_forward"] == pytest.approx(sum(len(e.generated_ids) for e in cell) / forwards)
        assert row["nfe_mean"] == pytest.approx(forwards / 40)
        assert row["nfe_ratio_to_ar"] == pytest.approx(sum(ar) / forwards)
    assert (table.loc[table["sampling"] == "NTP", "tokens_per_forward"] == 1).all()


def test_wilson_interval_of_a_known_cell() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    lines = [line("llama-mini", "ntp", "NTP", "gsm8k-mini", item, item < 81, 1, 1) for item in range(263)]
    row = tables.table1(*frames(lines, [])).iloc[0]
    assert (round(row["accuracy_low"], 2), round(row["accuracy_high"], 2)) == (25.53, 36.62)


def test_every_paper_cell_of_the_two_base_models_stands_beside_ours() -> None:
    lines = [
        line(model, loss, sampling, name, 0, True, 2, 1)
        for model in MODELS for loss, sampling in ROWS for name in BENCHMARKS if sampling != VERIFIED
    ]  # fmt: skip
    ours = tables.table1(*frames(lines, []))
    printed = paper.load("table1")
    printed = printed[printed["base_model"].isin(MODELS.values())].sort_values(
        ["base_model", "loss", "sampling", "benchmark"]
    )
    ours = ours.assign(base=ours["base_model"].map(MODELS), name=[BENCHMARKS[b].paper_name for b in ours["benchmark"]])
    ours = ours.sort_values(["base", "loss", "sampling", "name"])
    assert len(ours) == len(printed) == 48
    assert list(ours["paper_accuracy_pct"]) == list(printed["accuracy_pct"])
    assert ours["paper_nfe_speedup"].fillna(0).tolist() == printed["nfe_speedup"].fillna(0).tolist()


def test_arms_are_compared_on_the_problems_they_share() -> None:
    lines = [entry for entry in made_up() if not (entry.sampling == "SBD gamma_low" and entry.item_id.endswith("7"))]
    table = tables.table1(*frames(lines, []))
    assert set(table["n"]) == {36}


def test_failed_items_count_as_wrong_but_not_as_forwards() -> None:
    lines = [line("llama-mini", "ntp", "NTP", "gsm8k-mini", item, True, 10, 10) for item in range(3)]
    lines.append(line("llama-mini", "ntp", "NTP", "gsm8k-mini", 3, False, 0, 0))
    row = tables.table1(*frames(lines, [])).iloc[0]
    assert (row["n"], row["accuracy_pct"], row["nfe_mean"], row["tokens_per_forward"]) == (4, 75.0, 10.0, 1.0)


def test_wallclock_is_the_median_over_problems_of_ratios_of_medians_over_repeats() -> None:
    seconds = {"NTP": [(4, 4, 40), (6, 6, 6), (9, 9, 9)], "SBD gamma_low": [(2, 2, 20), (2, 1, 2), (9, 9, 9)]}
    timings = [
        timing(sampling, item, repeat, float(value))
        for sampling, items in seconds.items() for item, values in enumerate(items)
        for repeat, value in enumerate(values)
    ]  # fmt: skip
    lines = [line("llama-mini", loss, sampling, "gsm8k-mini", 0, True, 4, 2) for loss, sampling in ROWS]
    records, times = frames(lines, timings)
    table = tables.table1(records, times).set_index(["loss", "sampling"])
    assert table.loc[("SBD", "SBD gamma_low"), "wallclock_speedup"] == 2.0  # of 2, 3 and 1
    assert table.loc[("SBD", "NTP"), "wallclock_speedup"] == 1.0
    assert math.isnan(table.loc[("SBD", "SBD gamma_high"), "wallclock_speedup"])
    assert math.isnan(table.loc[("NTP", "NTP"), "wallclock_speedup"])
    pooled = tables.pooled(records, times).set_index(["loss", "sampling"])
    assert pooled.loc[("SBD", "SBD gamma_low"), "wallclock_speedup"] == 2.0


def test_pooled_difference_is_paired() -> None:
    """With equal mean accuracies, arms that agree on every problem get a tight interval, others a wide one."""
    agree = [
        line("llama-mini", loss, sampling, "gsm8k-mini", item, item % 2 == 0, 4, 2)
        for loss, sampling in ROWS for item in range(100)
    ]  # fmt: skip
    pooled = tables.pooled(*frames(agree, [])).set_index(["loss", "sampling"])
    assert list(pooled.loc[("SBD", "SBD gamma_low"), ["difference_points", "difference_low", "difference_high"]]) == [
        0,
        0,
        0,
    ]
    flipped = [
        dataclasses.replace(entry, correct=not entry.correct) if entry.sampling == "SBD gamma_low" else entry
        for entry in agree
    ]  # fmt: skip
    row = tables.pooled(*frames(flipped, [])).set_index(["loss", "sampling"]).loc[("SBD", "SBD gamma_low")]
    assert row["difference_points"] == 0 and row["difference_low"] < -15 and row["difference_high"] > 15


def test_verified_outputs_are_counted_against_autoregression_with_the_same_weights() -> None:
    lines = made_up()
    ids = {(e.model, e.item_id): e.generated_ids for e in lines if (e.loss, e.sampling) == ("sbd", "NTP")}
    spoilt = {("llama-mini", f"{NAMES[0]}/3"), ("llama-mini", f"{NAMES[1]}/5"), ("qwen3-mini", f"{NAMES[0]}/0")}
    lines = [
        dataclasses.replace(
            e, generated_ids=ids[e.model, e.item_id] + ([7] if (e.model, e.item_id) in spoilt else [])
        ) if e.sampling == VERIFIED else e
        for e in lines
    ]  # fmt: skip
    pooled = tables.pooled(*frames(lines, []))
    verified = pooled[pooled["sampling"] == VERIFIED].set_index("base_model")["differing_outputs"]
    assert verified.to_dict() == {"llama-mini": 2, "qwen3-mini": 1, "both": 3}
    assert pooled.loc[pooled["sampling"] != VERIFIED, "differing_outputs"].isna().all()
    assert any("3 of 160 outputs differ" in note for note in layout.pooled_grid(pooled, "mini").notes)


def test_pooled_rows_join_models_and_benchmarks() -> None:
    lines = made_up()
    pooled = tables.pooled(*frames(lines, []))
    both = pooled[(pooled["base_model"] == "both") & (pooled["sampling"] == "SBD gamma_low")].iloc[0]
    mine = [entry for entry in lines if entry.sampling == "SBD gamma_low"]
    reference = [entry for entry in lines if entry.loss == "ntp"]
    assert both["n"] == len(mine) == 160
    assert both["tokens_per_forward"] == pytest.approx(
        sum(len(e.generated_ids) for e in mine) / sum(e.nfe_decode for e in mine)
    )
    assert both["tokens_per_forward_per_problem"] == pytest.approx(
        sum(len(e.generated_ids) / e.nfe_decode for e in mine) / 160
    )
    assert both["difference_points"] == pytest.approx(
        100 * (sum(e.correct for e in mine) - sum(e.correct for e in reference)) / 160
    )


def test_files_have_the_columns_and_the_numbers(tmp_path: Path) -> None:
    records, timings = frames(made_up(), [])
    table = tables.table1(records, timings)
    text = layout.write(table, tables.pooled(records, timings), tmp_path, "mini")
    header, *rows = (tmp_path / "mini" / "table1.csv").read_text(encoding="utf-8").splitlines()
    assert header == (
        "base_model,loss,sampling,gamma_nats,benchmark,n,accuracy_pct,accuracy_low,accuracy_high,nfe_mean,"
        "tokens_per_forward,nfe_ratio_to_ar,wallclock_speedup,paper_accuracy_pct,paper_nfe_speedup"
    )
    assert len(rows) == len(table)
    for name in ("table1.md", "table1.tex"):
        written = (tmp_path / "mini" / name).read_text(encoding="utf-8")
        for accuracy in table["accuracy_pct"]:
            assert f"{accuracy:.1f} [" in written and f"{accuracy:.1f} [" in text
        assert "mini scale" in written and "8B: 81.0, 3.55x" in written  # Llama, MATH500, gamma_low


def test_readme_takes_the_table_between_its_markers_and_nothing_else(tmp_path: Path) -> None:
    readme, table = tmp_path / "README.md", tmp_path / "table1.md"
    readme.write_text(f"before\n{layout.BEGIN}\nold\n{layout.END}\nafter\n", encoding="utf-8")
    table.write_text("| new |\n", encoding="utf-8")
    for _ in range(2):
        layout.refresh_readme(readme, table)
        assert readme.read_text(encoding="utf-8") == f"before\n{layout.BEGIN}\n| new |\n{layout.END}\nafter\n"
    readme.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines <!-- table1:begin -->"):
        layout.refresh_readme(readme, table)


def test_records_come_from_the_arms_folders_and_foreign_lines_are_refused(tmp_path: Path) -> None:
    lines = made_up(problems=2)
    for entry in lines:
        folder = tmp_path / "mini" / entry.model / f"{entry.loss}-{SAMPLINGS[entry.sampling]}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{entry.benchmark}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dataclasses.asdict(entry)) + "\n")
    loaded = tables.load_records(tmp_path, "mini", list(MODELS), NAMES)
    assert sorted(loaded["run_id"]) == sorted(entry.run_id for entry in lines)
    path = tmp_path / "mini" / "llama-mini" / "ntp-ntp" / "gsm8k-mini.jsonl"
    odd = dataclasses.replace(lines[0], item_id="x", run_id="other")
    path.write_text(path.read_text() + json.dumps(dataclasses.asdict(odd)) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="mixes the lines of several run ids"):
        tables.load_records(tmp_path, "mini", list(MODELS), NAMES)
    with pytest.raises(ValueError, match="no records below"):
        tables.load_records(tmp_path / "none", "mini", list(MODELS), NAMES)


def test_renderers_keep_cells_apart() -> None:
    grid = Grid(title="T", header=[("a",), ("b",)], rows=[[("1", "2|"), ("x_y%",)]], notes=["n"])
    assert to_markdown(grid) == "**T**\n\n| a | b |\n|---|---|\n| 1<br>2\\| | x_y% |\n\n- n\n"
    assert to_text(grid).splitlines()[4:6] == ["1   x_y%", "2|"]
    assert r"\makecell[l]{1 \\ 2|} & x\_y\% \\" in to_latex(grid)
    assert escape("50% & a_b") == r"50\% \& a\_b"
    with pytest.raises(ValueError, match="a row of 1 cells under a header of 2"):
        Grid(title="T", header=[("a",), ("b",)], rows=[[("1",)]])

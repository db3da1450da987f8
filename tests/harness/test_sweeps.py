"""Sweeps end to end on tiny models: counts of forwards known beforehand, resume, gaps, Table 1's files, --all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness import reproduce, run, studies, sweeps
from harness.arms import VERIFIED, Arm, checkpoint_of
from harness.benchmarks import BENCHMARKS, benchmark
from harness.options import Options
from harness.reproduce import main
from harness.review.places import Places
from harness.review.tables import verify_tables
from harness.rooflines import RooflineOptions
from harness.sweeps import AR

NAME = "gsm8k-mini"


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Small budgets and grids: random models never stop."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (NAME, "lcb-mini"):
            patch.setitem(BENCHMARKS, name, replace(benchmark(name), max_new_tokens=32))
        patch.setattr(sweeps, "GRIDS", {name: values[-1:] for name, values in sweeps.GRIDS.items()} | {"topk": (3, 8)})
        yield


def options(weights: Path, out: Path, **changes: object) -> Options:
    settings = {
        "scale": "mini", "limit": 2, "models": ("llama-mini",), "benchmarks": (NAME, "lcb-mini"), "batch_size": 2,
        "device": "cpu", "weights": weights, "out": out, "fresh": False, "update_readme": False, "command": "test",
        "roofline": RooflineOptions(),
    }  # fmt: skip
    return Options(**(settings | changes))


def test_top_k_takes_as_many_forwards_as_division_says(tiny_weights, tmp_path):
    sweep = sweeps.plan("llama-mini", "sbd", [NAME], ["topk", AR], tiny_weights, to_budget=True)
    run.run_grid(sweep.runnable, tmp_path, 2, 2, "cpu", "test")
    points = sweeps.points(sweep, tmp_path, None).set_index("sampler")
    assert list(points.loc["topk", "nfe_budget"]) == [2 * 6, 2 * 2]  # two blocks of 16: ceil(16 / 3), 16 / 8
    assert points.loc[AR, "nfe_budget"] == 32
    assert (points["nfe_solution"] <= points["nfe_budget"]).all() and (points["n"] == 2).all()


@pytest.mark.parametrize(("sampler", "sampling"), [(AR, "NTP"), (VERIFIED, VERIFIED)])
def test_arms_without_a_parameter_are_table_1s(tiny_weights, sampler, sampling):
    (arm,) = sweeps.plan("llama-mini", "sbd", [NAME], [sampler], tiny_weights, to_budget=True).arms
    folder = checkpoint_of("llama-mini", "sbd", tiny_weights)
    known = Arm(model="llama-mini", loss="sbd", sampling=sampling, benchmark=NAME, checkpoint=folder)
    assert (arm.run_id, arm.path(Path("r"))) == (known.run_id, known.path(Path("r")))


def test_counting_to_the_budget_is_another_run(tiny_weights):
    ids = [
        sweeps.plan("llama-mini", "sbd", [NAME], ["factor"], tiny_weights, to_budget=budget).arms[0].run_id
        for budget in (False, True)
    ]
    assert ids[0] != ids[1]


def check_verified(out: Path, name: str) -> None:
    """Check that `python -m harness.results verify` makes the same points again, and sees a changed one."""
    outcome = verify_tables(Places(out=out, scale="mini"))
    assert any(what.startswith(f"{name}: ") for what in outcome.checked) and not outcome.differences
    path = out / "reports/mini" / name
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ours,", "paper,", 1), encoding="utf-8")
    assert verify_tables(Places(out=out, scale="mini")).differences
    path.write_text(text, encoding="utf-8")


def test_figure_5_marks_the_gaps_and_resumes(tiny_weights, tmp_path, monkeypatch):
    paths = studies.build_tradeoff("5", options(tiny_weights, tmp_path))
    frame = pd.read_csv(paths[2])
    assert set(frame.loc[frame["source"] == "ours", "length"]) == {"full"}
    made = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.jsonl")}
    assert {path.parent.name for path in made} == {"sbd-ntp", "sbd-eb_entropy-1.5"}
    check_verified(tmp_path, "figure5.csv")
    monkeypatch.setattr(run, "decode", None)  # a second run decodes nothing
    studies.build_tradeoff("5", options(tiny_weights, tmp_path))
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.jsonl")} == made


def test_records_are_drawn_without_their_checkpoint(tiny_weights, tmp_path):
    weights = shutil.copytree(tiny_weights, tmp_path / "weights")
    shutil.copytree(weights / "llama-mini/sbd", weights / "llama-mini/sbd-half")
    before = pd.read_csv(studies.build_tradeoff("12", options(weights, tmp_path))[2])
    shutil.rmtree(weights / "llama-mini/sbd-half")
    after = pd.read_csv(studies.build_tradeoff("12", options(weights, tmp_path))[2])
    pd.testing.assert_frame_equal(before, after)
    assert set(after.loc[after["source"] == "ours", "length"]) == {"1/2", "full"}
    assert set(after.loc[after["length"] == "1/2", "sampler"]) == {"AR", "EB", "Factor"}


def test_figure_1_compares_both_trainings(tiny_weights, tmp_path):
    frame = pd.read_csv(studies.build_figure1(options(tiny_weights, tmp_path))[2])
    ours = frame[frame["source"] == "ours"]
    assert list(ours["sampling"]) == ["NTP", "SBD", VERIFIED] and ours["speedup"].iloc[0] == 1
    check_verified(tmp_path, "figure1.csv")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("what", [["--figure", "5"], ["--figure", "4"], ["--figure", "1"], ["--table", "2"]])
def test_no_checkpoint_at_all_gets_one_line_that_names_the_script(what, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.mini.checkpoints.FOLDER", tmp_path / "none")
    line = refused([*what, "--out", str(tmp_path), "--device", "cpu"], capsys)
    assert "no checkpoint in" in line and "scripts/train_mini" in line
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_figure_without_its_benchmarks_gets_one_line(capsys, tmp_path):
    line = refused(["--figure", "1", "--benchmarks", NAME, "--out", str(tmp_path)], capsys)
    assert "this figure shows lcb-mini" in line


def test_all_goes_on_after_a_failure_and_says_so(tmp_path, monkeypatch, capsys):
    def fails(options: Options) -> str:
        raise ValueError("no checkpoint")

    monkeypatch.setattr(reproduce, "TABLES", {"1": fails, "2": lambda options: "made"})
    monkeypatch.setattr(reproduce, "FIGURES", {"3": lambda options: "drawn"})
    assert main(["--all", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "table 2: made" in said.out and "figure 3: drawn" in said.out
    assert "1 of 4 were not made: table 1: no checkpoint" in said.err

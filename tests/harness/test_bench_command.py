"""The command `python -m harness.bench`: what it refuses, what it leaves behind, and how it goes on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.bench.__main__ import main
from harness.bench.options import BenchOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "nowhere"}, "neither a folder"),
        ({"model": None}, "either --model"),
        ({"shape": "paper-8b", "model": None}, "--shape 'paper-8b'"),
        ({"layers": 3}, "only with --shape"),
        ({"shape": "smollm2-135m", "model": None, "layers": 31}, "1 to 30"),
        ({"dtype": "int8"}, "--dtype"),
        ({"rounds": 0}, "--rounds 0"),
        ({"lengths": (1,)}, "--lengths 1"),
        ({"clock": "cpu"}, "--threads 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchOptions(**{"model": "llama-mini"} | options)


def test_the_command_says_in_one_line_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--shape", "smollm2-135m"],
        ["--random-weights"],
        ["--model", "nowhere"],
        ["--device", "cuda:77"],
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1


ALL = ["--decode", "--throughput", "--slowdown", "--training", "--kernel"]
SMALL = shlex.split(
    "--device cpu --threads 1 --rounds 1 --prompts 1 --batch-sizes 1 --block-sizes 16 --kv-lengths 8 --lengths 12 "
    "--step-batch 1 --kernel-rows 2 --vocabularies 33"
)


def test_the_command_measures_reports_and_then_only_reports(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.bench.ceilings.COPY_BYTES", {"cpu": 1 << 16})
    monkeypatch.setattr("harness.bench.ceilings.GEMM_SIZE", {"cpu": 32})
    arguments = [*ALL, *SMALL, "--model", str(tiny_weights / "llama-mini" / "sbd"), "--out", str(tmp_path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Our AR is" in printed and "compute limits" in printed and "Wall-clock speedup, Eq. 16" in printed
    files = sorted((tmp_path / "results" / "small" / "bench").glob("*/*.jsonl"))
    assert [path.name.split("-")[0] for path in files] == ["decode", "kernel", "slowdown", "throughput", "training"]
    manifest = json.loads((files[0].parent / "manifest.json").read_text())
    assert {run["file"] for run in manifest["runs"]} == {path.name for path in files}
    reports = tmp_path / "reports" / "small"
    tables = sorted(path.name for path in reports.glob("*.csv"))
    assert len(tables) == 6 and len(list(reports.glob("*.pdf"))) == 5
    arms = set(pd.read_csv(reports / next(name for name in tables if "decode" in name))["arm"])
    assert arms == {"ar", "sbd", "verified", "hf-dynamic", "hf-static", "hf-lookup"}
    before = [path.read_bytes() for path in files]
    assert main(["--kernel", "--profile", *arguments[len(ALL) :]]) == 0
    assert [path.read_bytes() for path in files] == before
    profiles = {path.name.removesuffix(".json.gz") for path in (files[0].parent / "profiles").glob("*/*.json.gz")}
    assert profiles == {"copy", "gemm", "ours", "eager", "statistics"}


def test_another_run_is_not_mixed_in(tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--training", *SMALL, "--model", str(tiny_weights / "llama-mini" / "sbd"), "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert main([*arguments, "--step-batch", "2"]) == 2
    assert "holds records of run" in capsys.readouterr().err
    assert main([*arguments, "--step-batch", "2", "--fresh"]) == 0

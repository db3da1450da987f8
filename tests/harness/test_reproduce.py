"""The command line end to end on tiny models, and one line with exit code 2 for everything a user can get wrong."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.benchmarks import BENCHMARKS, benchmark
from harness.reproduce import main

NAME = "math500-mini"


@pytest.fixture(scope="module", autouse=True)
def short_budget() -> Iterator[None]:
    """Random models never stop: a few tokens are enough of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BENCHMARKS, NAME, replace(benchmark(NAME), max_new_tokens=16))
        yield


def arguments(weights: Path, out: Path, *more: str) -> list[str]:
    chosen = ["--models", "llama-mini", "--benchmarks", NAME, "--batch-size", "3", "--device", "cpu"]
    return ["--table", "1", "--weights", str(weights), "--out", str(out), *chosen, *more]


@pytest.fixture(scope="module")
def first_run(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run on three problems; read only."""
    out = tmp_path_factory.mktemp("out")
    assert main(arguments(tiny_weights, out, "--limit", "3")) == 0
    return out


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_leaves_records_timings_and_three_tables(first_run: Path) -> None:
    names = set(files(first_run))
    arms = ("ntp-ntp", "sbd-ntp", "sbd-gamma_high", "sbd-gamma_low", "sbd-verified")
    expected = {f"results/mini/llama-mini/{arm}/{name}" for arm in arms for name in (f"{NAME}.jsonl", "manifest.json")}
    expected |= {f"results/mini/llama-mini/{name}" for name in (f"wallclock-{NAME}.jsonl", "manifest.json")}
    expected |= {f"reports/mini/table1{end}" for end in (".csv", ".md", ".tex", "_pooled.csv")}
    assert names == expected
    table = pd.read_csv(first_run / "reports/mini/table1.csv")
    assert list(table["n"]) == [3] * 5
    assert table.loc[table["loss"] == "SBD", "wallclock_speedup"].gt(0).all()


def test_a_second_run_only_rebuilds_the_table(tiny_weights: Path, first_run: Path, tmp_path: Path) -> None:
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "reports")
    assert main(arguments(tiny_weights, tmp_path, "--limit", "3")) == 0
    assert files(tmp_path) == files(first_run)


def test_a_smaller_limit_takes_the_first_problems_and_keeps_the_rest(
    tiny_weights: Path, first_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    assert main(arguments(tiny_weights, tmp_path, "--limit", "2")) == 0
    assert "n=2" in capsys.readouterr().out
    before, after = files(first_run), files(tmp_path)
    assert {k: v for k, v in after.items() if k.startswith("results")} == {
        k: v for k, v in before.items() if k.startswith("results")
    }


def test_a_torn_record_is_made_again(
    tiny_weights: Path, first_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "results/mini/llama-mini/ntp-ntp" / f"{NAME}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert main(arguments(tiny_weights, tmp_path, "--limit", "3")) == 0
    assert "note: " in (said := capsys.readouterr().err) and "the last line is cut off" in said
    assert path.read_bytes().count(b"\n") == 3
    assert path.read_bytes().startswith(b"\n".join(whole.split(b"\n")[:2]) + b"\n")


def test_fresh_forgets_what_was_there(tiny_weights: Path, first_run: Path, tmp_path: Path) -> None:
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    other = tmp_path / "results/mini/llama-mini/ntp-ntp/gsm8k-mini.jsonl"
    other.write_text("kept\n", encoding="utf-8")
    damaged = tmp_path / "results/mini/llama-mini/sbd-ntp" / f"{NAME}.jsonl"
    damaged.write_text("damaged\n", encoding="utf-8")
    assert main(arguments(tiny_weights, tmp_path, "--limit", "1", "--fresh")) == 0
    assert other.read_text(encoding="utf-8") == "kept\n"
    assert damaged.read_bytes().count(b"\n") == 1 and b'"run_id"' in damaged.read_bytes()


WRONG = {
    "table": (["--table", "9"], "'9'"),
    "scale": (["--table", "1", "--scale", "huge"], "'huge'"),
    "model": (["--table", "1", "--models", "gpt"], "'gpt'.*llama-mini, qwen3-mini"),
    "benchmark": (["--table", "1", "--benchmarks", "x"], "'x'.*gsm8k-mini"),
    "limit 0": (["--table", "1", "--limit", "0"], "--limit 0: choose 1 to 500"),
    "limit 501": (["--table", "1", "--limit", "501"], "--limit 501: choose 1 to 500"),
    "batch size": (["--table", "1", "--batch-size", "0"], "--batch-size 0"),
    "no weights folder": (["--table", "1", "--weights", "nowhere"], "'nowhere': no such folder"),
    "device": (["--table", "1", "--device", "abacus", "--weights", "."], "device 'abacus' cannot be used here"),
    "empty weights folder": (["--table", "1", "--weights", ".", "--device", "cpu"], r"no weights \(\*\.safetensors\)"),
}


def refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run, expect exit code 2, and return the one line that says why."""
    assert main(given) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_gets_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given, pattern = WRONG[name]
    line = refused(given, capsys)
    assert pd.Series([line]).str.contains(pattern).all(), line
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_file_gets_one_line(
    tiny_weights: Path, first_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "results/mini/llama-mini/sbd-ntp" / f"{NAME}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"benchmark"', b'"benchmrk"', 1))
    assert "line 1 is damaged" in refused(arguments(tiny_weights, tmp_path, "--limit", "3"), capsys)


def test_an_out_folder_that_cannot_be_written_gets_one_line(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    line = refused(arguments(tiny_weights, tmp_path / "file", "--limit", "1"), capsys)
    assert "file" in line and "--out" in line


def test_missing_shipped_weights_get_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.mini.checkpoints.FOLDER", tmp_path)
    assert "no checkpoint in" in refused(["--table", "1", "--out", str(tmp_path)], capsys)


def test_ctrl_c_keeps_what_is_there_and_says_so(tiny_weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.reproduce", *arguments(tiny_weights, tmp_path, "--limit", "500")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "results/mini/llama-mini/ntp-ntp" / f"{NAME}.jsonl"
    try:
        deadline = time.monotonic() + 120
        while not path.is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err and "the same command goes on from there" in err
    assert path.read_bytes().endswith(b"\n")

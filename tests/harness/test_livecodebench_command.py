"""The LiveCodeBench command on a tiny random checkpoint: records, resuming, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.livecodebench.__main__ import main
from harness.results import Record, read


def line(number: int, date: str) -> dict[str, Any]:
    tests = json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}])
    return {
        "question_title": "t", "question_content": f"Add one to n, {number}.", "platform": "atcoder",
        "question_id": f"q{number}", "contest_id": "c", "contest_date": f"{date}T00:00:00", "starter_code": "",
        "difficulty": "easy", "public_test_cases": tests, "private_test_cases": tests, "metadata": "{}",
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [line(number, f"2025-0{number}-01") for number in (1, 2, 3)]
    (tmp_path / "test6.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return tmp_path


def run(tiny_weights: Path, data: Path, *more: str) -> int:
    model = tiny_weights / "llama-mini" / "sbd"
    options = ["--model", str(model), "--data", str(data), "--out", str(data / "out"), "--device", "cpu"]
    return main([*options, "--max-new-tokens", "16", "--allow-unsandboxed", *more])


def test_it_records_resumes_and_summarises(tiny_weights: Path, data: Path, capsys: Any) -> None:
    path = data / "out" / "small" / "llama-mini" / "sbd-SBD_eb_entropy_0.1_k16" / "livecodebench.jsonl"
    assert run(tiny_weights, data, "--selection", "v6", "--end", "2025-02-01") == 0
    first = {record.item_id: record for record in read(path, Record)}
    assert list(first) == ["q1", "q2"] and "pass@1" in capsys.readouterr().out
    for record in first.values():
        assert record.nfe_decode == record.nfe["block"] + record.nfe["fused"] > 0 and not record.correct
        assert record.error and record.gamma_nats == 0.1 and record.stop_reason in ("length", "eos", "stop_string")
    assert run(tiny_weights, data, "--selection", "v6") == 0
    second = {record.item_id: record for record in read(path, Record)}
    assert list(second) == ["q1", "q2", "q3"] and second["q1"] == first["q1"]


def test_ctrl_c_says_how_to_go_on(tiny_weights: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.livecodebench.__main__.load", interrupt)
    assert run(tiny_weights, data, "--selection", "v6") == 130 and "goes on" in capsys.readouterr().err


def test_bad_input_is_one_line(tiny_weights: Path, data: Path, capsys: Any) -> None:
    for options, reason in (
        (["--selection", "v9"], "no LiveCodeBench version 'v9'"),
        (["--start", "2025-01-01"], "paper has its own dates"),
        (["--selection", "v5"], "no test5.jsonl"),
        (["--selection", "v6", "--start", "2026-01-01"], "no problems lie"),
    ):
        assert run(tiny_weights, data, *options) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("error: ") and reason in error and "\n" not in error

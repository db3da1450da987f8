"""evalplus through our decoder and sandbox: the real problems' canonical solutions, hostile ones, resuming, records."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("evalplus", reason="evalplus is not installed")

from harness.evalplus_backend import scoring
from harness.evalplus_backend.__main__ import main
from harness.evalplus_backend.data import load_problems
from harness.evalplus_backend.scoring import Verdict, score
from harness.results import Record, read
from harness.sandbox import why_not

SBD_DATA = Path(os.environ.get("SBD_DATA_DIR", Path(__file__).parents[3] / "shared" / "data"))

TIER = next((tier for tier in ("bubblewrap", "unshare") if why_not(tier) is None), None)
needs_sandbox = pytest.mark.skipif(TIER is None, reason="neither bubblewrap nor user namespaces run here")


def problem(number: int, name: str, body: str, base: list[Any], plus: list[Any]) -> dict[str, Any]:
    """Return a problem in evalplus's format."""
    return {
        "task_id": f"HumanEval/{number}", "entry_point": name, "prompt": f'def {name}(x):\n    """Do {name}."""\n',
        "contract": "", "canonical_solution": f"    {body}\n", "base_input": base, "plus_input": plus, "atol": 0,
    }  # fmt: skip


PROBLEMS = [
    problem(0, "double", "return 2 * x", [[1], [2]], [[-3], [10**20]]),
    problem(1, "ends", "return x[:1] + x[-1:]", [["abc"]], [[""], ["x"]]),
    problem(2, "half", "return x / 2", [[1.0]], [[3.0], [0.1]]),
]


def whole(line: Mapping[str, Any], body: str | None = None) -> str:
    return str(line["prompt"]) + (str(line["canonical_solution"]) if body is None else f"    {body}\n")


@needs_sandbox
def test_right_wrong_and_half_right_solutions() -> None:
    root = {**problem(4, "find_zero", "return 1.0", [[[-1.0, 1.0]]], [[[-2.0, 2.0]]]), "atol": 1e-4}
    problems = [*PROBLEMS, {**PROBLEMS[0], "task_id": "HumanEval/3"}, root, {**root, "task_id": "HumanEval/5"}]
    solutions = {
        "HumanEval/0": whole(PROBLEMS[0], "return x + x if x > 0 else 0"),
        "HumanEval/1": whole(PROBLEMS[1], "while True: pass"),
        "HumanEval/2": "",
        "HumanEval/3": whole(PROBLEMS[0]),
        "HumanEval/4": whole(root),
        "HumanEval/5": whole(root, "return 3.0"),
    }
    verdicts = score("humaneval", problems, solutions, tier=TIER)
    assert (verdicts["HumanEval/0"].base, verdicts["HumanEval/0"].plus) == ("pass", "fail")
    assert verdicts["HumanEval/0"].base_passed and not verdicts["HumanEval/0"].plus_passed
    assert verdicts["HumanEval/1"].base in ("fail", "timeout") and verdicts["HumanEval/2"].base == "fail"
    passed = Verdict(base="pass", plus="pass", error=None, sandbox=str(TIER))
    assert verdicts["HumanEval/3"] == verdicts["HumanEval/4"] == passed
    assert verdicts["HumanEval/5"].base == "fail"  # Its own rule: the polynomial's value at the root found.


KILL_ALL = "import ctypes; [ctypes.CDLL(None).kill(-1, 9) for _ in range(9)]"
LEAVE_A_CHILD = "import ctypes, time; ctypes.CDLL(None).fork() or time.sleep(600)"


@needs_sandbox
@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(KILL_ALL, id="killing the evaluator"),
        pytest.param(LEAVE_A_CHILD, id="leaving a child", marks=pytest.mark.slow),
    ],
)
def test_a_hostile_solution_takes_no_other_down(hostile: str) -> None:
    solutions = {"HumanEval/0": whole(PROBLEMS[0]), "HumanEval/1": whole(PROBLEMS[1], f"{hostile}; return 0")}
    verdicts = score("humaneval", PROBLEMS[:2], solutions, tier=TIER, test_seconds=2.0)
    assert verdicts["HumanEval/0"].plus_passed and not verdicts["HumanEval/1"].base_passed


@pytest.mark.slow
@needs_sandbox
def test_an_evaluator_that_is_stopped_is_ended_and_the_guilty_one_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP for the whole tree of evalplus: nothing there can end it any more."""
    monkeypatch.setattr(scoring, "START_SECONDS", 30.0)
    monkeypatch.setattr(scoring, "PROBLEM_SECONDS", 0.1)
    stop = "import ctypes; ctypes.CDLL(None).kill(-1, 19)"
    solutions = {"HumanEval/0": whole(PROBLEMS[0], f"{stop}; return 0"), "HumanEval/1": whole(PROBLEMS[1])}
    verdicts = score("humaneval", PROBLEMS[:2], solutions, tier=TIER)
    assert verdicts["HumanEval/1"].plus_passed
    assert verdicts["HumanEval/0"].base == "error" and verdicts["HumanEval/0"].error


def test_a_run_that_hangs_is_ended_and_repeated_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """In evalplus's place a program that hangs wherever it is given HumanEval/2."""
    fake = (
        "import json, sys, time\ntasks = [line['task_id'] for line in json.load(sys.stdin)['samples']]\n"
        "if 'HumanEval/2' in tasks: time.sleep(600)\nprint(json.dumps({task: ['pass', 'fail'] for task in tasks}))"
    )
    monkeypatch.setattr(scoring, "DRIVER", fake)
    monkeypatch.setattr(scoring, "START_SECONDS", 2.0)
    monkeypatch.setattr(scoring, "PROBLEM_SECONDS", 0.01)
    verdicts = score("humaneval", PROBLEMS, {line["task_id"]: "" for line in PROBLEMS}, tier="limits")
    assert [verdicts[line["task_id"]].base for line in PROBLEMS] == ["pass", "pass", "error"]
    assert "timeout" in str(verdicts["HumanEval/2"].error)


def test_a_damaged_report_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    torn, other, odd = (
        '{"HumanEval/0": ["pass", "pass"]',
        '{"HumanEval/9": ["pass", "pass"]}',
        '{"HumanEval/0": [0, 1]}',
    )
    for text in (torn, other, odd, "[1]"):
        monkeypatch.setattr(scoring, "DRIVER", f"import sys\nsys.stdin.read()\nprint({text!r})")
        verdict = score("humaneval", PROBLEMS[:1], {"HumanEval/0": ""}, tier="limits")["HumanEval/0"]
        assert verdict == Verdict(base="error", plus="error", error="evalplus's report is damaged", sandbox="limits")


def real(dataset: str) -> list[dict[str, Any]]:
    if not SBD_DATA.is_dir():
        pytest.skip("no real data: name its folder in SBD_DATA_DIR")
    return load_problems(dataset, str(SBD_DATA))


@needs_sandbox
def test_real_canonical_solutions_pass_and_empty_completions_fail() -> None:
    """Two problems of each kind here, one of them find_zero; all in the test below, with -m slow."""
    problems = real("humaneval")
    assert len(problems) == 164
    chosen = [problems[n] for n in (0, 32, 53, 60)]
    solutions = {line["task_id"]: whole(line) if n < 2 else line["prompt"] for n, line in enumerate(chosen)}
    verdicts = score("humaneval", chosen, solutions, tier=TIER, test_seconds=10.0)
    passed = [(verdicts[line["task_id"]].base_passed, verdicts[line["task_id"]].plus_passed) for line in chosen]
    assert passed == [(True, True), (True, True), (False, False), (False, False)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs_sandbox
@pytest.mark.parametrize(("dataset", "size"), [("humaneval", 164), ("mbpp", 378)])
def test_all_canonical_solutions_pass_and_empty_completions_fail(dataset: str, size: int) -> None:
    problems = real(dataset)
    verdicts = score(
        dataset, problems, {line["task_id"]: whole(line) for line in problems}, tier=TIER, test_seconds=10.0
    )
    assert sum(v.base_passed for v in verdicts.values()) == sum(v.plus_passed for v in verdicts.values()) == size
    empty = score(dataset, problems, {line["task_id"]: line["prompt"] for line in problems}, tier=TIER)
    assert not any(verdict.base_passed for verdict in empty.values())


@pytest.fixture
def checkpoint(tiny_weights: Path) -> Path:
    return tiny_weights / "llama-mini" / "sbd"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "plus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in PROBLEMS))
    return path


def run_main(checkpoint: Path, data: Path, out: Path, *more: str) -> int:
    options = ["--model", str(checkpoint), "--dataset", "humaneval", "--data", str(data), "--out", str(out)]
    fixed = ["--max-new-tokens", "24", "--device", "cpu", "--batch-size", "2", "--allow-unsandboxed"]
    return main([*options, *fixed, *more])


def records(out: Path, arm: str, benchmark: str) -> dict[str, Record]:
    return {line.item_id: line for line in read(out / "small" / "llama-mini" / arm / f"{benchmark}.jsonl", Record)}


def test_the_command_generates_scores_records_and_resumes(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_main(checkpoint, data, out, "--limit", "1") == 0
    first = records(out, "sbd-SBD_gamma_low", "humaneval")
    assert list(first) == ["HumanEval/0"]
    assert run_main(checkpoint, data, out) == 0
    for benchmark in ("humaneval", "humaneval-plus"):
        lines = records(out, "sbd-SBD_gamma_low", benchmark)
        assert list(lines) == [line["task_id"] for line in PROBLEMS]
        for line in lines.values():
            assert (line.benchmark, line.sampling) == (benchmark, "SBD gamma_low")
            assert (line.gamma_nats, line.block_size) == (0.35, 16)
            assert line.nfe_decode == line.nfe["block"] + line.nfe["fused"] > 0 and line.sandbox is not None
            assert len(line.generated_ids) == 24 and line.stop_reason == "length" and not line.correct
    assert records(out, "sbd-SBD_gamma_low", "humaneval")["HumanEval/0"] == first["HumanEval/0"]
    samples = next((out / "small" / "llama-mini" / "sbd-SBD_gamma_low" / "evalplus").glob("*.raw.jsonl"))
    assert [json.loads(line)["task_id"] for line in samples.read_text().splitlines()] == list(lines)


def test_other_settings_keep_to_their_own_files(checkpoint: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert run_main(checkpoint, data, out, "--limit", "1", "--decoding", "ar") == 0
    line = records(out, "sbd-NTP", "humaneval-plus")["HumanEval/0"]
    assert (line.decoding, line.gamma_nats, line.nfe_decode) == ("ar", None, len(line.generated_ids))
    assert run_main(checkpoint, data, out, "--limit", "1", "--gamma", "0.1") == 0
    assert records(out, "sbd-SBD_eb_entropy_0.1_k16", "humaneval")["HumanEval/0"].gamma_nats == 0.1
    capsys.readouterr()
    assert run_main(checkpoint, data, out, "--decoding", "ar", "--max-new-tokens", "8") == 2
    assert "holds records of run" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.evalplus_backend.__main__.load_problems", interrupt)
    assert run_main(checkpoint, data, tmp_path) == 130 and "goes on" in capsys.readouterr().err


def test_bad_input_is_one_line(checkpoint: Path, data: Path, tmp_path: Path, capsys: Any) -> None:
    assert run_main(checkpoint, tmp_path / "nothing.jsonl", tmp_path) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: no humaneval data") and "--data" in error and "\n" not in error
    assert run_main(checkpoint, data, tmp_path, "--limit", "0") == 2
    assert "--limit 0" in capsys.readouterr().err

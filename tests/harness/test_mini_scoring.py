"""Scoring of mini completions: right and wrong answers, and programs that misbehave in the child process."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from harness.mini import BENCHMARKS, Problem, score, score_many, test_problems
from harness.mini.execute import Limits, run_function, run_program
from harness.mini.scoring import last_boxed, normalise


def problem_of(benchmark: str, answer: str = "") -> Problem:
    return Problem(item_id="x/0", benchmark=benchmark, prompt="", solution="", answer=answer, tests={}, key="x:0")


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_canonical_solutions_are_right_and_cut_or_foreign_ones_wrong(benchmark: str) -> None:
    problems = test_problems(benchmark)[::10]
    assert all(result.correct for result in score_many([(p, p.solution) for p in problems]))
    cut = score_many([(p, p.solution[: len(p.solution) * 2 // 3]) for p in problems[:20]])
    assert sum(result.correct for result in cut) <= 2
    foreign = score_many([(p, q.solution) for p, q in zip(problems, problems[1:20], strict=False)])
    assert sum(result.correct for result in foreign) <= 4


@pytest.mark.parametrize(
    ("benchmark", "answer", "text", "correct", "extracted"),
    [
        ("gsm8k-mini", "17", " 12 + 5 = 17\n#### 17", True, "17"),
        ("gsm8k-mini", "1017", "#### $1,017.", True, "$1,017."),
        ("gsm8k-mini", "17", "#### 16\n#### 17\nmore", True, "17"),
        ("gsm8k-mini", "17", "#### 17\n#### 16", False, "16"),
        ("gsm8k-mini", "17", "the answer is 17", False, None),
        ("math500-mini", "x^2 - 2x - 15", "\\boxed{x^2-2x-15}", True, "x^2-2x-15"),
        ("math500-mini", "(13, 7)", "\\boxed{(13,7)}", True, "(13,7)"),
        ("math500-mini", "(13, 100)", "\\boxed{13100}", False, "13100"),
        ("math500-mini", "-5", "\\boxed{5}\n\\boxed{-5}", True, "-5"),
        ("math500-mini", "5", "\\boxed{5", False, None),
        ("aime25-mini", "25", "\\boxed{025}", True, "025"),
        ("aime25-mini", "25", "\\boxed{25.0}", False, "25.0"),
        ("aime25-mini", "25", "\\boxed{1025}", False, "1025"),
    ],
)
def test_maths_answers(benchmark: str, answer: str, text: str, correct: bool, extracted: str | None) -> None:
    result = score(problem_of(benchmark, answer), text)
    assert (result.correct, result.extracted) == (correct, extracted)
    assert correct or extracted is not None or result.error


def test_boxes_with_inner_braces_and_normal_forms() -> None:
    assert last_boxed("\\boxed{1} \\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert last_boxed("none") is None
    assert (normalise("007"), normalise(" 1 + 2 "), normalise("-03."), normalise("12,345")) == (
        "7",
        "1+2",
        "-3",
        "12345",
    )


def test_results_equal_in_value_but_not_in_type_are_wrong() -> None:
    problem = next(p for p in test_problems("humaneval-plus-mini") if p.key.startswith("list:") and "|sum" in p.key)
    assert score(problem, problem.solution).correct
    lines = problem.solution.split("\n")
    as_float = "\n".join([*lines[:-1], lines[-1].replace("return ", "return 1.0 * ")])
    assert not score(problem, as_float).correct
    liar = "    class Liar:\n        __eq__ = lambda self, other: True\n    return Liar()"
    result = score(problem, liar)
    assert not result.correct and "Liar" in str(result.error)


def test_output_is_compared_line_by_line_without_outer_spaces() -> None:
    problem = next(p for p in test_problems("lcb-mini") if p.solution.split("\n")[-1].startswith("print(sum"))
    assert score(problem, problem.solution + "\nprint('')").correct
    assert not score(problem, problem.solution + "\nprint(1)").correct
    assert score(problem, problem.solution + "\nexit()").correct


LIMITS = Limits(cpu_seconds=1, wall_seconds=8.0, memory_bytes=256 * 1024**2, output_chars=10_000)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("while True: pass", "no report"),
        ("x = 'a' * 10**9", "MemoryError"),
        ("return f(n)", "RecursionError"),
        ("return list(range(10**5))", "TooMuchOutput"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os; os._exit(0)", "no report"),
        ("import os; os.kill(os.getpid(), 9)", "no report"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("return object()", "TypeError"),
        ("return [{1, 2}]", "TypeError"),
        ("return )", "SyntaxError"),
        ("return input()", "EOFError"),
    ],
)
def test_misbehaving_functions_end_with_an_error(body: str, error: str) -> None:
    outcome = run_function(f"def f(n):\n    {body}\n", "f", [[1]], LIMITS)
    assert outcome.error is not None and error in outcome.error
    assert outcome.values == []


def test_a_program_cannot_write_to_a_file(tmp_path: Path) -> None:
    source = f"with open({str(tmp_path / 'file')!r}, 'w') as stream:\n    stream.write('x')\n"
    outcome = run_program(source, [""], LIMITS)
    assert outcome.error is not None and "OSError" in outcome.error
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0


def test_prints_of_a_function_do_not_disturb_its_result() -> None:
    source = (
        "import os\ndef f(n):\n    print('x' * 10**5)\n    os.write(1, b'junk')\n    return n, [str(n)], {n: None}\n"
    )
    outcome = run_function(source, "f", [[1], [2]], LIMITS)
    assert (outcome.values, outcome.error) == ([(1, ["1"], {1: None}), (2, ["2"], {2: None})], None)


def test_a_sleeping_program_is_stopped_on_time_and_its_children_too(tmp_path: Path) -> None:
    """The grandchild keeps a pipe open as long as it lives; end of file shows that it is gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    source = f"import os, time\nos.open({str(fifo)!r}, os.O_WRONLY)\nos.fork()\ntime.sleep(1234.5)\n"
    start = time.monotonic()
    outcome = run_program(source, [""], Limits(cpu_seconds=1, wall_seconds=1.5))
    assert outcome.error is not None and "timeout" in outcome.error
    assert time.monotonic() - start < 8
    ready, _, _ = select.select([reader], [], [], 5.0)
    assert ready and os.read(reader, 1) == b""
    os.close(reader)


def test_programs_read_and_print_and_a_flood_is_cut() -> None:
    outcome = run_program("print(int(input()) + 1)", ["1\n", "41\n"], LIMITS)
    assert (outcome.values, outcome.error) == (["2\n", "42\n"], None)
    flood = run_program("while True: print('x' * 1000)", [""], LIMITS)
    assert flood.error is not None and "TooMuchOutput" in flood.error


def test_the_environment_of_a_program_is_empty_and_its_names_are_fresh() -> None:
    source = "import os\nprint(sorted(set(os.environ) - {'LC_CTYPE'}), 'seen' in globals())\nseen = 1"
    assert run_program(source, ["", ""], LIMITS).values == ["[] False\n"] * 2


def test_limits_and_workers_are_checked() -> None:
    with pytest.raises(ValueError, match="cpu_seconds = 0"):
        Limits(cpu_seconds=0)
    with pytest.raises(ValueError, match="workers = 0"):
        score_many([], workers=0)

"""Scoring of mini completions: right and wrong answers, and code that does not come to an end."""

from __future__ import annotations

import pytest

from harness.mini import BENCHMARKS, Problem, score, score_many, test_problems
from harness.mini.scoring import last_boxed, normalise
from harness.sandbox import why_not


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


def test_each_score_says_in_which_sandbox_code_ran() -> None:
    code, maths = test_problems("humaneval-plus-mini")[0], test_problems("gsm8k-mini")[0]
    results = score_many([(code, code.solution), (maths, maths.solution)])
    assert [result.sandbox for result in results] == ["limits", None]
    if why_not("unshare") is None:
        result = score(code, code.solution, "unshare")
        assert result.correct and result.sandbox == "unshare"


def test_code_that_never_ends_is_wrong_and_workers_are_checked() -> None:
    problem = test_problems("lcb-mini")[0]
    result = score(problem, "while True: pass")
    assert not result.correct and result.error
    with pytest.raises(ValueError, match="workers = 0"):
        score_many([], workers=0)

"""The maths benchmarks of the mini suite: answers against solvers that read only the prompt; true steps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from random import Random

import pytest

from harness.mini import Problem, test_problems
from harness.mini.algebra import euclid, lead, signed
from harness.mini.corpus import draw

MATHS = ("gsm8k-mini", "math500-mini", "aime25-mini")


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def python_of(expression: str) -> str:
    """Turn school notation into Python: 3x^2 - x(x + 1) -> 3*x**2 - x*(x + 1)."""
    text = re.sub(r"(\d)x", r"\1*x", expression.replace("^", "**"))
    return text.replace(")(", ")*(")


def solve_story(prompt: str) -> int:
    """Follow a word problem sentence by sentence, by its verbs and numbers."""
    total = 0
    for sentence in prompt.removeprefix("Question: ").split(". ")[:-1]:
        n = numbers(sentence)
        verb = next(
            word
            for word in re.findall("[a-z]+", sentence)
            if word in ("has", "owns", "starts", "buys", "finds", "gives", "loses", "gets", "puts", "splits")
        )
        if "times as many" in sentence:
            total *= n[0]
        elif "equal" in sentence:
            assert total % n[0] == 0
            total //= n[0]
        else:
            total += math.prod(n) * (-1 if verb in ("gives", "loses") else 1)
    return total


def solve_linear(prompt: str) -> int:
    left, right = re.search(r"(\S+x [^=]*)= (-?\d+)", prompt).groups()
    return next(x for x in range(-99, 100) if eval(python_of(left), {"x": x}) == int(right))


def solve_quadratic(prompt: str) -> int:
    polynomial = re.search(r"f\(x\) = ([^.,]*)", prompt).group(1)
    return eval(python_of(polynomial), {"x": int(re.search(r"f\((\d+)\)", prompt).group(1))})


def solve_term(prompt: str) -> int:
    first, second = map(int, re.search(r"sequence (\d+), (\d+)", prompt).groups())
    place = int(re.search(r"term number (\d+)", prompt).group(1))
    value = first
    for _ in range(place - 1):
        value += second - first
    return value


def solve_area(prompt: str) -> int:
    around, side = numbers(prompt)
    return next(side * b for b in range(1, around) if 2 * (side + b) == around)


def solve_system(prompt: str) -> str:
    s, d = numbers(prompt)
    return str(next((x, s - x) for x in range(s) if x - (s - x) == d))


def solve_power(prompt: str) -> int:
    a, e, c, m = numbers(prompt)
    return (a**e + c) % m


def solve_series(prompt: str) -> int:
    first, second = map(int, re.search(r"(\d+), (\d+), \.\.\.", prompt).groups())
    count = int(re.search(r"first (\d+) terms", prompt).group(1))
    return sum(first + i * (second - first) for i in range(count))


def solve_digits(prompt: str) -> int:
    return sum(map(int, str(eval(re.search(r"\d+ \* \d+ \+ \d+", prompt).group()))))


def solve_composition(prompt: str) -> int:
    f, g = (python_of(text) for text in re.search(r"f\(x\) = (.*?) and g\(x\) = ([^.,]*)", prompt).groups())
    names = {"f": lambda x: eval(f, {"x": x}), "g": lambda x: eval(g, {"x": x})}
    return eval(re.search(r"[fg]\([fg]\(\d+\)\)", prompt).group(), names)


def solve_recurrence(prompt: str) -> int:
    start, rule = re.search(r"a_1 = (\d+) and a_\(n\+1\) = ([^.,]*)", prompt).groups()
    place, modulus = map(int, re.search(r"a_(\d+) modulo (\d+)", prompt).groups())
    value = int(start)
    for _ in range(place - 1):
        value = eval(rule.replace("a_n", f"*({value})"))
    return value % modulus


SOLVERS: dict[str, Callable[[str], int | str]] = {
    "story": solve_story,
    "linear": solve_linear,
    "quadratic": solve_quadratic,
    "gcd": lambda prompt: math.gcd(*numbers(prompt)),
    "sequence": solve_term,
    "perimeter": lambda prompt: 2 * sum(numbers(prompt)),
    "area": solve_area,
    "system": solve_system,
    "power": solve_power,
    "series": solve_series,
    "digits": solve_digits,
    "composition": solve_composition,
    "recurrence": solve_recurrence,
    "multiple": lambda prompt: math.lcm(*numbers(prompt)),
}


def kind(problem: Problem) -> str:
    return problem.key.partition(":")[0]


@pytest.mark.parametrize("benchmark", MATHS)
def test_every_gold_answer_is_what_a_solver_of_the_prompt_finds(benchmark: str) -> None:
    for problem in test_problems(benchmark):
        if kind(problem) != "expand":
            assert str(SOLVERS[kind(problem)](problem.prompt)) == problem.answer, problem.prompt


def test_every_expanded_product_equals_its_factors_as_a_function() -> None:
    problems = [problem for problem in test_problems("math500-mini") if kind(problem) == "expand"]
    assert len(problems) > 40
    for problem in problems:
        product = python_of(re.search(r"\(.*\)\(.*\)", problem.prompt).group())
        for x in range(-3, 4):
            assert eval(product, {"x": x}) == eval(python_of(problem.answer), {"x": x}), problem.prompt


@pytest.mark.parametrize("benchmark", MATHS)
@pytest.mark.parametrize("wide", [False, True])
def test_every_worked_line_is_true_and_the_last_line_is_the_answer(benchmark: str, wide: bool) -> None:
    rng = Random(11)
    for _ in range(1000):
        sample = draw(benchmark, rng, wide=wide)
        *lines, last = sample.completion.strip().split("\n")
        assert last == (f"#### {sample.answer}" if benchmark == "gsm8k-mini" else f"\\boxed{{{sample.answer}}}")
        for line in lines:
            sides = [side for side in line.split(" = ") if not re.fullmatch(r"\d*x|y", side)]
            assert len({eval(side) for side in sides}) == 1, line


def test_contest_answers_are_integers_from_0_to_999() -> None:
    assert all(0 <= int(problem.answer) <= 999 for problem in test_problems("aime25-mini"))


def test_every_kind_of_problem_occurs() -> None:
    kinds = {kind(problem) for benchmark in MATHS for problem in test_problems(benchmark)}
    assert kinds == {*SOLVERS, "expand"}


def test_stories_have_two_to_four_steps() -> None:
    steps = [problem.solution.count("\n") for problem in test_problems("gsm8k-mini")]
    assert {steps.count(n) > 50 for n in (2, 3, 4)} == {True}
    assert set(steps) == {2, 3, 4}


def test_euclid_on_known_numbers() -> None:
    assert euclid(84, 36) == (["84 = 2 * 36 + 12", "36 = 3 * 12 + 0"], 12)


def test_signs_and_leading_coefficients() -> None:
    assert (signed(3), signed(-3, "x"), signed(1, "x"), signed(1)) == (" + 3", " - 3x", " + x", " + 1")
    assert (lead(1, "x"), lead(-1, "x"), lead(-4, "x^2")) == ("x", "-x", "-4x^2")

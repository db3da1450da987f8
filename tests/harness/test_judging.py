"""Scorers that raise, hang or lose their worker cost one item each, and the run goes on."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness import judging, mini
from harness.arms import Arm
from harness.benchmarks import BENCHMARKS, benchmark
from harness.judging import judge
from harness.mini import Problem, Score, scoring
from harness.results import Record, read
from harness.run import run_grid

NAME = "gsm8k-mini"
Pairs = Sequence[tuple[Problem, str]]


def pairs(count: int) -> list[tuple[Problem, str]]:
    return [(problem, problem.solution) for problem in mini.test_problems(NAME, count)]


def test_a_scorer_that_raises_costs_only_its_item() -> None:
    asked = pairs(3)

    def score(some: Pairs) -> Sequence[Score]:
        if any(problem is asked[1][0] for problem, _ in some):
            raise RecursionError("too\ndeep")
        return mini.score_many(some)

    first, second, third = judge(score, asked)
    assert first.correct and third.correct
    assert (second.correct, second.error) == (False, "scoring failed: RecursionError: too deep")


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is over, so that nothing hangs for longer."""
    event = threading.Event()
    yield event
    event.set()


def test_a_scorer_that_hangs_costs_only_its_item(over: threading.Event) -> None:
    asked = pairs(2)

    def score(some: Pairs) -> Sequence[Score]:
        if some[0][0] is asked[0][0]:
            over.wait(60)
        return mini.score_many(some)

    first, second = judge(score, asked, seconds=0.2)
    assert second.correct
    assert (first.correct, first.error) == (False, "scoring failed: ScorerHangs: no answer within 0.2 s")


@pytest.mark.parametrize("trouble", [OSError("disk"), MemoryError(), KeyboardInterrupt()])
def test_the_machine_s_trouble_is_no_verdict(trouble: BaseException) -> None:
    def score(some: Pairs) -> Sequence[Score]:
        raise trouble

    with pytest.raises(type(trouble)):
        judge(score, pairs(2))


def test_a_scorer_that_loses_answers_is_asked_one_by_one() -> None:
    assert [one.error for one in judge(lambda some: [], pairs(2))] == [
        "scoring failed: ValueError: 0 scores for 1 answers"
    ] * 2


def test_code_that_kills_its_worker_or_never_ends_is_wrong_and_the_rest_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = dataclasses.replace(scoring.LIMITS, test_seconds=2.0, wall_seconds=4.0, cpu_seconds=1)
    monkeypatch.setattr(scoring, "LIMITS", limits)
    first, second, third = mini.test_problems("lcb-mini", 3)
    die, hang = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "import time\ntime.sleep(60)"
    died, hung, right = judge(mini.score_many, [(first, die), (second, hang), (third, third.solution)])
    assert not died.correct and died.error
    assert not hung.correct and hung.error and "timeout" in hung.error
    assert right.correct


def test_a_run_with_a_broken_scorer_comes_to_its_end(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: threading.Event
) -> None:
    asked = mini.test_problems(NAME, 4)

    def score(some: Pairs) -> Sequence[Score]:
        if any(problem.item_id == asked[2].item_id for problem, _ in some):
            over.wait(60)
        if any(problem.item_id == asked[0].item_id for problem, _ in some):
            raise ZeroDivisionError("x")
        return mini.score_many(some)

    monkeypatch.setattr(judging, "SECONDS", 0.3)
    monkeypatch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), max_new_tokens=8, score=score))
    checkpoint = tiny_weights / "llama-mini" / "sbd"
    one = Arm(model="llama-mini", loss="sbd", sampling="SBD gamma_low", benchmark=NAME, checkpoint=checkpoint)
    assert run_grid([one], tmp_path, 4, 2, "cpu", "test") == 4
    errors = [line.error for line in read(one.path(tmp_path), Record)]
    assert errors[0] == "scoring failed: ZeroDivisionError: x"
    assert errors[2] == "scoring failed: ScorerHangs: no answer within 0.3 s"
    assert all(error is None or "scoring failed" not in error for error in (errors[1], errors[3]))

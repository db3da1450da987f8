"""Chooses test inputs that tell a code task from its near misses: a constant off by one, a step left out, and so on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from harness.mini.dsl import ENDS, OPERATIONS, Pipeline
from harness.mini.strings import TEXT_ENDS, TextPipeline
from harness.mini.words import LETTERS

TRIES = 12
PROBED = range(-60, 130)
TWINS = {"even": "odd", "odd": "even", "greater": "less", "less": "greater", "add": "subtract", "subtract": "add"}
Task = TypeVar("Task")


def pipeline_misses(task: Pipeline) -> list[Pipeline]:
    """Return pipelines that differ from a pipeline in one stage or in the end."""
    misses = [replace(task, end=end) for end in ENDS if end != task.end]
    for at, (name, constant) in enumerate(task.stages):
        before, after = task.stages[:at], task.stages[at + 1 :]
        misses.append(replace(task, stages=(*before, *after)))
        if name in TWINS:
            misses.append(replace(task, stages=(*before, (TWINS[name], constant), *after)))
        if isinstance(constant, int):
            low = max(1, OPERATIONS[name].low)
            near = (constant - 1, constant + 1) if constant > low else (constant + 1,)
            misses += [replace(task, stages=(*before, (name, c), *after)) for c in near]
    return misses


def text_misses(task: TextPipeline) -> list[TextPipeline]:
    """Return string pipelines that differ from a string pipeline in one step or in the end."""
    misses = [replace(task, end=(end, *task.end[1:])) for end in TEXT_ENDS if end != task.end[0]]
    misses.append(replace(task, end=(task.end[0], _other(task.end[1]), *task.end[2:])))
    for at, (name, a, b, c) in enumerate(task.stages):
        before, after = task.stages[:at], task.stages[at + 1 :]
        misses.append(replace(task, stages=(*before, *after)))
        for stage in ((name, _other(a), b, c), (name, a, _other(b), c), (name, a, b, c + 1)):
            misses.append(replace(task, stages=(*before, stage, *after)))
    return misses


def probe_values(rng: Random) -> list[int]:
    """Return the integers around all constants in random order."""
    return rng.sample(PROBED, len(PROBED))


def _other(letter: str) -> str:
    return LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)]


def choose_inputs(
    task: Task,
    misses: list[Task],
    evaluate: Callable[[Task, Any], Any],
    draw: Callable[[], Any],
    *,
    fixed: list[Any],
    probes: list[Any],
    count: int,
) -> list[Any]:
    """Return `fixed` and further inputs, `count` in all, preferring those on which a surviving near miss differs.

    Args:
        task: the task under test.
        misses: its near misses; some may be equal to it in meaning and survive.
        evaluate: value of a task on an input.
        draw: gives a random input.
        fixed: inputs that are always taken.
        probes: simple inputs tried against the near misses that random ones do not tell apart.
        count: number of inputs to return.
    """
    chosen = list(fixed)
    wanted = [evaluate(task, given) for given in fixed]
    alive = [miss for miss in misses if all(evaluate(miss, x) == value for x, value in zip(fixed, wanted, strict=True))]
    for _ in range(TRIES):
        if len(chosen) == count or not alive:
            break
        candidate = draw()
        value = evaluate(task, candidate)
        survivors = [miss for miss in alive if evaluate(miss, candidate) == value]
        if len(survivors) < len(alive):
            chosen.append(candidate)
            alive = survivors
    values = [evaluate(task, probe) for probe in probes] if alive else []
    for miss in alive:
        telling = (probe for probe, value in zip(probes, values, strict=True) if evaluate(miss, probe) != value)
        found = next(telling, None)
        if found is not None and found not in chosen and len(chosen) < count:
            chosen.append(found)
    return chosen + [draw() for _ in range(count - len(chosen))]

"""Short exercises for pretraining: single calculations, single operations with their code, and evaluated examples.

They are not tasks of any benchmark and have no keys: a drill is one step, a test problem is a worded task with a key.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from harness.mini.algebra import euclid, nonzero, signed
from harness.mini.contest import split
from harness.mini.dsl import OPERATIONS, Pipeline, comprehension, draw_pipeline, expression
from harness.mini.words import ARGUMENTS

LINES = 7


def arithmetic(rng: Random) -> str:
    """Draw unrelated calculations, one a line, as they stand in worked solutions."""
    return "\n".join(_calculation(rng) for _ in range(LINES))


def _calculation(rng: Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        a, b = rng.randint(1, 199), rng.randint(1, 99)
        return f"{a} + {b} = {a + b}"
    if kind == 1:
        a, b = rng.randint(1, 199), rng.randint(1, 99)
        return f"{a} - {b} = {a - b}"
    if kind == 2:
        a, b = rng.randint(2, 9), rng.randint(2, 99)
        a, b = (a, b) if rng.random() < 0.5 else (b, a)
        return f"{a} * {b} = {a * b}"
    if kind == 3:
        a, b = rng.randint(2, 9), rng.randint(2, 30)
        return f"{a * b} / {a} = {b}"
    if kind == 4:
        a, b = nonzero(rng, 12), nonzero(rng, 12)
        return f"{a} * {b} = {a * b}"
    a, b = nonzero(rng, 40), nonzero(rng, 40)
    return f"{a}{signed(b)} = {a + b}"


def chain(rng: Random) -> str:
    """Draw a chain of calculations, each going on from the last result."""
    total = rng.randint(2, 60)
    lines: list[str] = []
    while len(lines) < LINES:
        b, k = rng.randint(2, 50), rng.randint(2, 9)
        choices = [(f"{total} + {b}", total + b), (f"{total} - {b}", total - b), (f"{total} * {k}", total * k)]
        text, value = choices[rng.randrange(3)]
        if 0 < value < 200:
            lines.append(f"{text} = {value}")
            total = value
    return "\n".join(lines)


def remainders(rng: Random) -> str:
    """Draw numbers as a multiple of one modulus plus a remainder."""
    modulus = rng.randint(4, 13)
    return f"modulo {modulus}:\n" + "\n".join(split(rng.randint(2, 140), modulus) for _ in range(LINES))


def divisions(rng: Random) -> str:
    """Draw Euclid's divisions with remainder for two pairs of numbers."""
    lines: list[str] = []
    while len(lines) < 5:
        b = rng.randint(2, 60)
        lines += euclid(rng.randint(b, 199), b)[0]
    return "\n".join(lines[:LINES])


def operations(rng: Random) -> str:
    """Draw single list operations in words, each with its statement."""
    variable = rng.choice(ARGUMENTS)
    parts = []
    for _ in range(4):
        pipeline = draw_pipeline(rng, 1, ("list",))
        parts.append(f"# {pipeline.phrases(rng, True)[0]}\n{comprehension(pipeline.stages[0], variable)}")
    return "\n".join(parts)


def expressions(rng: Random) -> str:
    """Draw single list operations in words, each with its expression of x."""
    parts = []
    for _ in range(6):
        pipeline = draw_pipeline(rng, 1, ("list",))
        sign = "if" if OPERATIONS[pipeline.stages[0][0]].is_filter else "x ="
        parts.append(f"{pipeline.phrases(rng, True)[0]}: {sign} {expression(pipeline.stages[0])}")
    return "\n".join(parts)


def evaluations(rng: Random) -> str:
    """Draw lists, an operation in words and the list it gives."""
    lines = []
    for _ in range(4):
        task: Pipeline = draw_pipeline(rng, 1, ("list", "reversed", "sorted"))
        values = [rng.randint(1, 40) for _ in range(3)]
        end = "" if task.end == "list" else f" and give {task.end_phrase(rng, False)}"
        lines.append(f"{values} {task.phrases(rng, True)[0]}{end} -> {task.apply(values)}")
    return "\n".join(lines)


DRILLS: tuple[Callable[[Random], str], ...] = (
    arithmetic, arithmetic, chain, remainders, divisions, operations, expressions, evaluations,
)  # fmt: skip


def draw(rng: Random) -> str:
    """Draw one exercise of a random kind."""
    return rng.choice(DRILLS)(rng)

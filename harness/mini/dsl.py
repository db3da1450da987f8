"""The small language behind the code benchmarks: pipelines of filters and maps that end in one value.

A pipeline is a tuple of stages (operation, constant) and the name of its end. The constant is an int, a letter pair, or
the name of a parameter such as "n". Every operation knows its wording, its Python text and its meaning, each written
apart, so that the meaning can check the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from random import Random

Constant = int | str | None
Stage = tuple[str, Constant]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One step on a list of integers.

    Attributes:
        group: operations of one group do not meet in a pipeline.
        phrases: wordings with `{c}` for the constant; the first is used everywhere, the others for pretraining.
        code: Python expression of x and `{c}`: a condition for a filter, a value for a map.
        apply: meaning of the step on the whole list.
        low, high: range of the constant; high = 0 means there is none.
    """

    group: str
    phrases: tuple[str, ...]
    code: str
    apply: Callable[[list[int], int], list[int]]
    low: int = 0
    high: int = 0
    is_filter: bool = False


@dataclass(frozen=True, kw_only=True)
class End:
    """The value a pipeline ends in: wordings, Python expression of the list `{v}`, meaning."""

    phrases: tuple[str, ...]
    code: str
    apply: Callable[[list[int]], int | list[int]]


OPERATIONS: dict[str, Operation] = {
    "even": Operation(
        group="parity", phrases=("keep the even numbers", "drop the odd numbers"), code="x % 2 == 0",
        apply=lambda v, c: [x for x in v if not x & 1], is_filter=True,
    ),
    "odd": Operation(
        group="parity", phrases=("keep the odd numbers", "drop the even numbers"), code="x % 2 == 1",
        apply=lambda v, c: [x for x in v if x & 1], is_filter=True,
    ),
    "greater": Operation(
        group="bound", phrases=("keep the numbers greater than {c}", "keep the numbers above {c}"), code="x > {c}",
        apply=lambda v, c: [x for x in v if c < x], low=1, high=60, is_filter=True,
    ),
    "less": Operation(
        group="bound", phrases=("keep the numbers less than {c}", "keep the numbers below {c}"), code="x < {c}",
        apply=lambda v, c: [x for x in v if c > x], low=1, high=60, is_filter=True,
    ),
    "positive": Operation(
        group="bound", phrases=("keep the positive numbers", "drop all numbers but the positive"), code="x > 0",
        apply=lambda v, c: [x for x in v if x >= 1], is_filter=True,
    ),
    "multiples": Operation(
        group="division", phrases=("keep the multiples of {c}", "keep the numbers divisible by {c}"),
        code="x % {c} == 0", apply=lambda v, c: [x for x in v if x == x // c * c], low=3, high=9, is_filter=True,
    ),
    "add": Operation(
        group="shift", phrases=("add {c} to each", "increase each by {c}"), code="x + {c}",
        apply=lambda v, c: [c + x for x in v], low=1, high=60,
    ),
    "subtract": Operation(
        group="shift", phrases=("subtract {c} from each", "decrease each by {c}"), code="x - {c}",
        apply=lambda v, c: [-(c - x) for x in v], low=1, high=60,
    ),
    "multiply": Operation(
        group="scale", phrases=("multiply each by {c}", "take each {c} times"), code="x * {c}",
        apply=lambda v, c: [c * x for x in v], low=2, high=20,
    ),
    "square": Operation(
        group="square", phrases=("square each", "multiply each by itself"), code="x * x",
        apply=lambda v, c: [x**2 for x in v],
    ),
    "negate": Operation(
        group="sign", phrases=("negate each", "change the sign of each"), code="-x",
        apply=lambda v, c: [0 - x for x in v],
    ),
    "absolute": Operation(
        group="sign", phrases=("take absolute values", "drop the sign of each"), code="abs(x)",
        apply=lambda v, c: [max(x, -x) for x in v],
    ),
}  # fmt: skip
ENDS: dict[str, End] = {
    "sum": End(phrases=("the sum", "their total"), code="sum({v})", apply=sum),
    "count": End(phrases=("the count", "how many there are"), code="len({v})", apply=len),
    "product": End(phrases=("the product", "all of them multiplied"), code="prod({v})", apply=prod),
    "max": End(phrases=("the largest or 0", "the maximum or 0"), code="max({v}, default=0)",
               apply=lambda v: sorted(v)[-1] if v else 0),
    "min": End(phrases=("the smallest or 0", "the minimum or 0"), code="min({v}, default=0)",
               apply=lambda v: sorted(v)[0] if v else 0),
    "first": End(phrases=("the first or 0", "the one at the start or 0"), code="{v}[0] if {v} else 0",
                 apply=lambda v: next(iter(v), 0)),
    "last": End(phrases=("the last or 0", "the one at the end or 0"), code="{v}[-1] if {v} else 0",
                apply=lambda v: next(reversed(v), 0)),
    "list": End(phrases=("the list", "all of them"), code="{v}", apply=list),
    "reversed": End(phrases=("the list reversed", "all of them in reverse order"), code="{v}[::-1]",
                    apply=lambda v: list(reversed(v))),
    "sorted": End(phrases=("the list sorted", "all of them in order"), code="sorted({v})",
                  apply=lambda v: sorted(v)),
}  # fmt: skip
_NAMES = tuple(OPERATIONS)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Stages on a list of integers and the end they lead to."""

    stages: tuple[Stage, ...]
    end: str

    @property
    def key(self) -> str:
        """Canonical parameters, the same for every benchmark that uses the pipeline."""
        return "list:" + "|".join(name if c is None else f"{name} {c}" for name, c in self.stages) + "|" + self.end

    def apply(self, values: Sequence[int], **parameters: int) -> int | list[int]:
        """Return the value of the pipeline on a list, with the parameters it names."""
        current = list(values)
        for name, constant in self.stages:
            number = parameters[constant] if isinstance(constant, str) else constant
            current = OPERATIONS[name].apply(current, number or 0)
        return ENDS[self.end].apply(current)

    def phrases(self, rng: Random, wide: bool) -> list[str]:
        """Return the wording of each stage."""
        result = []
        for name, constant in self.stages:
            choices = OPERATIONS[name].phrases
            text = choices[rng.randrange(len(choices))] if wide else choices[0]
            result.append(text.replace("{c}", str(constant)))
        return result

    def end_phrase(self, rng: Random, wide: bool) -> str:
        """Return the wording of the end, such as "the sum"."""
        return rng.choice(ENDS[self.end].phrases) if wide else ENDS[self.end].phrases[0]


def draw_pipeline(rng: Random, stages: int, ends: Sequence[str], parameter: str | None = None) -> Pipeline:
    """Draw a pipeline of that many stages before its end.

    Args:
        rng: source of randomness.
        stages: number of filters and maps.
        ends: names of the ends to choose from.
        parameter: name used in place of one constant, where a stage has one.
    """
    chosen: list[Stage] = []
    groups: set[str] = set()
    while len(chosen) < stages:
        name = _NAMES[int(rng.random() * len(_NAMES))]
        operation = OPERATIONS[name]
        if operation.group in groups:
            continue
        groups.add(operation.group)
        chosen.append((name, rng.randint(operation.low, operation.high) if operation.high else None))
    with_constant = [i for i, (_, constant) in enumerate(chosen) if constant is not None]
    if parameter and with_constant:
        at = rng.choice(with_constant)
        chosen[at] = (chosen[at][0], parameter)
    return Pipeline(stages=tuple(chosen), end=rng.choice(ends))


def expression(stage: Stage) -> str:
    """Return the Python text of a stage as an expression of x."""
    return OPERATIONS[stage[0]].code.replace("{c}", str(stage[1]))


def comprehension(stage: Stage, values: str) -> str:
    """Return a statement that applies a stage to the list variable `values`."""
    text = expression(stage)
    if OPERATIONS[stage[0]].is_filter:
        return f"{values} = [x for x in {values} if {text}]"
    return f"{values} = [{text} for x in {values}]"


def statements(pipeline: Pipeline, values: str) -> tuple[list[str], str]:
    """Return the statements of a pipeline, one a stage, and the expression of its value (Python 3.11)."""
    lines = [comprehension(stage, values) for stage in pipeline.stages]
    if pipeline.end != "product":
        return lines, ENDS[pipeline.end].code.replace("{v}", values)
    return [*lines, "p = 1", f"for x in {values}:", "    p *= x"], "p"


LOOP_ENDS: dict[str, tuple[str, str]] = {
    "sum": ("out = 0", "out += x"),
    "count": ("out = 0", "out += 1"),
    "product": ("out = 1", "out *= x"),
    "last": ("out = 0", "out = x"),
    "list": ("out = []", "out.append(x)"),
    "reversed": ("out = []", "out = [x] + out"),
}


def loop(pipeline: Pipeline, values: str) -> list[str]:
    """Return the statements of a pipeline (LOOP_ENDS only) as one loop with nested conditions that fills `out`."""
    start, collect = LOOP_ENDS[pipeline.end]
    lines, indent = [start, f"for x in {values}:"], "    "
    for stage in pipeline.stages:
        text = expression(stage)
        if OPERATIONS[stage[0]].is_filter:
            lines.append(f"{indent}if {text}:")
            indent += "    "
        else:
            lines.append(f"{indent}x = {text}")
    return [*lines, indent + collect]

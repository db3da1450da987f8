"""Pipelines on strings for the code benchmarks: wording, Python text and meaning of each step; no benchmark's text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from harness.mini.words import LETTERS


@dataclass(frozen=True, kw_only=True)
class TextOperation:
    """One step on a string: wordings and code with {a} and {b} (letters) or {c} (a number), and its meaning."""

    phrases: tuple[str, ...]
    code: str
    apply: Callable[[str, str, str, int], str | int]


STEPS: dict[str, TextOperation] = {
    "reverse": TextOperation(
        phrases=("reverse it", "turn it around"), code="{s}[::-1]", apply=lambda s, a, b, c: "".join(reversed(s))
    ),
    "repeat": TextOperation(
        phrases=("repeat it {c} times", "write it {c} times"), code="{s} * {c}",
        apply=lambda s, a, b, c: "".join(s for _ in range(c)),
    ),
    "remove": TextOperation(
        phrases=("remove every '{a}'", "drop every '{a}'"), code="{s}.replace('{a}', '')",
        apply=lambda s, a, b, c: "".join(x for x in s if x != a),
    ),
    "replace": TextOperation(
        phrases=("replace '{a}' with '{b}'", "change '{a}' to '{b}'"), code="{s}.replace('{a}', '{b}')",
        apply=lambda s, a, b, c: "".join(b if x == a else x for x in s),
    ),
    "append": TextOperation(
        phrases=("append '{a}'", "add '{a}' at the end"), code="{s} + '{a}'", apply=lambda s, a, b, c: f"{s}{a}"
    ),
    "prepend": TextOperation(
        phrases=("prepend '{a}'", "add '{a}' at the start"), code="'{a}' + {s}", apply=lambda s, a, b, c: f"{a}{s}"
    ),
}  # fmt: skip
TEXT_ENDS: dict[str, TextOperation] = {
    "string": TextOperation(phrases=("the string", "the text"), code="{s}", apply=lambda s, a, b, c: s),
    "length": TextOperation(phrases=("its length", "how long it is"), code="len({s})", apply=lambda s, a, b, c: len(s)),
    "letters": TextOperation(
        phrases=("the count of '{a}'", "how many '{a}' there are"), code="{s}.count('{a}')",
        apply=lambda s, a, b, c: sum(x == a for x in s),
    ),
}  # fmt: skip
TextStage = tuple[str, str, str, int]


@dataclass(frozen=True, kw_only=True)
class TextPipeline:
    """Steps on a string and the end they lead to, each with its letters and number."""

    stages: tuple[TextStage, ...]
    end: TextStage

    @property
    def key(self) -> str:
        """Canonical parameters; only what the wording names counts."""
        parts = [_fill(STEPS[stage[0]].phrases[0], stage) for stage in self.stages]
        return "text:" + "|".join([*parts, _fill(TEXT_ENDS[self.end[0]].phrases[0], self.end)])

    def apply(self, text: str) -> str | int:
        """Return the value of the pipeline on a string."""
        value = text
        for name, a, b, c in self.stages:
            value = str(STEPS[name].apply(value, a, b, c))
        return TEXT_ENDS[self.end[0]].apply(value, *self.end[1:])

    def phrases(self, rng: Random, wide: bool) -> list[str]:
        """Return the wording of each step."""
        return [_fill(_choose(rng, STEPS[stage[0]].phrases, wide), stage) for stage in self.stages]

    def end_phrase(self, rng: Random, wide: bool) -> str:
        """Return the wording of the end, such as "its length"."""
        return _fill(_choose(rng, TEXT_ENDS[self.end[0]].phrases, wide), self.end)


def _choose(rng: Random, phrases: tuple[str, ...], wide: bool) -> str:
    return rng.choice(phrases) if wide else phrases[0]


def _fill(template: str, stage: TextStage) -> str:
    return template.replace("{a}", stage[1]).replace("{b}", stage[2]).replace("{c}", str(stage[3]))


def draw_text_pipeline(rng: Random, stages: int) -> TextPipeline:
    """Draw a pipeline of that many different steps."""
    names = rng.sample(tuple(STEPS), stages)
    return TextPipeline(
        stages=tuple(_stage(rng, name) for name in names), end=_stage(rng, rng.choice(tuple(TEXT_ENDS)))
    )


def _stage(rng: Random, name: str) -> TextStage:
    a, b = rng.sample(LETTERS, 2)
    return name, a, b, rng.randint(2, 9)


def text_statements(pipeline: TextPipeline, variable: str) -> tuple[list[str], str]:
    """Return the statements of a pipeline, one a step, and the expression of its value (Python 3.11)."""
    lines = [
        f"{variable} = " + _fill(STEPS[stage[0]].code, stage).replace("{s}", variable) for stage in pipeline.stages
    ]
    return lines, _fill(TEXT_ENDS[pipeline.end[0]].code, pipeline.end).replace("{s}", variable)

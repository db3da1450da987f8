"""Multiple-choice sets made from the test side of the mini corpora, for models too small for the sets of Table 2.

Maths: which result follows in a worked solution, among near numbers. Code: which body belongs to an instruction, among
the bodies of other tasks that share most lines with it. The task files beside this module hand them to lm-eval:
`lm_eval --model hf --model_args pretrained=CHECKPOINT --include_path harness/choices --tasks mini_choice_gsm8k`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from harness.mini.corpus import draw
from harness.mini.problem import Sample

FOLDER = Path(__file__).parent
"""Folder of the task files."""
TASKS: dict[str, str] = {
    "mini_choice_gsm8k": "gsm8k-mini", "mini_choice_math500": "math500-mini", "mini_choice_aime25": "aime25-mini",
    "mini_choice_humaneval": "humaneval-plus-mini", "mini_choice_mbpp": "mbpp-mini", "mini_choice_lcb": "lcb-mini",
}  # fmt: skip
"""lm-eval's task name -> the benchmark whose corpus it is made from."""
SIZE = 500
"""Items of each set."""
CHOICES = 4
_POOL = 1500  # drawn tasks among which the nearest wrong bodies are looked for
_RESULT = re.compile(r"= (-?\d+)$", re.MULTILINE)
_HEAD = {"humaneval-plus-mini": 0, "mbpp-mini": 1, "lcb-mini": 2}
"""Lines at the start of a code completion that the instruction's format fixes; they are part of the context."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question: a context, choices that may follow it, and the index of the right one."""

    item_id: str
    context: str
    choices: tuple[str, ...]
    label: int


@cache
def items(benchmark: str) -> tuple[Item, ...]:
    """Return the SIZE items of a benchmark's set, the same on every machine.

    Raises:
        ValueError: for a benchmark without a set.
    """
    if benchmark not in TASKS.values():
        raise ValueError(f"no multiple-choice set of {benchmark!r}; known: {', '.join(TASKS.values())}")
    questions = _code(benchmark) if benchmark in _HEAD else _results(benchmark)
    result: list[Item] = []
    seen: set[str] = set()
    for context, choices in questions:
        if context in seen:
            continue
        seen.add(context)
        index = len(result)
        order = Random(f"choice/order/{benchmark}/{index}").sample(range(CHOICES), CHOICES)
        result.append(
            Item(
                item_id=f"{benchmark}/choice/{index}", context=context, choices=tuple(choices[i] for i in order),
                label=order.index(0),
            )
        )  # fmt: skip
        if len(result) == SIZE:
            break
    return tuple(result)


def _results(benchmark: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (context, choices, the right one first): a worked solution up to a line, and the line with four results.

    Choices are whole lines, so that they are cut into tokens as in training; what they share decides nothing.
    """
    rng = Random(f"choice/{benchmark}")
    while True:
        sample = draw(benchmark, rng, test=True)
        found = list(_RESULT.finditer(sample.completion))
        if found:
            match = rng.choice(found)
            right = int(match[1])
            wrong = rng.sample([right + step for step in (-10, -2, -1, 1, 2, 10)], CHOICES - 1)
            line = max(0, sample.completion.rfind("\n", 0, match.start()))
            shared = sample.completion[line : match.start(1)]
            yield sample.prompt + sample.completion[:line], [f"{shared}{n}" for n in (right, *wrong)]


def _code(benchmark: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (context, choices, the right one first): an instruction with its fixed lines, and four bodies."""
    rng = Random(f"choice/{benchmark}")
    drawn = [draw(benchmark, rng, test=True) for _ in range(_POOL)]
    alike: dict[str, set[str]] = {}
    for sample in drawn:
        alike.setdefault(_signature(benchmark, sample), set()).add(_body(benchmark, sample))
    for sample in drawn:
        body = _body(benchmark, sample)
        wrong = _nearest(body, alike[_signature(benchmark, sample)])
        if len(wrong) == CHOICES - 1:
            head = sample.completion[: len(sample.completion) - len(body)]
            yield sample.prompt + head, [body, *wrong]


def _signature(benchmark: str, sample: Sample) -> str:
    """Return what two tasks must share for their bodies to use the same names: arguments, or the lines that read."""
    text = sample.prompt + sample.completion
    if benchmark == "lcb-mini":
        return "\n".join(sample.completion.splitlines()[:2])
    found = re.search(r"^def \w+(\(.*\)):$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def _body(benchmark: str, sample: Sample) -> str:
    return "".join(sample.completion.splitlines(keepends=True)[_HEAD[benchmark] :])


def _nearest(body: str, others: set[str]) -> list[str]:
    """Return the other bodies with the most lines in common, nearest in length among equals."""
    lines = set(body.splitlines())

    def distance(other: str) -> tuple[int, int, str]:
        return -len(lines & set(other.splitlines())), abs(len(other) - len(body)), other

    return sorted(others - {body}, key=distance)[: CHOICES - 1]

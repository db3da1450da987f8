"""Is a written-out solution's final answer the right one: extraction, then Math-Verify; knows nothing of models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

THINKING, THOUGHT = "<think>", "</think>"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the answer is right, and what was taken for the answer (None: nothing)."""

    correct: bool
    extracted: str | None


def grade(text: str, gold: str) -> Verdict:
    """Compare the final answer of a solution with the right one.

    The answer is the last complete boxed expression, else what follows the last `####`, else what Math-Verify finds in
    the text. A thinking trace is no part of the solution; one that never ends leaves no answer.

    Args:
        text: the solution. gold: the right answer, as LaTeX or a number.
    """
    solution = after_thinking(text)
    written = last_boxed(solution) or _after_hashes(solution)
    if written is not None and normal(written) == normal(gold):
        return Verdict(correct=True, extracted=written)
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    found = parse(solution if written is None else f"\\boxed{{{written}}}", targets)
    correct = bool(found) and verify(parse(f"\\boxed{{{gold}}}", targets), found)
    return Verdict(correct=bool(correct), extracted=written or (str(found[-1]) if found else None))


def after_thinking(text: str) -> str:
    """Return what follows the thinking trace: the whole text where there is none, nothing where it never ends."""
    if THOUGHT in text:
        return text.rpartition(THOUGHT)[2]
    return "" if THINKING in text else text


def last_boxed(text: str) -> str | None:
    """Return the inside of the last complete \\boxed{...} or \\fbox{...}."""
    return next(reversed(list(_boxed(text))), None)


def _boxed(text: str) -> Iterator[str]:
    for start in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth = 1
        for place in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                yield text[start.end() : place].strip()
                break


def _after_hashes(text: str) -> str | None:
    _, hashes, rest = text.rpartition("####")
    line = rest.strip().partition("\n")[0].strip()
    return line if hashes and line else None


def normal(answer: str) -> str:
    """Return an answer without what LaTeX writes for looks alone."""
    answer = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", answer)
    answer = re.sub(r"\\left|\\right|\\[!,;: ]|\$|\s", "", answer)
    answer = re.sub(r"\\[dt]frac", r"\\frac", answer)
    answer = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", answer) if re.fullmatch(r"-?[\d,.]+", answer) else answer
    return answer.rstrip(".")

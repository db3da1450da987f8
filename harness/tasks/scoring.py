"""What the task files score with: right or wrong by Math-Verify, and what the answer cost where its model says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.lm_eval_answers import Answer
from harness.maths import grade


def maths(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score a written-out solution against doc["answer"]."""
    return {"exact_match": float(grade(results[0], doc["answer"]).correct)} | cost(results[0])


def cost(answer: str) -> dict[str, Any]:
    """Return an answer's cost as metrics; nothing for a model type that gives none."""
    its = answer.cost if isinstance(answer, Answer) else None
    if its is None:
        return {}
    return {
        "tokens": its.tokens, "nfe": its.nfe_decode, "tokens_per_forward": [its.tokens, its.nfe_decode],
        "seconds": sum(its.seconds.values()), "cut_off": float(its.stop_reason == "length"),
    }  # fmt: skip


def pooled(pairs: Sequence[Sequence[float]]) -> float:
    """Return all tokens over all decoding forwards."""
    return sum(tokens for tokens, _ in pairs) / sum(forwards for _, forwards in pairs)

"""Answers that carry what they cost: the text that lm-eval scores, with forwards, tokens, stop reason and seconds.

Knows nothing of lm-eval or of models; the numbers come from a Generation's ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sbd.generate import Generation
from sbd.ledger import KINDS


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one answer took, to its end.

    Args:
        nfe: forwards by kind (sbd.ledger.KINDS). nfe_decode: those that count as decoding (Eq. 17).
        tokens: new tokens, the end token included.
        stop_reason: "eos", "stop_string" or "length".
        seconds: the answer's equal share of its batch, by "prefill" and "decode".
        batch_rows: how many answers were decoded together.
    """

    nfe: dict[str, int]
    nfe_decode: int
    tokens: int
    stop_reason: str
    seconds: dict[str, float]
    batch_rows: int


class Answer(str):
    """A text with its Cost; everything that takes a string takes it, and pickling keeps the cost.

    lm-eval also makes texts of an answer's type itself, to compare with; these have no cost.
    """

    cost: Cost | None

    def __new__(cls, text: str, cost: Cost | None = None) -> Answer:
        """Make the string."""
        answer = super().__new__(cls, text)
        answer.cost = cost
        return answer

    def __getnewargs__(self) -> tuple[str, Cost | None]:  # type: ignore[override]
        return str(self), self.cost


def costs(generation: Generation) -> list[Cost]:
    """Return the Cost of each row of a generation."""
    ledger, rows = generation.ledger, len(generation.tokens)
    share = {"prefill": ledger.seconds_prefill / rows, "decode": ledger.seconds_decode / rows}
    return [
        Cost(
            nfe={kind: ledger.nfe[kind][row] for kind in KINDS}, nfe_decode=ledger.nfe_decode(row),
            tokens=len(generation.tokens[row]), stop_reason=generation.stop_reason[row], seconds=dict(share),
            batch_rows=rows,
        )
        for row in range(rows)
    ]  # fmt: skip


def totals(answers: Iterable[Cost]) -> dict[str, Any]:
    """Add costs up; `tokens_per_forward` is pooled: all tokens over all decoding forwards."""
    listed = list(answers)
    tokens, nfe_decode = sum(cost.tokens for cost in listed), sum(cost.nfe_decode for cost in listed)
    return {
        "answers": len(listed), "tokens": tokens,
        "nfe": {kind: sum(cost.nfe[kind] for cost in listed) for kind in KINDS},
        "nfe_decode": nfe_decode, "tokens_per_forward": tokens / nfe_decode if nfe_decode else None,
        "stop_reason": dict(Counter(cost.stop_reason for cost in listed)),
        "seconds": {part: sum(cost.seconds[part] for cost in listed) for part in ("prefill", "decode")},
    }  # fmt: skip


@dataclass(frozen=True, order=True)
class Place:
    """Which answer: the task, the document's number in it, and which of the document's repeats."""

    task: str
    doc_id: int
    repeat: int


def listing(costs_by_place: dict[Place, Cost]) -> dict[str, list[dict[str, Any]]]:
    """Return the costs as JSON-able rows, by task, in the order of the documents."""
    result: dict[str, list[dict[str, Any]]] = {}
    for place in sorted(costs_by_place):
        row = {"doc_id": place.doc_id, "repeat": place.repeat} | asdict(costs_by_place[place])
        result.setdefault(place.task, []).append(row)
    return result

"""A decoding as it happened to one prompt: each forward, what the sampler read there, and what it revealed.

Knows the rows after each forward; knows nothing of models or text. The forwards are those of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sbd.ledger import Forward
from sbd.rows import Rows


@dataclass(frozen=True, kw_only=True)
class Step:
    """One forward of a prompt's row. Positions count its new tokens from 0.

    Args:
        kind, width: as in `Forward`.
        seconds: wall time.
        masked: positions that could be revealed; the following four are aligned with it.
        tokens: the token that each would have become.
        entropy_nats, confidence: what the sampler read there (for AR, what it would have read).
        revealed: the positions that were.
        known: tokens from the left that are final after this forward.
    """

    kind: str
    width: int
    seconds: float
    masked: tuple[int, ...]
    tokens: tuple[int, ...]
    entropy_nats: tuple[float, ...]
    confidence: tuple[float, ...]
    revealed: tuple[int, ...]
    known: int


class Recorder:
    """Keeps the steps of one prompt: pass it to `generate` as `watch`, then read `steps`.

    Args:
        prompt: which of the prompts.
    """

    def __init__(self, prompt: int = 0) -> None:
        self.prompt, self.steps = prompt, list[Step]()

    def __call__(self, forward: Forward, rows: Rows, prompts: Mapping[int, int]) -> None:
        """Take in one forward; those in which the prompt has no part are not its own."""
        row = next((row for row, prompt in prompts.items() if prompt == self.prompt), None)
        if row is None:
            return
        choice = rows.choice
        masked: list[int] = []
        if choice is not None:
            columns = choice.masked_BK[row].nonzero().squeeze(1)
            shift = rows.token_BN.shape[1] - rows.new_BN.shape[1]
            place_K = choice.place_BK[row] - shift
            entropy_K, confidence_K = (
                of_N.view_as(choice.masked_BK)[row] for of_N in (choice.read.entropy_N, choice.read.confidence_N)
            )
            masked = place_K[columns].tolist()
        self.steps.append(
            Step(
                kind=forward.kind, width=forward.width, seconds=forward.seconds, masked=tuple(masked),
                tokens=tuple(choice.token_BK[row][columns].tolist()) if choice else (),
                entropy_nats=tuple(entropy_K[columns].tolist()) if choice else (),
                confidence=tuple(confidence_K[columns].tolist()) if choice else (),
                revealed=tuple(place_K[choice.reveal_BK[row]].tolist()) if choice else (),
                known=int(rows.known_B[row]),
            )
        )  # fmt: skip

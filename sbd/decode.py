"""From prompts to tokens: one call that runs a batch through the engine and hands back its tokens, ends and ledger."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd.engine import Engine
from sbd.ledger import Ledger
from sbd.rows import REASONS, FindStop, Settings, Watch
from sbd.verified import VerifiedEngine


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Result of `decode`: new tokens of each row up to and including its end, why it ended, and every forward."""

    tokens: list[Tensor]
    stop_reason: list[str]
    ledger: Ledger


@torch.inference_mode()
def decode(
    model: PreTrainedModel, prompts: list[Tensor], settings: Settings, *, generator: torch.Generator | None = None,
    find_stop: FindStop | None = None, watch: Watch | None = None,
) -> Decoded:  # fmt: skip
    """Decode a batch of prompts; a row's tokens, forwards and end do not depend on the other rows.

    At temperature > 0 that holds for the distribution: all rows draw from one generator.

    Args:
        prompts: B tensors of at least one token id each.
        generator: source of randomness at temperature > 0; None takes torch's default generator.
        find_stop: asked after every forward about each row that took part.
        watch: told of every forward.

    Source: Algs. 2 and 3.
    """
    engine = (VerifiedEngine if settings.verify else Engine)(model, prompts, settings, generator)
    engine.watch, engine.rows.watched = watch, watch is not None
    engine.run(find_stop)
    rows = engine.rows
    tokens = [row[:known] for row, known in zip(rows.new_BN, rows.known_B.tolist(), strict=True)]
    return Decoded(
        tokens=tokens,
        stop_reason=[REASONS[reason] for reason in rows.reason_B.tolist()],
        ledger=Ledger(
            decoding=settings.decoding,
            forwards=tuple(engine.forwards),
            nfe={kind: count.tolist() for kind, count in rows.nfe.items()},
            verification=engine.verification(),
        ),
    )

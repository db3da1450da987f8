"""A checkpoint ready to decode, and the one call of sbd.generate that records and timings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import sbd
from harness.arms import DTYPE, Arm
from sbd.generate import Generation
from sbd.model import SBDConfig, max_positions


@dataclass(frozen=True)
class Engine:
    """A checkpoint ready to decode."""

    checkpoint: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(checkpoint: Path, device: str, decodings: set[str]) -> Engine:
    """Load a checkpoint for these ways of decoding.

    Raises:
        ValueError: where the folder holds no usable model, or SBD is asked of a checkpoint that was not trained for it.
    """
    if "sbd" in decodings:
        SBDConfig.read(checkpoint)
    return Engine(
        checkpoint, sbd.load(str(checkpoint), device=device, dtype=DTYPE), sbd.load_tokenizer(str(checkpoint))
    )


def check_positions(engine: Engine, arm: Arm, prompts: Sequence[torch.Tensor]) -> None:
    """Refuse a model with room for none of these prompts and the budget; one long prompt is its own item's matter.

    Raises:
        ValueError: naming the positions that are there and needed.
    """
    shortest, budget, room = min(map(len, prompts)), arm.decoding.max_new_tokens, max_positions(engine.model)
    if shortest + budget > room:
        raise ValueError(
            f"{str(engine.checkpoint)!r} has {room} positions, but even the shortest prompt of {arm.benchmark} "
            f"({shortest} tokens) and its budget of {budget} need {shortest + budget}; use a model with more positions"
        )


def generate(
    engine: Engine, arm: Arm, prompts: Sequence[torch.Tensor], *, to_budget: bool = False
) -> Generation:  # fmt: skip
    """Decode a batch of prompts as the arm says; with `to_budget` nothing but the budget of tokens ends a row."""
    how = arm.decoding
    sampler: dict[str, Any] = (
        {"sampler": how.sampler, "gamma": how.gamma_nats, "block_size": how.block_size, "verify": how.verify}
        if how.sampler
        else {}
    )
    tokenizer = engine.tokenizer
    return sbd.generate(
        engine.model, [ids.to(engine.model.device) for ids in prompts],
        decoding=how.decoding, max_new_tokens=how.max_new_tokens, temperature=how.temperature,
        eos_token_id=() if to_budget else tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        stop_strings=None if to_budget else list(how.stop) or None, tokenizer=tokenizer, **sampler,
    )  # fmt: skip

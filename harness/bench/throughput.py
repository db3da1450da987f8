"""Tokens a second over batch sizes: batches in lock-step against batches whose finished rows are refilled.

Also counts the prompts that a batch answers with other tokens than the same prompt alone: none in exact arithmetic; in
lower precision a batch multiplies in another order, and near ties fall differently.

Shapes: L prompt length, T new tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import sbd
from harness.arms import BLOCK_SIZE
from harness.bench.subject import Prompt, Subject
from harness.bench.turns import Case
from sbd.generate import Generation

PACE = 4
"""Tokens a forward of set block decoding with random weights."""


def cases(subject: Subject, prompts: list[Prompt], batch_sizes: tuple[int, ...]) -> list[Case]:
    """Return decoding and batching, arm by arm, for each batch size: all prompts, one run."""
    decodings: dict[str, dict[str, Any]] = {"ar": {"decoding": "ar"}}
    if subject.trained:
        decodings["sbd"] = {"gamma": prompts[0].gamma_low, "block_size": BLOCK_SIZE}
        decodings["verified"] = {"verify": True, "block_size": BLOCK_SIZE}
    if subject.random:
        decodings[f"sbd-topk{PACE}"] = {"sampler": "topk", "gamma": PACE, "block_size": BLOCK_SIZE}
    made = []
    for batch in batch_sizes:
        for name, arguments in decodings.items():
            for batching in ("lock-step", "refilled"):
                load = Load(
                    subject=subject, prompts=prompts, batch=batch, refill=batching == "refilled", arguments=arguments
                )
                setting = {"batch": batch, "prompts": len(prompts)}
                made.append(Case(arm=f"{name} {batching}", setting=setting, run=load.run, cost=load.compare))
    return made


@dataclass(kw_only=True)
class Load:
    """All prompts decoded in batches of one size."""

    subject: Subject
    prompts: list[Prompt]
    batch: int
    refill: bool
    arguments: dict[str, Any]
    last: Generation | None = field(default=None, init=False)

    def run(self) -> dict[str, float]:
        """Decode all prompts."""
        self.last = self._generate(self.prompts, max_rows=self.batch, refill=self.refill)
        return {"tokens": sum(map(len, self.last.tokens)), "forwards": len(self.last.ledger.forwards)}

    def compare(self) -> dict[str, float]:
        """Decode each prompt alone; return how many of the last run differ, `differing`, and how near the ties were.

        `tie_nats`, of next-token decoding alone: the widest gap between the logits of two tokens where answers part.
        """
        assert self.last is not None, "a cost is taken behind a run"
        gaps, differing = [0.0], 0
        for prompt, tokens in zip(self.prompts, self.last.tokens, strict=True):
            alone = self._generate([prompt]).tokens[0]
            if not torch.equal(alone, tokens):
                differing += 1
                gaps.append(self._gap(prompt.ids_L, alone, tokens))
        next_token = self.arguments.get("decoding") == "ar" or self.arguments.get("verify", False)
        return {"differing": differing} | ({"tie_nats": max(gaps)} if next_token else {})

    def _generate(self, prompts: list[Prompt], **batching: Any) -> Generation:
        ids = [prompt.ids_L.to(self.subject.device) for prompt in prompts]
        return sbd.generate(
            self.subject.model, ids, max_new_tokens=self.prompts[0].new_tokens, eos_token_id=self.subject.eos_ids,
            **self.arguments, **batching,
        )  # fmt: skip

    @torch.inference_mode()
    def _gap(self, ids_L: Tensor, one_T: Tensor, other_T: Tensor) -> float:
        """Return how far apart the model puts the first two tokens that differ."""
        length = min(len(one_T), len(other_T))
        at = int((one_T[:length] != other_T[:length]).int().argmax())
        known = torch.cat([ids_L.to(one_T.device), one_T[:at]])
        logits_V: Tensor = self.subject.model(input_ids=known[None]).logits[0, -1].float()
        return float((logits_V[one_T[at]] - logits_V[other_T[at]]).abs())

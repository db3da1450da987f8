"""Tokens a second over batch sizes: batches in lock-step against batches whose finished rows are refilled."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import sbd
from harness.bench.decode import BLOCK_SIZE
from harness.bench.subject import Prompt, Subject
from harness.bench.turns import Case

PACE = 4
"""Tokens a forward of set block decoding with random weights."""


def refills() -> bool:
    """Whether sbd.generate can give a finished row's place to the next prompt (its argument max_rows)."""
    return "max_rows" in inspect.signature(sbd.generate).parameters


def cases(subject: Subject, prompts: list[Prompt], batch_sizes: tuple[int, ...]) -> list[Case]:
    """Return decoding and batching, arm by arm, for each batch size: all prompts, one run."""
    decodings: dict[str, dict[str, Any]] = {"ar": {"decoding": "ar"}}
    if subject.trained:
        decodings["sbd"] = {"gamma": prompts[0].gamma_low, "block_size": BLOCK_SIZE}
    if subject.random:
        decodings[f"sbd-topk{PACE}"] = {"sampler": "topk", "gamma": PACE, "block_size": BLOCK_SIZE}
    if not refills():
        warnings.warn("this sbd.generate cannot refill rows: lock-step batches alone are measured", stacklevel=2)
    return [
        Case(
            arm=f"{name} {batching}", setting={"batch": batch, "prompts": len(prompts)},
            run=_run(subject, prompts, batch, arguments, refill=batching == "refilled"),
        )
        for batch in batch_sizes for name, arguments in decodings.items()
        for batching in (("lock-step", "refilled") if refills() else ("lock-step",))
    ]  # fmt: skip


def _run(
    subject: Subject, prompts: list[Prompt], batch: int, arguments: dict[str, Any], *, refill: bool
) -> Callable[[], dict[str, float]]:
    """Decode all prompts: in one call with `batch` places, or in calls of `batch` prompts each."""
    ids = [prompt.ids_L.to(subject.device) for prompt in prompts]
    extra: dict[str, Any] = {"max_rows": batch} if refill else {}
    step = len(ids) if refill else batch
    budget = prompts[0].new_tokens

    def run() -> dict[str, float]:
        tokens = forwards = 0
        for start in range(0, len(ids), step):
            out = sbd.generate(
                subject.model, ids[start : start + step], max_new_tokens=budget, eos_token_id=subject.eos_ids,
                **arguments, **extra,
            )  # fmt: skip
            tokens += sum(map(len, out.tokens))
            forwards += len(out.ledger.forwards)
        return {"tokens": tokens, "forwards": forwards}

    return run

"""Decoding at batch 1: our autoregression and set block decoding beside transformers' own generate, same weights.

Random weights predict nothing, so there the pace is set by hand: "sbd-topk4" reveals four tokens a forward, whatever
they are, and its wall clock shows what the engine makes of that NFE speedup.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import sbd
from harness.arms import BLOCK_SIZE
from harness.bench.baselines import Baseline
from harness.bench.subject import Prompt, Subject
from harness.bench.turns import Case
from sbd.generate import Generation

PACES = (2, 4, 8)
"""Tokens a forward of the arms with random weights."""


def ours(subject: Subject) -> dict[str, Callable[[Prompt], dict[str, Any]]]:
    """Return our arms: the arguments of sbd.generate for a prompt, by name."""
    arms: dict[str, Callable[[Prompt], dict[str, Any]]] = {"ar": lambda _: {"decoding": "ar"}}
    if subject.trained:
        arms["sbd"] = lambda prompt: {"gamma": prompt.gamma_low, "block_size": BLOCK_SIZE}
        arms["verified"] = lambda _: {"verify": True, "block_size": BLOCK_SIZE}
    if subject.random:
        arms |= {f"sbd-topk{pace}": _paced(pace) for pace in PACES}
    return arms


def _paced(pace: int) -> Callable[[Prompt], dict[str, Any]]:
    return lambda _: {"sampler": "topk", "gamma": pace, "block_size": BLOCK_SIZE}


def cases(subject: Subject, prompts: list[Prompt], baselines: list[Baseline]) -> list[Case]:
    """Return every arm on every prompt."""
    made = []
    for index, prompt in enumerate(prompts):
        setting = {"prompt": index, "prompt_tokens": len(prompt.ids_L)}
        for name, arguments in ours(subject).items():
            run = _our_run(subject, prompt, arguments(prompt))
            made.append(Case(arm=name, setting=setting, run=run, cost=partial(beside_model, subject, run)))
        for baseline in baselines:
            made.append(Case(arm=baseline.name, setting=setting, run=_their_run(subject, prompt, baseline)))
    return made


def checksum(tokens: Tensor) -> int:
    """Return a number that tells whether two decodings gave the same tokens."""
    return zlib.crc32(",".join(map(str, tokens.tolist())).encode())


def forwards(generation: Generation, row: int = 0) -> dict[str, float]:
    """Return a row's forwards by kind, and the seconds of the batch's prefill and decoding, from the ledger."""
    ledger = generation.ledger
    return {
        **{f"nfe_{kind}": count[row] for kind, count in ledger.nfe.items()}, "nfe_decode": ledger.nfe_decode(row),
        "prefill_seconds": ledger.seconds_prefill, "decode_seconds": ledger.seconds_decode,
    }  # fmt: skip


def _our_run(subject: Subject, prompt: Prompt, arguments: dict[str, Any]) -> Callable[[], dict[str, float]]:
    ids = prompt.ids_L.to(subject.device)

    def run() -> dict[str, float]:
        out = sbd.generate(
            subject.model, [ids], max_new_tokens=prompt.new_tokens, eos_token_id=subject.eos_ids, **arguments
        )
        return {"tokens": len(out.tokens[0]), "checksum": checksum(out.tokens[0])} | forwards(out)

    return run


def beside_model(subject: Subject, run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the share of a decoding that passes outside the model's forward; on a CPU, where hooks see it."""
    if subject.device.type != "cpu":
        return {}
    inside, started = 0.0, 0.0

    def start(*_: object) -> None:
        nonlocal started
        started = time.perf_counter()

    def end(*_: object) -> None:
        nonlocal inside
        inside += time.perf_counter() - started

    hooks = (subject.model.register_forward_pre_hook(start), subject.model.register_forward_hook(end))
    try:
        done = run()
    finally:
        for hook in hooks:
            hook.remove()
    return {"beside_model": 1 - inside / (done["prefill_seconds"] + done["decode_seconds"])}


def _their_run(subject: Subject, prompt: Prompt, baseline: Baseline) -> Callable[[], dict[str, float]]:
    ids = prompt.ids_L.to(subject.device).unsqueeze(0)

    def run() -> dict[str, float]:
        with torch.inference_mode():
            tokens = baseline.generate(subject, ids, prompt.new_tokens)
        return {"tokens": len(tokens), "checksum": checksum(tokens)}

    return run

"""Decodes a subject with SBD and AR while looking on, and returns what a page needs as plain JSON values."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

import sbd
from harness.prompts import prompt_ids
from harness.trace.cut import BOUNDS, ranks
from harness.trace.subject import Subject
from sbd.generate import Generation
from sbd.model import attached_config
from sbd.streaming import pieces
from sbd.trace import Recorder, Step


def capture(subject: Subject, device: str) -> dict[str, Any]:
    """Return the page's data: prompt, settings, and each decoding with its steps.

    A checkpoint that was trained with NTP alone has no SBD decoding.

    Raises:
        ValueError: where the checkpoint cannot be loaded or the prompt is too long.
    """
    model = sbd.load(str(subject.checkpoint), device=device, dtype=subject.dtype)
    tokenizer = sbd.load_tokenizer(str(subject.checkpoint))
    prompt = prompt_ids(tokenizer, subject.prompt).to(model.device)
    config = attached_config(model)
    runs, same = [], None
    for decoding in ("sbd", "ar") if config is not None and config.objective != "ntp" else ("ar",):
        recorder = Recorder()
        out = sbd.generate(
            model, [prompt], decoding=decoding, max_new_tokens=subject.max_new_tokens, tokenizer=tokenizer,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            stop_strings=list(subject.stop) or None, watch=recorder, **(subject.settings if decoding == "sbd" else {}),
        )  # fmt: skip
        runs.append(run_data(decoding, out, recorder.steps, tokenizer, subject))
        if subject.record is not None and subject.record.decoding == decoding:
            same = out.tokens[0].tolist() == subject.record.generated_ids
    return {
        "title": subject.title, "prompt": subject.prompt, "prompt_tokens": len(prompt), "same_as_record": same,
        "model": subject.record.model if subject.record else subject.checkpoint.name, "dtype": subject.dtype,
        "device": model.device.type, "runs": runs,
    }  # fmt: skip


def run_data(
    decoding: str, out: Generation, steps: list[Step], tokenizer: PreTrainedTokenizerBase, subject: Subject
) -> dict[str, Any]:
    """Return one decoding: its numbers from the ledger, its tokens, and its decoding forwards.

    The forwards are those that the ledger counts: SBD's without the prefill, AR's with the one that gave its first
    token.
    """
    ids, ledger = out.tokens[0].tolist(), out.ledger
    kept = [step for step in steps if step.kind != "prefill" or step.masked]
    assert len(kept) == ledger.nfe_decode(0)
    is_sbd = decoding == "sbd"
    return {
        "name": "SBD" if is_sbd else "AR", "decoding": decoding, "stop_reason": out.stop_reason[0],
        "sampler": subject.sampler if is_sbd else None, "parameter": subject.gamma if is_sbd else None,
        "bound": list(BOUNDS[subject.sampler]) if is_sbd else None, "block_size": subject.block_size if is_sbd else 1,
        "nfe": ledger.nfe_decode(0), "tokens_per_forward": float(out.tokens_per_forward[0]),
        "seconds": ledger.seconds_decode, "tokens": pieces(tokenizer, ids, skip_special=False),
        "steps": [_step(step, tokenizer, subject.sampler if is_sbd else None) for step in kept],
    }  # fmt: skip


def _step(step: Step, tokenizer: PreTrainedTokenizerBase, sampler: str | None) -> dict[str, Any]:
    """Return one forward, its masked positions in the sampler's order."""
    order = ranks(sampler, step.entropy_nats, step.confidence) if sampler else []
    places = [rank.index for rank in order] if sampler else range(len(step.masked))
    bounds = [rank.bound for rank in order] if sampler else [0.0] * len(step.masked)
    revealed = set(step.revealed)
    return {
        "kind": step.kind, "width": step.width, "seconds": step.seconds, "known": step.known,
        "ranked": [
            {
                "place": step.masked[index], "text": tokenizer.decode([step.tokens[index]]),
                "entropy": step.entropy_nats[index], "confidence": step.confidence[index], "bound": bound,
                "revealed": step.masked[index] in revealed,
            }
            for index, bound in zip(places, bounds, strict=True)
        ],
    }  # fmt: skip

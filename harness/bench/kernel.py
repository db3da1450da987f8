"""The sampler's kernel against eager torch: all that a reveal decision reads from the logits, over rows and vocabulary.

Shapes: N rows of logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.bench.turns import Case
from sbd.kernels import statistics

REPEAT = {"cpu": 3, "cuda": 50}


def eager(logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return entropy, argmax and confidence of each row, and the rows sorted by entropy.

    The way transformers' entropy-bound sampler goes: torch.distributions.Categorical, then a sort.
    """
    distribution = torch.distributions.Categorical(logits=logits_NV.float(), validate_args=False)
    entropy_N = distribution.entropy()
    confidence_N, argmax_N = distribution.probs.max(dim=-1)
    return entropy_N, argmax_N, confidence_N, torch.sort(entropy_N).indices


def ours(logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the same by sbd.kernels.statistics."""
    read = statistics(logits_NV)
    return read.entropy_N, read.argmax_N, read.confidence_N, torch.sort(read.entropy_N).indices


def cases(rows: tuple[int, ...], vocabularies: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> list[Case]:
    """Return both ways for each (N, V), on normally distributed logits; `bytes` are those of the logits, read once."""
    made = []
    for vocabulary in vocabularies:
        for count in rows:
            torch.manual_seed(0)
            logits_NV = (3 * torch.randn(count, vocabulary, device=device)).to(dtype)
            setting = {"rows": count, "vocabulary": vocabulary}
            for name, read in {"ours": ours, "eager": eager}.items():
                made.append(Case(arm=name, setting=setting, run=_run(read, logits_NV), repeat=REPEAT[device.type]))
    return made


def _run(read: Callable[[Tensor], object], logits_NV: Tensor) -> Callable[[], dict[str, float]]:
    size = logits_NV.numel() * logits_NV.element_size()

    @torch.inference_mode()
    def run() -> dict[str, float]:
        read(logits_NV)
        return {"bytes": size}

    return run

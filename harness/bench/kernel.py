"""The sampler's kernel against eager torch: all that a reveal decision reads from the logits, over rows and vocabulary.

Shapes: N rows of logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.bench.graphs import captured
from harness.bench.turns import Case, counting
from sbd.kernels import statistics

REPEAT = {"cpu": 3, "cuda": 50}
INNER = 20


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
    """Return both ways, and the statistics alone, for each (N, V), on normally distributed logits.

    On CUDA also as graphs of INNER calls each ("-graph"), since launching takes longer there than the work itself.
    `bytes` are those of the logits, read once.
    """
    arms: dict[str, Callable[[Tensor], object]] = {"ours": ours, "eager": eager, "statistics": statistics}
    made = []
    for vocabulary in vocabularies:
        for count in rows:
            torch.manual_seed(0)
            logits_NV = (3 * torch.randn(count, vocabulary, device=device)).to(dtype)
            setting = {"rows": count, "vocabulary": vocabulary}
            counts = {"bytes": float(logits_NV.numel() * logits_NV.element_size())}
            for name, read in arms.items():
                call = _call(read, logits_NV)
                made.append(Case(arm=name, setting=setting, run=counting(call, counts), repeat=REPEAT[device.type]))
                if device.type == "cuda":
                    replay = captured(call, torch.cuda.graph_pool_handle(), times=INNER)
                    made.append(
                        Case(arm=f"{name}-graph", setting=setting, run=counting(replay, counts), repeat=5, inner=INNER)
                    )
    return made


def _call(read: Callable[[Tensor], object], logits_NV: Tensor) -> Callable[[], None]:
    @torch.inference_mode()
    def call() -> None:
        read(logits_NV)

    return call

"""From prompts to tokens: one call that runs prompts through an engine and hands back tokens, ends and ledger.

On a CUDA device engines stay with their model, so that later calls find their storage and recorded graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd.autoregressive import AutoregressiveEngine
from sbd.engine import Engine
from sbd.graphs import CudaCapture
from sbd.ledger import KINDS, Ledger
from sbd.rows import REASONS, Settings, Watch
from sbd.seats import FindStop
from sbd.verified import VerifiedEngine

KEPT = 4
"""Engines that stay with a model, each with its cache; the longest unused goes first."""

LONGEST_STEP = 256
"""Kept engines take prompts of up to a multiple of this many tokens, so that the next call's prompts fit as well."""

_kept: WeakKeyDictionary[PreTrainedModel, dict[tuple, Engine]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How prompts share the rows of a batch.

    Args:
        max_rows: rows decoded together; None takes as many as there are prompts.
        refill: the next prompt takes a row's place as soon as it ends; else a whole batch ends first (lock-step).
        cuda_graphs: replay forwards as CUDA graphs where that is possible: greedy decoding on a CUDA device, without
            autocast. The model's Python code (hooks, say) does not run in a replay.
    """

    max_rows: int | None = None
    refill: bool = True
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError(f"max_rows is {self.max_rows}; it must be at least 1, or None for all prompts at once")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Result of `decode`: new tokens of each prompt up to and including its end, why it ended, and every forward."""

    tokens: list[Tensor]
    stop_reason: list[str]
    ledger: Ledger


@torch.inference_mode()
def decode(
    model: PreTrainedModel, prompts: list[Tensor], settings: Settings, *, batching: Batching | None = None,
    generator: torch.Generator | None = None, find_stop: FindStop | None = None, watch: Watch | None = None,
) -> Decoded:  # fmt: skip
    """Decode prompts; a prompt's tokens, forwards and end do not depend on the others.

    At temperature > 0 that holds for the distribution: all rows draw from one generator.

    Args:
        prompts: tensors of at least one token id each.
        batching: all at once by default.
        generator: source of randomness at temperature > 0; None takes torch's default generator.
        find_stop: asked after every forward about each prompt that took part.
        watch: told of every forward; where there is one, no CUDA graph is replayed.

    Source: Algs. 2 and 3.
    """
    batching = batching or Batching()
    count = min(batching.max_rows or len(prompts), len(prompts))
    graphs = batching.cuda_graphs and watch is None
    engine = _engine(model, settings, count, max(len(prompt) for prompt in prompts), graphs)
    engine.watch, engine.rows.watched = watch, watch is not None
    engine.run(model, prompts, generator=generator, find_stop=find_stop, refill=batching.refill)
    answers = engine.seats.answers
    return Decoded(
        tokens=[torch.tensor(answer.tokens, dtype=torch.long, device=model.device) for answer in answers],
        stop_reason=[REASONS[answer.reason] for answer in answers],
        ledger=Ledger(
            decoding=settings.decoding,
            forwards=tuple(engine.forwards),
            nfe={kind: [answer.nfe[kind] for answer in answers] for kind in KINDS},
            batch_rows=count,
            verification=engine.verification(),
            graphs=engine.graph_report(),
        ),
    )


def engine_kind(settings: Settings) -> type[Engine]:
    """Return the engine that decodes in this way."""
    if settings.decoding == "ar":
        return AutoregressiveEngine
    return VerifiedEngine if settings.verify else Engine


def _engine(model: PreTrainedModel, settings: Settings, count: int, longest: int, cuda_graphs: bool) -> Engine:
    """Return an engine for `count` rows: a new one, or on CUDA the one that served such a call before."""
    kind = engine_kind(settings)
    graphs = cuda_graphs and model.device.type == "cuda" and settings.temperature == 0
    if not graphs or torch.is_autocast_enabled("cuda"):
        return kind(model, settings, count=count, longest=longest)
    kept = _kept.setdefault(model, {})
    key = (settings, count, _identity(model))
    engine = kept.pop(key, None)
    if engine is None or engine.longest < longest:
        rounded = -(-longest // LONGEST_STEP) * LONGEST_STEP
        engine = kind(model, settings, count=count, longest=rounded, capture=CudaCapture())
    kept[key] = engine  # the latest used stands last
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return engine


def _identity(model: PreTrainedModel) -> tuple[Any, ...]:
    """Return what a recorded graph depends on besides its engine: where the weights lie, and which attention runs."""
    return (model.config._attn_implementation, *(weight.data_ptr() for weight in model.parameters()))

"""A training step of set block decoding against one of next-token prediction on the same tokens: time and memory.

The step is forward and backward of Eq. 14 from the parts that sbd.training uses; the optimiser's own step, the same for
both, is left out, so the ratio is the worst case. Documents have no prompt: [x ; x_hat] is 2L long, as in the paper.

Shapes: B rows, L tokens of a row, T positions of the input (L, or 2L), D hidden size.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from harness.bench.subject import Subject
from harness.bench.turns import Case, counting
from sbd.attention import query_heads_per_key
from sbd.loss import cross_entropy_sum
from sbd.masks import Layout, allowed, block_mask, dense_mask
from sbd.model import attached_config
from sbd.noise import IGNORE, Documents, add_noise, clean_labels, clean_layout
from sbd.training import tiles

BLOCK_SIZE = 8
"""Near the mean of the paper's 2..16."""

SPARSE_BLOCK = {"cuda": 128, "cpu": tiles.SIZE}
"""FlexAttention, and elsewhere sbd.training's tiles, compute the mask's area in squares of this size."""


MASKS: dict[str, Callable[[Layout, PreTrainedModel], Any]] = {
    "sdpa": lambda layout, model: dense_mask(layout, model.dtype),
    "flex_attention": lambda layout, _: block_mask(layout),
    tiles.NAME: lambda layout, model: tiles.TiledMask(layout, model.dtype, query_heads_per_key(model.config)),
}
"""Attention, as transformers calls it -> the mask that it takes."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Input and labels of one step; `matp_labels` None: next-token prediction alone."""

    ids_BT: Tensor
    layout: Layout
    ntp_labels_BL: Tensor
    matp_labels: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of doing the step."""

    objective: str
    attention: str = "sdpa"
    chunked: bool = True


def ways(device: torch.device) -> dict[str, Way]:
    """Return the arms; FlexAttention has a backward pass on CUDA alone, elsewhere sbd.training's tiles stand for it."""
    made = {
        "ntp": Way(objective="ntp"), "sbd": Way(objective="sbd"),
        "ntp whole-logits": Way(objective="ntp", chunked=False),
        "sbd whole-logits": Way(objective="sbd", chunked=False),
    }  # fmt: skip
    word, attention = ("flex", "flex_attention") if device.type == "cuda" else ("tiles", tiles.NAME)
    return made | {f"{objective} {word}": Way(objective=objective, attention=attention) for objective in ("ntp", "sbd")}


def batch_of(rows: int, length: int, objective: str, mask_id: int, vocabulary: int, device: torch.device) -> Batch:
    """Return a batch of one random document a row, masked with eta ~ U(0, 1)."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(vocabulary - 1, (rows, length), generator=generator).to(device)
    ids = torch.where(ids == mask_id, (mask_id + 1) % vocabulary, ids)
    zeros, row = torch.zeros(rows, dtype=torch.long, device=device), torch.arange(rows, device=device)
    docs = Documents(ids, row, zeros, zeros, torch.full_like(zeros, length))
    labels, layout = clean_labels(docs), clean_layout(docs, BLOCK_SIZE, "document", trim=False)
    if objective == "ntp":
        return Batch(ids_BT=ids, layout=layout, ntp_labels_BL=labels, matp_labels=None)
    noisy = add_noise(
        docs, block_size=BLOCK_SIZE, grid="document", mask_id=mask_id, fill_id=-1, copies=1, generator=generator,
        trim=False,
    )  # fmt: skip
    return Batch(
        ids_BT=torch.cat([ids, noisy.ids], dim=1), layout=Layout.cat(layout, noisy.layout), ntp_labels_BL=labels,
        matp_labels=noisy.labels,
    )  # fmt: skip


def loss_of(model: PreTrainedModel, batch: Batch, way: Way) -> Tensor:
    """Return the summed loss of Eq. 14 over a batch, from one forward of [x ; x_hat]."""
    attention = MASKS[way.attention](batch.layout, model)
    body: Any = model.base_model
    hidden_BTD = body(
        input_ids=batch.ids_BT, position_ids=batch.layout.pos, attention_mask=attention, use_cache=False
    )[0]  # fmt: skip
    head: Any = model.get_output_embeddings()
    loss = cross_entropy_sum if way.chunked else whole_logits
    clean = batch.ntp_labels_BL.shape[1]
    total = loss(hidden_BTD[:, : clean - 1], batch.ntp_labels_BL[:, 1:], head)
    if batch.matp_labels is not None:
        total = total + loss(hidden_BTD[:, clean:], batch.matp_labels, head)
    return total


def whole_logits(hidden: Tensor, labels: Tensor, head: torch.nn.Linear) -> Tensor:
    """Return the summed cross-entropy the plain way: the logits of every position exist at once, in float32."""
    logits = head(hidden).float().flatten(0, 1)
    return functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE, reduction="sum")


def cases(subject: Subject, rows: int, lengths: tuple[int, ...]) -> list[Case]:
    """Return a step of every way and length; `area` counts what the mask allows, `square` all pairs of positions."""
    config = attached_config(subject.model)
    mask_id = subject.shape.vocab - 1 if config is None else config.mask_token_id
    made = []
    for length in lengths:
        for name, way in ways(subject.device).items():
            batch = batch_of(rows, length, way.objective, mask_id, subject.shape.vocab, subject.device)
            step = _step(subject.model, batch, way)
            made.append(
                Case(
                    arm=name, setting={"length": length, "rows": rows},
                    run=counting(step, areas(batch, SPARSE_BLOCK[subject.device.type])),
                    cost=_memory(step, subject.device),
                )
            )  # fmt: skip
    return made


def _memory(step: Callable[[], None], device: torch.device) -> Callable[[], dict[str, float]]:
    return lambda: {"peak_bytes": float(peak_bytes(step, device))}


def areas(batch: Batch, side: int) -> dict[str, float]:
    """Return one row's pairs of positions: those the mask allows, those in squares of this side that hold one, all."""
    layout = Layout(*(x[:1] for x in (batch.layout.doc, batch.layout.pos, batch.layout.block, batch.layout.stream)))
    seen_TT = allowed(layout, layout)[0]
    count = -(-len(seen_TT) // side)
    padded = functional.pad(seen_TT, (0, count * side - len(seen_TT)) * 2)
    squares = padded.unflatten(0, (count, side)).unflatten(2, (count, side)).any(dim=3).any(dim=1)
    return {
        "tokens": batch.ntp_labels_BL.numel(), "positions": batch.ids_BT.numel(), "area": int(seen_TT.sum()),
        "tiled_area": int(squares.sum()) * side**2, "square": seen_TT.numel(),
    }  # fmt: skip


def _step(model: PreTrainedModel, batch: Batch, way: Way) -> Callable[[], None]:
    def step() -> None:
        model.config._attn_implementation = way.attention
        model.zero_grad(set_to_none=True)
        loss_of(model, batch, way).backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
        model.config._attn_implementation = "sdpa"

    return step


def peak_bytes(step: Callable[[], None], device: torch.device) -> int:
    """Return how many bytes a step holds at most beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _peak_on_cpu(step)


def _peak_on_cpu(step: Callable[[], None]) -> int:
    """The same from the profiler's record of every allocation: exact, while a process's size is not."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as made:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        made.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]")
    held = most = 0
    for _, size in changes:
        held += size
        most = max(most, held)
    return most

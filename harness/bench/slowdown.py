"""Seconds of a forward over its width: one token, a block of k, and 2k, the first forward of a block (section 4).

On CUDA each is measured twice, as Python launches it and replayed as a CUDA graph, which costs no Python.

Shapes: B rows, Q tokens of a forward.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from harness.bench.graphs import captured
from harness.bench.subject import Subject
from harness.bench.turns import Case, counting
from sbd.cache import KVCache
from sbd.model import forward, new_cache

REPEAT = {"cpu": 3, "cuda": 10}


@dataclass(frozen=True, kw_only=True)
class Width:
    """One kind of forward: its name, tokens, the bidirectional ones at its end, and those that need logits."""

    name: str
    tokens: int
    block: int
    keep: int


def widths(block_sizes: tuple[int, ...]) -> Iterator[tuple[int, Width]]:
    """Yield (k, forward): autoregression's own at k = 1, then a block's later and first forwards."""
    yield 1, Width(name="one", tokens=1, block=0, keep=1)
    for k in sorted(set(block_sizes) - {1}):
        yield k, Width(name="block", tokens=k, block=k, keep=k)
        yield k, Width(name="fused", tokens=2 * k, block=k, keep=k)


def cases(
    subject: Subject, batch_sizes: tuple[int, ...], block_sizes: tuple[int, ...], kv_lengths: tuple[int, ...]
) -> list[Case]:
    """Return every kind of forward for every batch size and number of cached tokens.

    A model cut short in depth is also timed without any layer, so that its layers' share can be scaled to full depth.
    """
    depths = {"": subject.shape.layers} | ({"-rest": 0} if subject.shape.layers < subject.full_layers else {})
    pool = torch.cuda.graph_pool_handle() if subject.device.type == "cuda" else None
    made = []
    for batch in batch_sizes:
        cache = new_cache(subject.model, batch, max(kv_lengths) + 2 * max(block_sizes))
        for kv_length in kv_lengths:
            for k, width in widths(block_sizes):
                setting = {"batch": batch, "kv_length": kv_length, "k": k}
                for suffix, layers in depths.items():
                    run = _forward(subject, cache, batch, kv_length, width, layers)
                    made += _both(width.name + suffix, setting, run, subject.device, pool)
    return made


def _both(arm: str, setting: dict[str, int], run: Callable[[], None], device: torch.device, pool: Any) -> list[Case]:
    """Return the forward as Python launches it, and on CUDA also as a graph."""
    runs = {arm: run}
    if pool is not None:
        try:
            runs[f"{arm}-graph"] = captured(run, pool)
        except RuntimeError as error:
            warnings.warn(f"{arm} at {setting} is not captured as a graph: {str(error).splitlines()[0]}", stacklevel=2)
    repeat = REPEAT[device.type]
    return [Case(arm=name, setting=setting, run=counting(go, {}), repeat=repeat) for name, go in runs.items()]


def _forward(
    subject: Subject, cache: KVCache, batch: int, kv_length: int, width: Width, layers: int
) -> Callable[[], None]:
    """Return one forward behind `kv_length` cached tokens of each row; their keys and values are zeros."""
    model, device = subject.model, subject.device
    length_B = torch.full((batch,), kv_length, device=device)
    real_B = torch.full_like(length_B, width.tokens)
    ids_BQ = torch.full((batch, width.tokens), 1, device=device)

    @torch.inference_mode()
    def run() -> None:
        cache.length_B = length_B
        with depth(subject, layers):
            forward(
                model, cache, ids_BQ, block=width.block, keep=width.keep, real_B=real_B, span=kv_length + width.tokens
            )

    return run


@contextmanager
def depth(subject: Subject, layers: int) -> Iterator[None]:
    """Let the model run its first `layers` layers alone."""
    config = subject.model.config
    before = config.num_hidden_layers
    config.num_hidden_layers = layers
    try:
        yield
    finally:
        config.num_hidden_layers = before

"""Seconds of a forward over its width: one token, a block of k, and 2k, the first forward of a block (section 4).

Each is run as the engine runs it: on a CPU without a mask where all tokens of a row see each other and the whole past.
On CUDA each is measured twice, as Python launches it and replayed as a CUDA graph, which costs no Python.

Shapes: B rows, Q tokens of a forward.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from harness.bench.graphs import captured
from harness.bench.subject import Subject
from harness.bench.turns import Case, counting
from sbd.attention import without_copies
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

    @property
    def causal(self) -> bool:
        """Whether some of its tokens may not see others."""
        return self.block < self.tokens > 1


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
                    forwards = Forwards(
                        subject=subject, cache=cache, batch=batch, kv_length=kv_length, width=width, layers=layers
                    )
                    made += _both(width.name + suffix, setting, forwards, pool)
    return made


@dataclass(kw_only=True)
class Forwards:
    """Forwards of one width behind `kv_length` cached tokens of each row; their keys and values are zeros."""

    subject: Subject
    cache: KVCache
    batch: int
    kv_length: int
    width: Width
    layers: int

    def __post_init__(self) -> None:
        self.length_B = torch.full((self.batch,), self.kv_length, device=self.subject.device)
        self.real_B = torch.full_like(self.length_B, self.width.tokens)
        self.ids_BQ = self.length_B.new_ones(self.batch, self.width.tokens)

    @torch.inference_mode()
    def run(self, times: int = 1) -> None:
        """Do `times` of them, with what the engine does once a decoding done once."""
        width, model = self.width, self.subject.model
        self.cache.length_B = self.length_B
        whole = self.subject.device.type == "cpu" and not width.causal
        with depth(self.subject, self.layers), without_copies(model.config):
            for _ in range(times):
                forward(
                    model, self.cache, self.ids_BQ, block=width.block, keep=width.keep, real_B=self.real_B,
                    whole=whole, span=self.kv_length + width.tokens,
                )  # fmt: skip


def _both(arm: str, setting: dict[str, int], forwards: Forwards, pool: Any) -> list[Case]:
    """Return the forward as Python launches it, and on CUDA also as a graph."""
    repeat = REPEAT[forwards.subject.device.type]
    made = [Case(arm=arm, setting=setting, run=counting(partial(forwards.run, repeat), {}), inner=repeat, settle=True)]
    if pool is not None:
        try:
            run = counting(captured(forwards.run, pool), {})
            made.append(Case(arm=f"{arm}-graph", setting=setting, run=run, repeat=repeat, settle=True))
        except RuntimeError as error:
            warnings.warn(f"{arm} at {setting} is not captured as a graph: {str(error).splitlines()[0]}", stacklevel=2)
    return made


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

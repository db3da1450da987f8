"""CUDA graphs of an engine's steps: the first time a step runs as it is, the second time it is recorded, then replayed.

A step that is to be recorded reads and writes storage that never moves, and asks the device for nothing. Knows steps by
their names; knows nothing of what they do. Where there is no capture (on a CPU) every step just runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Record a step's work without doing it, and return what does it."""

SPAN_MIN = 256
"""Spans are rounded up to this times a power of two, so that few graphs serve a growing cache."""


class CudaCapture:
    """Records steps as CUDA graphs that share one pool of memory."""

    def __init__(self) -> None:
        self.pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """Record one step."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            work()
        return graph.replay


@dataclass
class Graphs:
    """The steps of one engine that have been recorded.

    Args:
        capture: None runs every step as it is.
    """

    capture: Capture | None = None
    replays: dict[Any, Work] = field(default_factory=dict)
    seen: set[Any] = field(default_factory=set)
    hits: int = 0
    misses: int = 0
    refused: str | None = None

    def span(self, need: int, capacity: int) -> int:
        """Return how many slots to show to attention: as few as needed, or rounded up so that steps come again."""
        if self.capture is None:
            return need
        return min(capacity, SPAN_MIN << max(0, (need - 1) // SPAN_MIN).bit_length())

    def run(self, step: Hashable, work: Work) -> None:
        """Do a step's work; equal steps must be the same work on the same storage.

        Some models cannot be recorded (they ask the device for values, as expert routing may): then all steps run.
        """
        if self.capture is None:
            return work()
        if step in self.replays:
            self.hits += 1
            return self.replays[step]()
        self.misses += 1
        if step not in self.seen or self.refused:
            self.seen.add(step)
            return work()
        try:
            self.replays[step] = self.capture(work)
        except RuntimeError as error:
            self.refused = str(error).strip().splitlines()[0]
            return work()
        return self.replays[step]()

    def begin(self) -> None:
        """Start counting afresh; what was recorded stays."""
        self.hits = self.misses = 0

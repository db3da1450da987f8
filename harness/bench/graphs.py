"""CUDA graphs of what is measured: replayed, it costs no Python and no launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def captured(run: Callable[[], object], pool: Any, *, times: int = 1) -> Callable[[], None]:
    """Return the replay of a CUDA graph of `run`, whose tensors must not move.

    Args:
        pool: memory that graphs share (torch.cuda.graph_pool_handle); what one leaves there, the next may overwrite.
        times: how often the graph does it.

    Raises:
        RuntimeError: where it does something that a graph cannot hold.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        for _ in range(times):
            run()
    return graph.replay

"""What the device itself can do: its copy bandwidth and its matrix multiplication rate, measured."""

from __future__ import annotations

from collections.abc import Callable

import torch

from harness.bench.turns import Case

COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Bytes that one copy reads: far more than any cache holds."""

GEMM_SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the square matrices."""


def cases(device: torch.device, dtype: torch.dtype) -> list[Case]:
    """Return the two ceilings as cases; `bytes` counts what is read and written, `flops` two per multiply-add."""
    return [
        Case(arm="copy", setting={}, run=_copy(device), repeat=3),
        Case(arm="gemm", setting={}, run=_gemm(device, dtype), repeat=3),
    ]


def _copy(device: torch.device) -> Callable[[], dict[str, float]]:
    size = COPY_BYTES[device.type]
    source = torch.zeros(size // 4, dtype=torch.float32, device=device)
    target = torch.ones_like(source)

    def run() -> dict[str, float]:
        target.copy_(source)
        return {"bytes": 2 * size}

    return run


def _gemm(device: torch.device, dtype: torch.dtype) -> Callable[[], dict[str, float]]:
    size = GEMM_SIZE[device.type]
    a, b = torch.ones(2, size, size, dtype=dtype, device=device)
    out = torch.empty_like(a)

    def run() -> dict[str, float]:
        torch.mm(a, b, out=out)
        return {"flops": 2 * size**3}

    return run

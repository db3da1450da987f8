"""Accelerators and number formats as data with their sources; knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DTYPE_BYTES = {"fp8": 1, "bf16": 2, "fp32": 4}
"""Bytes of one weight, activation or KV element, by dtype."""


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """An accelerator's memory bandwidth and its dense (not sparse) tensor-core peaks by dtype."""

    name: str
    bandwidth_bytes_per_second: float
    peak_flops_per_second: Mapping[str, float]
    source: str

    def __post_init__(self) -> None:
        if self.bandwidth_bytes_per_second <= 0 or any(peak <= 0 for peak in self.peak_flops_per_second.values()):
            raise ValueError(f"{self.name} has a bandwidth or peak that is not positive; give bytes/s and FLOP/s")


HARDWARE: dict[str, Hardware] = {
    "h100-paper": Hardware(
        name="H100 as the paper counts it",
        bandwidth_bytes_per_second=3.35 * 1024**4,
        peak_flops_per_second={"fp8": 1978e12, "bf16": 989e12},
        source="arXiv 2509.04185, Fig. 11 (reads the data sheet's 3.35 TB/s as TiB/s, 10% too fast)",
    ),
    "h100": Hardware(
        name="H100 SXM",
        bandwidth_bytes_per_second=3.35e12,
        peak_flops_per_second={"fp8": 1979e12, "bf16": 989.4e12},
        source="NVIDIA H100 data sheet, SXM5; its figures with sparsity halved",
    ),
    "h200": Hardware(
        name="H200 SXM",
        bandwidth_bytes_per_second=4.8e12,
        peak_flops_per_second={"fp8": 1979e12, "bf16": 989.4e12},
        source="NVIDIA H200 data sheet, SXM; its figures with sparsity halved",
    ),
    "a100": Hardware(
        name="A100 SXM 80 GB",
        bandwidth_bytes_per_second=2.039e12,
        peak_flops_per_second={"bf16": 312e12},
        source="NVIDIA A100 data sheet, 80 GB SXM; no FP8 units",
    ),
    "b200": Hardware(
        name="B200",
        bandwidth_bytes_per_second=8e12,
        peak_flops_per_second={"fp8": 4.5e15, "bf16": 2.25e15},
        source="NVIDIA DGX B200 data sheet, an eighth of the system; its figures with sparsity halved",
    ),
    "l40s": Hardware(
        name="L40S",
        bandwidth_bytes_per_second=864e9,
        peak_flops_per_second={"fp8": 733e12, "bf16": 362.05e12},
        source="NVIDIA L40S data sheet, figures without sparsity",
    ),
}


def element_bytes(dtype: str) -> int:
    """Bytes of one element.

    Raises:
        ValueError: for a dtype the roofline has no peaks for.
    """
    if dtype not in DTYPE_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}; known: {', '.join(DTYPE_BYTES)}")
    return DTYPE_BYTES[dtype]

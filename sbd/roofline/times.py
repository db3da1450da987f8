"""Predicted forward times and speedups of section 4 (Tables 3 and 4), as printed and corrected; knows nothing of torch.

Each operation (one GEMM, or the fused attention) takes max(bytes / bandwidth, flops / peak) seconds; a forward is their
sum. Two readings of the paper's Fig. 11 stand side by side: as printed, its FFN GEMMs are hidden * ffn wide and its K
and V projections heads * kv_heads; corrected, they have the model's own widths, all its FFN matrices and its output
head (at every position of the forward). Norms, biases, activation functions, the embedding look-up, launches and
communication cost no time in either.
"""

from __future__ import annotations

from dataclasses import dataclass

from .hardware import Hardware, element_bytes
from .shapes import ModelShape


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One kernel of a forward and how often it runs; `peak` is the dtype whose tensor-core peak bounds it."""

    name: str
    count: int
    bytes: int
    flops: int
    peak: str


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Section 4 for one model on one accelerator.

    Args:
        shape: the model. hardware: the accelerator.
        dtype: of weights, activations and KV cache; attention always computes at the BF16 peak, as in the paper.
        as_printed: Fig. 11 with its two slips instead of the corrected widths.

    Raises:
        ValueError: where the accelerator has no peak for the dtype.
    """

    shape: ModelShape
    hardware: Hardware
    dtype: str = "fp8"
    as_printed: bool = False

    def __post_init__(self) -> None:
        element_bytes(self.dtype)
        if self.dtype not in self.hardware.peak_flops_per_second:
            known = ", ".join(self.hardware.peak_flops_per_second)
            raise ValueError(f"{self.hardware.name} has no {self.dtype} peak; choose the dtype {known}")

    def operations(self, *, batch: int, width: int, kv_length: int) -> list[Operation]:
        """The kernels of one forward of `width` positions in each of `batch` rows, attending to `kv_length` ones."""
        for name, value in (("batch", batch), ("width", width), ("kv_length", kv_length)):
            if value < 1:
                raise ValueError(f"{name} is {value}; a forward needs at least 1")
        shape, tokens = self.shape, batch * width
        gemms = shape.layer_gemms_as_printed() if self.as_printed else shape.layer_gemms()
        operations = [self._gemm(name, shape.layers, tokens, rows, columns) for name, rows, columns in gemms]
        if shape.vocab and not self.as_printed:
            operations.append(self._gemm("head", 1, tokens, shape.hidden, shape.vocab))
        query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        elements = 2 * tokens * query + 2 * batch * kv_length * key
        attention = Operation(
            name="attention", count=shape.layers, bytes=elements * element_bytes(self.dtype),
            flops=2 * (2 * tokens * kv_length * query), peak="bf16",
        )  # fmt: skip
        return [*operations, attention]

    def _gemm(self, name: str, count: int, tokens: int, rows: int, columns: int) -> Operation:
        elements = tokens * (rows + columns) + rows * columns
        return Operation(
            name=name, count=count, bytes=elements * element_bytes(self.dtype), flops=2 * tokens * rows * columns,
            peak=self.dtype,
        )  # fmt: skip

    def seconds(self, *, batch: int, width: int, kv_length: int) -> float:
        """Time of one forward; arguments as in `operations`."""
        bandwidth, peaks = self.hardware.bandwidth_bytes_per_second, self.hardware.peak_flops_per_second
        operations = self.operations(batch=batch, width=width, kv_length=kv_length)
        return sum(op.count * max(op.bytes / bandwidth, op.flops / peaks[op.peak]) for op in operations)

    def slowdown(self, *, batch: int, block_size: int, kv_length: int) -> float:
        """Table 3: time of a forward of a whole block over that of one token, time(k) / time(1)."""
        one = self.seconds(batch=batch, width=1, kv_length=kv_length)
        return self.seconds(batch=batch, width=block_size, kv_length=kv_length) / one

    def wallclock_speedup(self, *, batch: int, block_size: int, kv_length: int, nfe_speedup: float) -> float:
        """Table 4 (Eq. 16): k time(1) / (time(2k) + (l - 1) time(k)) with l = k / nfe_speedup forwards a block.

        Raises:
            ValueError: where nfe_speedup is not between 1 and the block size.
        """
        if not 1 <= nfe_speedup <= block_size:
            raise ValueError(f"nfe_speedup is {nfe_speedup}; a block of {block_size} allows 1 to {block_size}")
        one, block, fused = (
            self.seconds(batch=batch, width=width, kv_length=kv_length) for width in (1, block_size, 2 * block_size)
        )
        return block_size * one / (fused + (block_size / nfe_speedup - 1) * block)

"""What `python -m harness.bench` is asked to measure, checked before anything runs; knows nothing of how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arms import MODELS
from harness.speed.measured import CLOCKS, DTYPES
from sbd.roofline import SHAPES

BENCHES = ("decode", "throughput", "slowdown", "training", "kernel")

RANDOM_SHAPES = tuple(name for name, shape in SHAPES.items() if shape.vocab)
"""Shapes of SHAPES that a model can be built from: those with an embedding."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """One call of the command.

    Args:
        benches: of BENCHES, in the order they run.
        model: a key of harness.arms.MODELS or the folder of a checkpoint; or None with `shape`.
        shape: a name of RANDOM_SHAPES, built with random weights. layers: its depth, None for its own.
        device: "auto", "cpu", "cuda", ... dtype: of DTYPES, None for float32 on a CPU and bfloat16 elsewhere.
        threads: of the CPU, None for torch's own choice.
        rounds: how often everything takes its turn.
        prompts: how many are decoded. prompt_tokens, new_tokens: their length and budget with random weights.
        batch_sizes, block_sizes, kv_lengths: grids of "throughput" and "slowdown".
        lengths, step_batch: tokens of a training row, and rows of a step.
        kernel_rows, vocabularies: (N, V) of the logits of "kernel".
        compile: whether "decode" compiles transformers' generate on a CPU too (minutes), as it does on CUDA.
        clock: of CLOCKS, what tables count; both are recorded. "cpu" is for one thread on a machine in use.
        profile: whether to save a torch.profiler trace of each arm.
        out: folder of results/ and reports/. fresh: whether to forget earlier records of the same files.
        command: for the manifest.

    Raises:
        ValueError: naming the first option that cannot be served, and what can.
    """

    benches: tuple[str, ...] = ("decode",)
    model: str | None = None
    shape: str | None = None
    layers: int | None = None
    device: str = "auto"
    dtype: str | None = None
    threads: int | None = None
    rounds: int = 7
    prompts: int = 12
    prompt_tokens: int = 128
    new_tokens: int = 64
    batch_sizes: tuple[int, ...] = (1, 4, 8, 16)
    block_sizes: tuple[int, ...] = (4, 8, 16, 32)
    kv_lengths: tuple[int, ...] = (128, 384)
    lengths: tuple[int, ...] = (128, 256, 512)
    step_batch: int = 4
    kernel_rows: tuple[int, ...] = (1, 16, 64)
    vocabularies: tuple[int, ...] = (768, 49152, 128256)
    compile: bool = False
    clock: str = "wall"
    profile: bool = False
    out: Path = Path(".")
    fresh: bool = False
    command: str = "python -m harness.bench"

    def __post_init__(self) -> None:
        for bench in self.benches:
            _one_of("benchmark", bench, BENCHES)
        if (self.model is None) == (self.shape is None):
            raise ValueError("give either --model (a checkpoint) or --shape NAME --random-weights")
        if self.shape is not None:
            _one_of("--shape", self.shape, RANDOM_SHAPES)
        elif self.model not in MODELS and not Path(str(self.model)).is_dir():
            raise ValueError(f"--model {self.model!r}: neither a folder nor one of {', '.join(MODELS)}")
        if self.layers is not None and (self.shape is None or not 1 <= self.layers <= SHAPES[self.shape].layers):
            most = f"1 to {SHAPES[self.shape].layers}" if self.shape else "it only with --shape"
            raise ValueError(f"--layers {self.layers}: give {most}")
        if self.dtype is not None:
            _one_of("--dtype", self.dtype, tuple(DTYPES))
        _one_of("--clock", self.clock, CLOCKS)
        if self.clock == "cpu" and (self.device.startswith("cuda") or self.threads != 1):
            raise ValueError("--clock cpu: it tells time on one CPU thread alone; add --device cpu --threads 1")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("rounds", "prompts", "prompt_tokens", "new_tokens", "step_batch", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} {value}: choose at least 1")
        for name in ("batch_sizes", "block_sizes", "kv_lengths", "lengths", "kernel_rows", "vocabularies"):
            values = getattr(self, name)
            least = 2 if name in ("lengths", "vocabularies") else 1
            if not values or min(values) < least:
                raise ValueError(f"--{name.replace('_', '-')} {' '.join(map(str, values))}: choose {least} or more")

    @property
    def results(self) -> Path:
        """Folder of the records."""
        return self.out / "results"

    @property
    def reports(self) -> Path:
        """Folder of tables and figures."""
        return self.out / "reports"


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{option} {value!r}: unknown; choose from {', '.join(known)}")

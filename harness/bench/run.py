"""Runs the benchmarks that were asked for: subject -> cases -> measurements on disk -> report."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence

import torch

from harness import machine
from harness.arms import run_id
from harness.bench import baselines, ceilings, decode, kernel, slowdown, throughput, training
from harness.bench.options import BenchOptions
from harness.bench.subject import Subject, load_subject, prompts_of
from harness.bench.turns import Case, Sheet, first_of_each_arm, measure, save_profiles
from harness.results import ArmFile, Measurement, forget, note, strike
from harness.speed.measured import DTYPES, Measured

GRIDS = {
    "decode": ("prompts", "prompt_tokens", "new_tokens"),
    "throughput": ("prompts", "prompt_tokens", "new_tokens"),
    "slowdown": (),
    "training": ("step_batch",),
    "kernel": (),
}
"""Options that decide what a benchmark's lines mean, besides the settings that each line carries."""
KEPT = ("prompts", "step_batch")
"""Those of them that count for real weights too."""


def measure_all(options: BenchOptions) -> Iterator[Measured]:
    """Measure what the files do not hold yet; yields one entry a benchmark as soon as it is done.

    Raises:
        ValueError: for a device or checkpoint that cannot be used, or files of other runs.
        OSError: where records cannot be written.
    """
    machine.check_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    subject = load_subject(options)
    for bench in options.benches:
        yield _measure(bench, subject, options)


def _measure(bench: str, subject: Subject, options: BenchOptions) -> Measured:
    facts = machine.facts(subject.device)
    dtype = next(name for name in DTYPES if getattr(torch, name) == subject.model.dtype)
    configuration = {
        "bench": bench, "model": subject.name, "weights": subject.weights, "dtype": dtype,
        "hardware": facts["hardware"], "threads": facts["threads"],
        **{name: getattr(options, name) for name in GRIDS[bench] if subject.random or name in KEPT},
    }  # fmt: skip
    folder = options.results / subject.scale / "bench" / place(facts["hardware"], facts["threads"], subject.device)
    path = folder / f"{bench}-{subject.name}-{dtype}.jsonl"
    if options.fresh:
        forget(path)
        strike(folder, path.name)
    file = ArmFile(path, Measurement, run_id(configuration))
    sheet = Sheet(file=file, scale=subject.scale, model=subject.name, bench=bench)
    cases = _cases(bench, subject, options)
    warm = first_of_each_arm(cases) if bench in ("decode", "throughput") else cases
    made = measure(cases, sheet, options.rounds, subject.device, warm=warm)
    if made:
        entry = {"run_id": file.run_id, "file": path.name, "configuration": configuration, **facts}
        note(folder, entry | {"measurements": made, "rounds": options.rounds, "command": options.command})
    if options.profile:
        save_profiles(cases, folder / "profiles" / path.stem, subject.device)
    return Measured(
        bench=bench, subject=subject, path=path, hardware=facts["hardware"], threads=facts["threads"], dtype=dtype
    )


def _cases(bench: str, subject: Subject, options: BenchOptions) -> Sequence[Case]:
    """Return what a benchmark times."""
    device, dtype = subject.device, subject.model.dtype
    if bench == "decode":
        prompts = sorted(prompts_of(subject, options), key=lambda prompt: -len(prompt.ids_L))
        compiled = options.compile or device.type == "cuda"
        return decode.cases(subject, prompts, baselines.usable(subject, prompts[0], compiled=compiled))
    if bench == "throughput":
        return throughput.cases(subject, prompts_of(subject, options), options.batch_sizes)
    if bench == "training":
        return training.cases(subject, options.step_batch, options.lengths)
    if bench == "kernel":
        return [*ceilings.cases(device, dtype), *kernel.cases(options.kernel_rows, options.vocabularies, device, dtype)]
    forwards = slowdown.cases(subject, options.batch_sizes, options.block_sizes, _fitting(subject, options))
    return [*ceilings.cases(device, dtype), *forwards]


def _fitting(subject: Subject, options: BenchOptions) -> tuple[int, ...]:
    """Return the KV lengths that the model has positions for, beside the widest forward.

    Raises:
        ValueError: where there is none.
    """
    from sbd.model import max_positions

    room = max_positions(subject.model) - 2 * max(options.block_sizes)
    fitting = tuple(length for length in options.kv_lengths if length <= room)
    if not fitting:
        raise ValueError(f"--kv-lengths {options.kv_lengths}: {subject.name} has room for at most {room} cached tokens")
    if len(fitting) < len(options.kv_lengths):
        warnings.warn(f"left out: KV lengths above {room}, the room of {subject.name}", stacklevel=2)
    return fitting


def place(hardware: str, threads: int, device: torch.device) -> str:
    """Return the folder name of a machine: its hardware, and on a CPU the threads used."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return slug if device.type == "cuda" else f"{slug}-{threads}-thread{'s' * (threads > 1)}"

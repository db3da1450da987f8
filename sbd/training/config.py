"""Settings of one training run, read from a YAML file; knows nothing of how they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sbd.config import OBJECTIVES
from sbd.noise import GRIDS
from sbd.training.optimizer import OPTIMIZERS

ATTENTION = ("sdpa", "flex_attention", "tiles")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run; field names are the YAML keys and the names `--set` takes.

    Args:
        output: folder of the finished checkpoint; working state goes to `<output>/.state`.
        data: JSONL files of {prompt, completion} or {text} records, or Hugging Face data set ids.
        model: folder or hub id of the base model; or None to start from scratch with `architecture`.
        architecture: fields of a transformers config, `model_type` among them, for a model from scratch.
        tokenizer: folder or hub id; by default that of `model`.
        objective: "ntp"; "sbd" = NTP + MATP (Eq. 14); "sbd-no-ntp" = MATP alone, the NTP value still logged (Table 2).
        block_size_min, block_size_max: k is drawn uniformly from this range at each step (the paper: 2..16).
        noisy_copies: independently masked copies of each document that share its clean pass (the paper: 1).
        grid: where blocks are counted from: "completion" as decoding does, or "document" as the paper's training does.
        trim: whether the noisy half leaves out the blocks of the prompt, which carry no loss (the paper: no).
        pack: whether several documents share a row; otherwise each has its own and rows of like length form a batch.
        max_length: tokens of a row; longer documents are cut.
        steps, batch_size, accumulation: optimiser steps; rows of one forward; forwards of one step.
        optimizer: "adamw" as in the paper, or "muon" (AdamW stays for embeddings and vectors), which needs whole
            matrices, hence no FSDP.
        lr, warmup, weight_decay, beta2, max_grad_norm: linear warm-up, then cosine decay to zero.
        precision: arithmetic, "float32" or "bfloat16" (weights stay float32).
        export_dtype: type of the shipped weights.
        attention: "sdpa" (dense mask), "flex_attention" (BlockMask, for long rows on a GPU), or "tiles" (SDPA on the
            tiles that the mask allows, for long rows elsewhere; not compiled).
        compile: compile the transformer's body with torch.compile.
        save_every: steps between resumable states.
        trainer: further transformers.TrainingArguments, as they are (fsdp, gradient_checkpointing, ...).
    """

    output: str
    data: Sequence[str]
    model: str | None = None
    architecture: Mapping[str, Any] | None = None
    tokenizer: str | None = None
    objective: str = "sbd"
    block_size_min: int = 2
    block_size_max: int = 16
    noisy_copies: int = 1
    grid: str = "completion"
    trim: bool = True
    pack: bool = True
    max_length: int = 2048
    steps: int = 1000
    batch_size: int = 32
    accumulation: int = 1
    optimizer: str = "adamw"
    lr: float = 3e-4
    warmup: int = 200
    weight_decay: float = 0.1
    beta2: float = 0.95
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: str = "float32"
    export_dtype: str = "bfloat16"
    attention: str = "sdpa"
    compile: bool = False
    save_every: int = 500
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("objective", self.objective, OBJECTIVES)
        _one_of("grid", self.grid, GRIDS)
        _one_of("attention", self.attention, ATTENTION)
        if self.attention == "tiles" and self.compile:
            raise ValueError("attention 'tiles' changes with every batch and is not compiled; leave compile out")
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("precision", "export_dtype"):
            _one_of(name, getattr(self, name), ("float32", "bfloat16"))
        if (self.model is None) == (self.architecture is None):
            raise ValueError(
                "give either model (a folder or hub id to start from) or architecture (a model from scratch)"
            )
        if self.model is None and self.tokenizer is None:
            raise ValueError("a model from scratch needs tokenizer, a folder or hub id")
        if not 1 <= self.block_size_min <= self.block_size_max:
            raise ValueError(
                f"block sizes {self.block_size_min}..{self.block_size_max} are no range of positive numbers"
            )
        for name in ("noisy_copies", "max_length", "steps", "batch_size", "accumulation", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")


def read_config(path: str, settings: Sequence[str] = ()) -> TrainingConfig:
    """Read a YAML file and apply `key=value` settings over it; values are YAML too.

    Raises:
        ValueError: the file is absent or no mapping, a key is unknown, or a value is refused.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the configuration {path!r}: {error.strerror}") from error
    if not isinstance(values, dict):
        raise ValueError(f"the configuration {path!r} is not a mapping of settings")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting!r} is not of the form key=value")
        values[key] = yaml.safe_load(value)
    known = {f.name for f in dataclasses.fields(TrainingConfig)}
    for key in values:
        _one_of("setting", key, sorted(known))
    for missing in sorted({"output", "data"} - set(values)):
        raise ValueError(f"the configuration {path!r} lacks {missing!r}")
    return TrainingConfig(**values)

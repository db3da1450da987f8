"""What was measured, as its report needs to know it: the model without its weights, the machine, the file of lines."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

import sbd
from harness.arms import MODELS, checkpoint_of, weights_hash
from sbd.roofline import SHAPES, ModelShape, shape_from_config

CLOCKS = ("wall", "cpu")
DTYPES = {"float32": "fp32", "bfloat16": "bf16"}
"""Arithmetic that can be asked for, and its name in sbd.roofline."""

SCALES = {"smollm2-135m": "small", "llama-3.1-8b": "paper", "qwen3-8b": "paper"}
"""Scale that each random shape belongs to."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A model as reports know it, without its weights.

    Args:
        name: as file names and tables have it. scale: "mini", "small" or "paper". weights: their hash, or "random".
        shape: of the model as it is. full_layers: depth of the shape it stands for.
        tokenizer: None for random weights, whose prompts are random too and have no end token.
    """

    name: str
    scale: str
    weights: str
    shape: ModelShape
    full_layers: int
    tokenizer: PreTrainedTokenizerBase | None

    @property
    def random(self) -> bool:
        """Whether the weights are random, so that what is decoded means nothing."""
        return self.tokenizer is None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One benchmark's file of records and what a report needs to know about it."""

    bench: str
    subject: Identity
    path: Path
    hardware: str
    threads: int
    dtype: str


def identity_of(name: str, weights: str) -> Identity:
    """Return what is known of a model that was measured, by what its manifest calls it.

    Raises:
        ValueError: where that is neither a shipped model with its weights of then nor a shape with random weights.
    """
    if name in MODELS and weights_hash(folder := checkpoint_of(name, "sbd", None)) == weights:
        shape = shape_from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")), name=folder.name)
        return Identity(
            name=name, scale="mini", weights=weights, shape=shape, full_layers=shape.layers,
            tokenizer=sbd.load_tokenizer(folder),
        )  # fmt: skip
    label = re.fullmatch(r"(.+?)-random(?:-(\d+)of\d+)?", name)
    if weights != "random" or label is None or label[1] not in SHAPES:
        raise ValueError(f"the checkpoint {name!r} with weights {weights} is not at hand")
    full = SHAPES[label[1]]
    return Identity(
        name=name, scale=SCALES[label[1]], weights=weights, full_layers=full.layers, tokenizer=None,
        shape=dataclasses.replace(full, name=name, layers=int(label[2] or full.layers)),
    )  # fmt: skip


def report_stem(records: Path) -> str:
    """Return the name of the report files that a file of records gives."""
    return f"bench-{records.stem}-{records.parent.name}"

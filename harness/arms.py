"""The rows of Table 1 on one benchmark: base model, loss, sampling; configuration, its hash, the records' file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness import mini
from harness.benchmarks import Benchmark, benchmark

MODELS: dict[str, str] = {"llama-mini": "Llama-3.1 8B", "qwen3-mini": "Qwen-3 8B"}
"""Our base models, and the base model of the paper that each stands for."""

VERIFIED = "SBD verified"
"""The row that the paper does not have: SBD drafts, and the same model's next-token head checks (sbd.verified)."""

SAMPLINGS: dict[str, str] = {
    "NTP": "ntp", "SBD gamma_high": "gamma_high", "SBD gamma_low": "gamma_low", VERIFIED: "verified",
}  # fmt: skip
"""Ways of decoding as Table 1 names them, and their short names in file names."""

ROWS: tuple[tuple[str, str], ...] = (
    ("ntp", "NTP"), ("sbd", "NTP"), ("sbd", "SBD gamma_high"), ("sbd", "SBD gamma_low"), ("sbd", VERIFIED),
)  # fmt: skip
"""(loss, sampling) of the rows each base model has in Table 1: the paper's four in its order, then ours."""

BLOCK_SIZE = 16
DTYPE = "float32"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How sbd.generate is called: all that decides which tokens come out, besides weights and prompt.

    `gamma_nats` None is sbd.generate's own default; verified decoding drafts each block in one forward then.
    """

    decoding: str
    sampler: str | None
    gamma_nats: float | None
    block_size: int | None
    max_new_tokens: int
    stop: tuple[str, ...]
    verify: bool = False
    temperature: float = 0.0
    dtype: str = DTYPE
    seed: int = 0


def decoding_of(entry: Benchmark, sampling: str) -> Decoding:
    """Return how a sampling of Table 1 decodes a benchmark.

    Raises:
        ValueError: for an unknown sampling.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"no sampling named {sampling!r}; known: {', '.join(SAMPLINGS)}")
    if sampling == "NTP":
        return Decoding(
            decoding="ar",
            sampler=None,
            gamma_nats=None,
            block_size=None,
            max_new_tokens=entry.max_new_tokens,
            stop=entry.stop,
        )
    gammas = {"SBD gamma_high": entry.gamma_high, "SBD gamma_low": entry.gamma_low, VERIFIED: None}
    return Decoding(
        decoding="sbd", sampler="eb_entropy", gamma_nats=gammas[sampling], block_size=BLOCK_SIZE,
        max_new_tokens=entry.max_new_tokens, stop=entry.stop, verify=sampling == VERIFIED,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of Table 1 on one benchmark, with the checkpoint that serves it."""

    model: str
    loss: str
    sampling: str
    benchmark: str
    checkpoint: Path

    def __post_init__(self) -> None:
        if (self.loss, self.sampling) not in ROWS:
            raise ValueError(f"no arm with loss {self.loss!r} and sampling {self.sampling!r}; known: {ROWS}")

    @property
    def entry(self) -> Benchmark:
        """The benchmark's own entry."""
        return benchmark(self.benchmark)

    @property
    def decoding(self) -> Decoding:
        """How this arm decodes."""
        return decoding_of(self.entry, self.sampling)

    @property
    def measures_budget(self) -> bool:
        """Whether the forwards for the whole budget of tokens are counted too, in a second decoding without an end."""
        return False

    @property
    def configuration(self) -> dict[str, Any]:
        """Everything that decides this arm's records, as plain JSON values."""
        return {
            "scale": self.entry.scale, "model": self.model, "loss": self.loss, "sampling": self.sampling,
            "benchmark": self.benchmark, "weights_hash": weights_hash(self.checkpoint),
            **vars(self.decoding), "stop": list(self.decoding.stop),
        }  # fmt: skip

    @property
    def run_id(self) -> str:
        """Hash of the configuration: equal ids mean comparable records."""
        return run_id(self.configuration)

    def path(self, results: Path) -> Path:
        """File of this arm's records below the results folder."""
        folder = f"{self.loss}-{SAMPLINGS[self.sampling]}"
        return results / self.entry.scale / self.model / folder / f"{self.benchmark}.jsonl"


def run_id(configuration: dict[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a configuration's canonical JSON."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:16]


@cache
def weights_hash(checkpoint: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of a checkpoint's weights, configurations and tokenizer.

    Raises:
        ValueError: where the folder holds no safetensors weights.
    """
    weights = sorted(checkpoint.glob("*.safetensors"))
    if not weights:
        raise ValueError(
            f"no weights (*.safetensors) in {str(checkpoint)!r}; train them, or give --weights a folder that has them"
        )
    digest = hashlib.sha256()
    for path in [*weights, *(checkpoint / name for name in ("config.json", "sbd_config.json", "tokenizer.json"))]:
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def checkpoint_of(model: str, loss: str, weights: Path | None) -> Path:
    """Return the folder of a checkpoint: WEIGHTS/MODEL/LOSS where a folder is given, else the shipped one.

    Raises:
        ValueError: for an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"no model named {model!r}; known: {', '.join(MODELS)}")
    return weights / model / loss if weights is not None else mini.weights(model, loss)

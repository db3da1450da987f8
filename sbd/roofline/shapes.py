"""The sizes of a model that its bytes and flops follow from, named or read from a Hugging Face config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .hardware import element_bytes


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a decoder-only transformer with full attention that its bytes and flops follow from.

    `gated`: the FFN has a gate beside its up projection. `vocab` = 0: no embedding and no output head are counted.
    `tied`: the head is the embedding. The bias and norm flags matter to the parameter count alone.
    """

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    head_dim: int
    kv_heads: int
    vocab: int
    gated: bool = True
    tied: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "ffn", "heads", "head_dim", "kv_heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"{self.name}: {field} is {getattr(self, field)}; a model needs at least 1")
        if self.vocab < 0 or self.heads % self.kv_heads:
            raise ValueError(
                f"{self.name}: vocab {self.vocab}, heads {self.heads}, kv_heads {self.kv_heads} do not fit"
            )

    def layer_gemms(self) -> list[tuple[str, int, int]]:
        """Name, inputs and outputs of each linear layer in one transformer layer."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        gate = [("ffn gate", self.hidden, self.ffn)] if self.gated else []
        return [
            *gate,
            ("ffn up", self.hidden, self.ffn),
            ("ffn down", self.ffn, self.hidden),
            ("q", self.hidden, query),
            ("k", self.hidden, key),
            ("v", self.hidden, key),
            ("o", query, self.hidden),
        ]

    def layer_gemms_as_printed(self) -> list[tuple[str, int, int]]:
        """The same as Fig. 11 has it: no gate, FFN hidden * ffn wide, K and V heads * kv_heads wide."""
        query, key, ffn = self.heads * self.head_dim, self.heads * self.kv_heads, self.hidden * self.ffn
        return [
            ("ffn up", self.hidden, ffn),
            ("ffn down", ffn, self.hidden),
            ("q", self.hidden, query),
            ("k", self.hidden, key),
            ("v", self.hidden, key),
            ("o", query, self.hidden),
        ]

    @property
    def gemm_parameters(self) -> int:
        """Weights that every forward reads: all linear layers and the output head."""
        return self.layers * sum(rows * columns for _, rows, columns in self.layer_gemms()) + self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, a tied head counted once."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        norms = 2 * self.hidden + 2 * self.head_dim * self.qk_norm
        biases = (query + 2 * key) * self.qkv_bias + self.hidden * self.output_bias
        biases += ((1 + self.gated) * self.ffn + self.hidden) * self.ffn_bias
        embedding = 0 if self.tied else self.vocab * self.hidden
        return self.gemm_parameters + embedding + self.layers * (norms + biases) + self.hidden

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Bytes of K and V that one token adds to the cache, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * element_bytes(dtype)


SHAPES: dict[str, ModelShape] = {
    shape.name: shape
    for shape in (
        # Section 4: FFN 4 x hidden in two matrices, no output head. The layer count cancels in every ratio.
        ModelShape(name="paper-8b", layers=32, hidden=4096, ffn=16384, heads=32, head_dim=128, kv_heads=8, vocab=0,
                   gated=False),
        # config.json of meta-llama/Llama-3.1-8B, Qwen/Qwen3-8B, HuggingFaceTB/SmolLM2-135M
        ModelShape(name="llama-3.1-8b", layers=32, hidden=4096, ffn=14336, heads=32, head_dim=128, kv_heads=8,
                   vocab=128256),
        ModelShape(name="qwen3-8b", layers=36, hidden=4096, ffn=12288, heads=32, head_dim=128, kv_heads=8,
                   vocab=151936, qk_norm=True),
        ModelShape(name="smollm2-135m", layers=30, hidden=576, ffn=1536, heads=9, head_dim=64, kv_heads=3,
                   vocab=49152, tied=True),
    )
}  # fmt: skip

_FAMILIES: dict[str, dict[str, bool]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
}
"""What a Hugging Face model type has beyond the sizes in its config.json."""


def read_shape(name_or_path: str | Path) -> ModelShape:
    """Look a model shape up by name, or read it from a Hugging Face config.json.

    Args:
        name_or_path: a key of `SHAPES`, a config.json, or a checkpoint folder that has one.

    Raises:
        ValueError: for an unknown name, an unreadable file, or an architecture this roofline does not describe.
    """
    if str(name_or_path) in SHAPES:
        return SHAPES[str(name_or_path)]
    path = Path(name_or_path)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        known = ", ".join(SHAPES)
        raise ValueError(f"no model shape {str(name_or_path)!r}; give one of {known}, or the path of a config.json")
    try:
        return shape_from_config(json.loads(path.read_text(encoding="utf-8")), name=path.parent.name or path.stem)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the config.json of a causal LM ({type(error).__name__}: {error})") from error


def shape_from_config(config: Mapping[str, Any], *, name: str) -> ModelShape:
    """Turn the fields of a Hugging Face config.json into a shape.

    Raises:
        ValueError: for a model type other than llama, mistral, qwen2, qwen3, or with sliding-window attention.
        KeyError: where a size is missing.
    """
    family = config["model_type"]
    if family not in _FAMILIES:
        raise ValueError(f"{name}: the roofline knows no model_type {family!r}; known: {', '.join(_FAMILIES)}")
    windowed = config.get("sliding_window") is not None and config.get("use_sliding_window", True)
    if windowed or "sliding_attention" in (config.get("layer_types") or ()):
        raise ValueError(f"{name}: layers with sliding-window attention; the roofline describes full attention only")
    bias = bool(config.get("attention_bias"))
    heads = config["num_attention_heads"]
    fields: dict[str, Any] = {"qkv_bias": bias, "output_bias": bias, **_FAMILIES[family]}
    return ModelShape(
        name=name,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        ffn=config["intermediate_size"],
        heads=heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        vocab=config["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        ffn_bias=bool(config.get("mlp_bias")),
        **fields,
    )

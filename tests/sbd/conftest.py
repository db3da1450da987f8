"""Tiny random models of the supported kinds, in float64 so that exactness can be claimed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from sbd.config import SBDConfig

VOCABULARY, MASK = 61, 60

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
ROPE = dict(
    **SHAPE, num_key_value_heads=2, intermediate_size=48, bos_token_id=None, eos_token_id=None, pad_token_id=None
)

CONFIGS = {
    "llama": ROPE,
    "qwen2": ROPE,
    "qwen3": ROPE | {"head_dim": 8},
    "mistral": ROPE | {"sliding_window": None, "head_dim": 8},
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "bos_token_id": None,
        "eos_token_id": None,
    },
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., PreTrainedModel]:
    """Return build(kind, dtype): a random model whose predictions differ from place to place, with an SBDConfig."""
    built: dict[tuple[str, torch.dtype], PreTrainedModel] = {}

    def build(kind: str, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
        if (kind, dtype) not in built:
            torch.manual_seed(0)
            config = AutoConfig.for_model(kind, **CONFIGS[kind], initializer_range=0.3)
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
            model.sbd_config = SBDConfig(mask_token_id=MASK)
            built[kind, dtype] = model
        return built[kind, dtype]

    return build


@pytest.fixture(scope="session")
def prompts() -> list[torch.Tensor]:
    """Return four prompts of different lengths."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, MASK, (length,), generator=generator) for length in (5, 1, 12, 8)]

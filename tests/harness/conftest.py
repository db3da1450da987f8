"""Tiny random checkpoints with the mini tokenizer, laid out as --weights expects them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.mini.tokenizer import train_tokenizer
from sbd.model import SBDConfig, add_mask_token


def save_tiny_models(folder: Path, positions: int = 512) -> Path:
    """Write llama-mini/ntp and llama-mini/sbd below the folder: two layers, random weights."""
    tokenizer = train_tokenizer()
    for seed, loss in enumerate(("ntp", "sbd")):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=positions, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        mask = add_mask_token(model, tokenizer)
        target = folder / "llama-mini" / loss
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        SBDConfig(mask_token_id=mask, objective=loss).save(target)
    return folder


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tiny checkpoints; read only."""
    return save_tiny_models(tmp_path_factory.mktemp("weights"))

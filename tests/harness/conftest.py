"""Tiny random checkpoints with the mini tokenizer, laid out as --weights expects them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.mini.tokenizer import train_tokenizer
from sbd.model import SBDConfig, add_mask_token


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with llama-mini/ntp and llama-mini/sbd: two layers, random weights, 512 positions."""
    folder = tmp_path_factory.mktemp("weights")
    tokenizer = train_tokenizer()
    for seed, loss in enumerate(("ntp", "sbd")):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
                bos_token_id=None,
            )
        )  # fmt: skip
        mask = add_mask_token(model, tokenizer)
        target = folder / "llama-mini" / loss
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        SBDConfig(mask_token_id=mask, objective=loss).save(target)
    return folder

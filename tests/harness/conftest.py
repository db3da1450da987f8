"""Tiny random checkpoints with the mini tokenizer, laid out as --weights expects them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from harness.mini.tokenizer import train_tokenizer
from sbd.model import SBDConfig, add_mask_token, load_tokenizer


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


def save_varied_checkpoint(folder: Path, tokenizer: PreTrainedTokenizerBase, seed: int) -> Path:
    """Write a random checkpoint whose answers differ from prompt to prompt."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.4,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    mask = add_mask_token(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SBDConfig(mask_token_id=mask).save(folder)
    return folder


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory, varied_checkpoint: Path) -> Path:
    """Folder of a checkpoint with other weights than `varied_checkpoint`; read only."""
    return save_varied_checkpoint(tmp_path_factory.mktemp("other"), load_tokenizer(varied_checkpoint), seed=1)


@pytest.fixture(scope="session")
def varied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a checkpoint with varied answers; read only."""
    return save_varied_checkpoint(tmp_path_factory.mktemp("varied"), train_tokenizer(), seed=0)

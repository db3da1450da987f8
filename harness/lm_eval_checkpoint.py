"""A checkpoint as lm-eval's `hf` loaded it: what decodes in it, its SBDConfig, its identity in a response cache.

lm-eval's cache keys are made from the request alone, so each model and way of decoding gets a table of its own in the
cache file. Knows nothing of requests or answers.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import cached_file

from sbd.config import CONFIG_NAME, SBDConfig
from sbd.model import check_architecture, check_behaviour


def decodable(model: Any, config: Any) -> Any:
    """Return the transformers model to decode with: the model itself, or the one inside a PEFT wrapper.

    Raises:
        ValueError: the model has no exact cache, or an adapter that works by virtual prompt tokens.
    """
    check_architecture(config)
    if isinstance(model, PreTrainedModel):
        engine = model
    elif any(adapter.is_prompt_learning for adapter in model.peft_config.values()):
        raise ValueError("adapters of virtual prompt tokens are not supported; use one that changes weights (LoRA)")
    else:
        engine = model.get_base_model()
    check_behaviour(engine)
    return engine


def sbd_config(pretrained: str, revision: str, subfolder: str) -> SBDConfig | None:
    """Return the checkpoint's SBDConfig, or None where it has none (then decoding=ar and likelihoods work)."""
    quiet: dict[str, Any] = {
        f"_raise_exceptions_for_{what}": False for what in ("gated_repo", "missing_entries", "connection_errors")
    }
    found = cached_file(pretrained, CONFIG_NAME, revision=revision, subfolder=subfolder, **quiet)
    return None if found is None else SBDConfig.read(Path(found).parent)


def fingerprint(model: nn.Module, tokenizer: Any, options: dict[str, Any]) -> str:
    """Return 16 hex digits of the SHA-256 of weights (adapters included), dtypes, vocabulary and options."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    digest.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    digest.update((tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else "").encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def separate(table: Any, identity: str) -> None:
    """Point an open SqliteDict at the table of this identity in its file, made where it is missing."""
    table.tablename = f"sbd_{identity}"
    table.conn.execute(f'CREATE TABLE IF NOT EXISTS "{table.tablename}" (key TEXT PRIMARY KEY, value BLOB)')
    table.conn.commit()

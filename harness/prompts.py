"""A problem's prompt as token ids; knows nothing of models.

Shapes: L prompt length.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str) -> torch.Tensor:
    """Return the prompt's token ids (L,) as training saw them: a start token where there is one, then the text."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return torch.tensor(start + tokenizer.encode(prompt, add_special_tokens=False), dtype=torch.long)

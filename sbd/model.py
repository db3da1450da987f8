"""Any Hugging Face causal LM as a set block decoder: loading, checks, the mask token, and the forward of Eq. 9.

Knows checkpoints and the model's forward; knows nothing of sampling. The transformer itself stays unchanged.

Shapes: B rows, Q tokens of one forward, J logits kept at its end, V vocabulary.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AddedToken,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from sbd.attention import query_heads_per_key, without_copies
from sbd.cache import KVCache
from sbd.config import SBDConfig, find_config

MASK_TOKEN = "<|mask|>"
RESERVED = re.compile(r"reserved_special_token|[<\[]\|?unused|\[control_\d+\]")
"""Tokens that a vocabulary keeps free for its users."""

NEEDED = {"position_ids", "past_key_values", "logits_to_keep"}
"""Arguments that a model's forward must have."""


def load(
    path: str | Path, *, device: str | torch.device = "auto", dtype: str | torch.dtype = "auto"
) -> PreTrainedModel:
    """Load a checkpoint for decoding: eval mode, checked, with its SBDConfig attached where it has one.

    Args:
        path: folder or hub id.
        device: "auto" takes CUDA where there is one, else the CPU.
        dtype: "auto" keeps the checkpoint's dtype on an accelerator and takes float32 on the CPU.

    Raises:
        ValueError: nothing can be loaded from `path`, or the exact cache cannot serve this kind of model.
    """
    name = str(path)
    target = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    if dtype == "auto" and target.type == "cpu":
        dtype = torch.float32
    try:
        check_architecture(AutoConfig.from_pretrained(name))
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, attn_implementation="sdpa")
    except OSError as error:
        raise ValueError(f"cannot load {name!r}: {_first_line(error)}; give a checkpoint folder or a hub id") from error
    model = model.to(target).eval()
    check_behaviour(model)
    attached_config(model)
    return model


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a checkpoint folder or hub id."""
    try:
        return AutoTokenizer.from_pretrained(str(path))
    except OSError as error:
        raise ValueError(f"cannot load a tokenizer from {str(path)!r}: {_first_line(error)}") from error


def attached_config(model: PreTrainedModel) -> SBDConfig | None:
    """Return the model's SBDConfig: attached by `load`, or beside the checkpoint that transformers loaded it from."""
    attributes, path = vars(model), str(model.name_or_path or "")
    if "sbd_config" not in attributes:
        attributes["sbd_config"] = SBDConfig.read(path) if find_config(path) is not None else None
    return attributes["sbd_config"]


def check_architecture(config: PreTrainedConfig) -> None:
    """Raise a one-line ValueError unless this is a decoder-only model with full attention in every layer."""
    fields = config.to_dict()
    rope = json.dumps(fields.get("rope_parameters"))
    layers = set(fields.get("layer_types") or ()) | set(fields.get("attention_layers") or ())
    window = fields.get("sliding_window")
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        reason = "it is not a decoder-only causal LM"
    elif _model_class(config)._is_stateful:
        reason = "it has recurrent layers"
    elif layers - {"full_attention", "global"}:
        reason = f"its layers are of types {', '.join(sorted(layers))}"
    elif not fields.get("layer_types") and window is not None and fields.get("use_sliding_window", True):
        reason = f"its sliding window is active (sliding_window=null is exact for sequences up to {window} tokens)"
    elif fields.get("alibi") or NEEDED - inspect.signature(_model_class(config).forward).parameters.keys():
        reason = f"its forward does not go by {', '.join(sorted(NEEDED))}"
    elif '"dynamic"' in rope or '"longrope"' in rope:
        reason = "its rotary embedding changes with the sequence length"
    else:
        return
    raise ValueError(
        f"model type {config.model_type!r} has no exact cache: {reason}; use a full-attention model such as Llama"
    )


def _model_class(config: PreTrainedConfig) -> Any:
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]


@torch.no_grad()
def check_behaviour(model: PreTrainedModel) -> None:
    """Raise ValueError unless the model obeys the mask: cached equals uncached, and a block is bidirectional.

    Some older implementations hard-wire a causal mask into their attention; no configuration field tells.
    """
    ids = torch.arange(6, device=model.device).remainder(model.config.vocab_size).unsqueeze(0)
    other = ids.clone()
    other[0, 5] = ids[0, 0]
    whole, changed = (forward(model, new_cache(model, 1, 8), tokens, block=2, keep=2) for tokens in (ids, other))
    cache = new_cache(model, 1, 8)
    forward(model, cache, ids[:, :4], block=0, keep=1)
    cache.commit(torch.full_like(cache.length_B, 4))
    cached = forward(model, cache, ids[:, 4:], block=2, keep=2)
    spread = (whole - whole.mean()).abs().max()
    if (cached - whole).abs().max() > 0.05 * spread or torch.equal(changed[:, 0], whole[:, 0]):
        raise ValueError(
            f"model type {model.config.model_type!r} does not follow an explicit attention mask and position ids; "
            "use a model that does, such as Llama"
        )


def new_cache(model: PreTrainedModel, rows: int, capacity: int) -> KVCache:
    """Return an empty cache for this model."""
    return KVCache(
        rows, capacity, positions=max_positions(model), dtype=model.dtype, device=model.device,
        sharing=query_heads_per_key(model.config),
    )  # fmt: skip


def forward(
    model: PreTrainedModel, cache: KVCache, ids_BQ: Tensor, *, block: int | Tensor, keep: int,
    real_B: Tensor | None = None, span: int | None = None, row_R: Tensor | None = None, whole: bool = False,
) -> Tensor:  # fmt: skip
    """Run the model on right-aligned tokens behind each row's cached past and return the last logits (B, J, V).

    The last `block` columns see each other in both directions and everything before them; the columns before are causal
    (Eq. 9, Fig. 10). Nothing is committed.

    Args:
        ids_BQ: token ids; rows end with their real tokens, padding comes before.
        block: k, or 0 for a causal forward; (B, 1) where rows differ.
        keep: J, how many columns at the end need logits.
        real_B: real tokens of each row; all Q by default.
        span: longest row after this forward, where the host knows it; asked from the device by default.
        row_R: the cache's rows that take part; all by default.
        whole: as KVCache.place takes it.
    """
    width = ids_BQ.shape[1]
    if real_B is None:
        real_B = torch.full_like(cache.length_B, width)
    if span is None:
        span = int((cache.length_B + real_B).max())
    placement = cache.place(width, real_B, block, span, row_R, whole=whole)
    with without_copies(model.config) as folded:
        mask = placement.mask(cache.dtype, copies=cache.sharing if folded else 1)
        return model(
            input_ids=ids_BQ, attention_mask=mask, position_ids=placement.position_RQ, past_key_values=cache,
            use_cache=True, logits_to_keep=keep,
        ).logits  # fmt: skip


def max_positions(model: PreTrainedModel) -> int:
    """Return how many positions the model was built for."""
    return int(model.config.get_text_config().max_position_embeddings)


def add_mask_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Give the model a mask token and return its id.

    Takes the vocabulary's `<|mask|>`, else its last reserved token, else an embedding row without a token, else grows
    the embedding by one. Neither that id nor a row without a token is ever emitted (generation_config.suppress_tokens).
    """
    vocabulary, embedding = tokenizer.get_vocab(), _embeddings(model)[0]
    reserved = [index for token, index in vocabulary.items() if RESERVED.search(token)]
    if MASK_TOKEN in vocabulary:
        mask_id = vocabulary[MASK_TOKEN]
    elif reserved:
        mask_id = max(reserved)
    else:
        tokenizer.add_tokens([AddedToken(MASK_TOKEN, special=True, normalized=False)], special_tokens=True)
        mask_id = tokenizer.get_vocab()[MASK_TOKEN]
        if mask_id >= len(embedding.weight):
            _grow_embedding(model, mask_id + 1)
    without_token = set(range(len(_embeddings(model)[0].weight))) - set(tokenizer.get_vocab().values())
    model.generation_config.suppress_tokens = sorted(without_token | {mask_id})
    return mask_id


def _grow_embedding(model: PreTrainedModel, rows: int) -> None:
    """Add embedding rows that start at the mean of the others."""
    before = len(_embeddings(model)[0].weight)
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for layer in _embeddings(model):
            layer.weight[before:] = layer.weight[:before].mean(dim=0)


def _embeddings(model: Any) -> tuple[Any, Any]:
    return model.get_input_embeddings(), model.get_output_embeddings()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")

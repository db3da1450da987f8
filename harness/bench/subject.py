"""The model that is measured: a checkpoint, or random weights of a known shape; and the prompts it decodes.

Shapes: L prompt length.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

import sbd
from harness.arms import MODELS, checkpoint_of, weights_hash
from harness.bench.options import BenchOptions
from harness.benchmarks import REASONING, benchmark, of_scale
from harness.prompts import prompt_ids
from harness.speed.measured import SCALES, Identity
from sbd.model import SBDConfig, attached_config
from sbd.roofline import SHAPES, ModelShape, shape_from_config

POSITIONS = 131072
"""Positions of a model with random weights."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt, its budget of new tokens, and gamma_low of its benchmark in nats."""

    ids_L: Tensor
    new_tokens: int
    gamma_low: float


@dataclass(frozen=True, kw_only=True)
class Subject(Identity):
    """A model ready to be measured, in eval mode."""

    model: PreTrainedModel

    @property
    def trained(self) -> bool:
        """Whether the checkpoint was trained for set block decoding."""
        config = attached_config(self.model)
        return not self.random and config is not None and config.objective != "ntp"

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion."""
        end = None if self.tokenizer is None else self.tokenizer.eos_token_id
        return () if end is None else (int(end),)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device


def load_subject(options: BenchOptions) -> Subject:
    """Load the checkpoint, or build the shape, that the options name.

    Raises:
        ValueError: where there is no usable checkpoint.
    """
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(auto if options.device == "auto" else options.device)
    dtype = getattr(torch, options.dtype or ("float32" if device.type == "cpu" else "bfloat16"))
    if options.shape is not None:
        return build_random(options.shape, options.layers, device, dtype)
    name = str(options.model)
    folder = checkpoint_of(name, "sbd", None) if name in MODELS else Path(name)
    weights = weights_hash(folder)
    model = sbd.load(folder, device=device, dtype=dtype)
    shape = shape_from_config(model.config.to_dict(), name=folder.name)
    scale = "mini" if name in MODELS else "small"
    return Subject(
        name=name if name in MODELS else folder.resolve().name, scale=scale, weights=weights, model=model, shape=shape,
        full_layers=shape.layers, tokenizer=sbd.load_tokenizer(folder),
    )  # fmt: skip


def build_random(name: str, layers: int | None, device: torch.device, dtype: torch.dtype) -> Subject:
    """Build a model of a named shape with random weights, possibly fewer layers deep; its last token is the mask."""
    full = SHAPES[name]
    depth = full.layers if layers is None else layers
    config = random_config(full, depth)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
    mask = full.vocab - 1
    model.sbd_config = SBDConfig(mask_token_id=mask)
    model.generation_config.suppress_tokens = [mask]
    label = f"{name}-random" + (f"-{depth}of{full.layers}" if depth != full.layers else "")
    return Subject(
        name=label, scale=SCALES[name], weights="random", model=model,
        shape=shape_from_config(config.to_dict(), name=label), full_layers=full.layers, tokenizer=None,
    )  # fmt: skip


def random_config(shape: ModelShape, layers: int) -> PreTrainedConfig:
    """Return the transformers configuration of a shape: Qwen3 where queries and keys are normalised, else Llama."""
    return AutoConfig.for_model(
        "qwen3" if shape.qk_norm else "llama", vocab_size=shape.vocab, hidden_size=shape.hidden,
        intermediate_size=shape.ffn, num_hidden_layers=layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, tie_word_embeddings=shape.tied,
        max_position_embeddings=POSITIONS, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip


def prompts_of(subject: Subject, options: BenchOptions) -> list[Prompt]:
    """Return the prompts to decode: the mini benchmarks' in turn, or random ones for random weights."""
    if subject.tokenizer is None:
        generator = torch.Generator().manual_seed(0)
        ids_PL = torch.randint(subject.shape.vocab - 1, (options.prompts, options.prompt_tokens), generator=generator)
        return [Prompt(ids_L=ids, new_tokens=options.new_tokens, gamma_low=REASONING[0]) for ids in ids_PL]
    names, made = of_scale("mini"), []
    for index in range(options.prompts):
        entry = benchmark(names[index % len(names)])
        ids = prompt_ids(subject.tokenizer, entry.problems(index // len(names) + 1)[-1].prompt)
        made.append(Prompt(ids_L=ids, new_tokens=entry.max_new_tokens, gamma_low=entry.gamma_low))
    return made

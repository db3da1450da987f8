"""transformers' own greedy generate as baselines: dynamic and static cache, compiled, prompt lookup.

Shapes: L prompt length, T new tokens.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import CompileConfig

from harness.bench.subject import Prompt, Subject


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One way of calling model.generate.

    Args:
        name: of the arm. options: arguments of generate beside the common ones.
        eager: whether the model runs uncompiled, one token a forward: what our own autoregression must keep up with.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    eager: bool = False

    def generate(self, subject: Subject, ids_1L: Tensor, new_tokens: int) -> Tensor:
        """Return the new tokens (T,) of one prompt, the end token included."""
        end = subject.eos_ids[0] if subject.eos_ids else None
        out: Any = subject.model.generate(  # type: ignore[operator]
            ids_1L, attention_mask=torch.ones_like(ids_1L), do_sample=False, max_new_tokens=new_tokens, use_cache=True,
            eos_token_id=end, pad_token_id=0 if end is None else end, **self.options,
        )  # fmt: skip
        return out[0, ids_1L.shape[1] :]


def _compile_everywhere() -> CompileConfig:
    """Compile on any device; transformers by itself compiles on accelerators alone."""
    config = CompileConfig()
    config._compile_all_devices = True  # type: ignore[assignment]
    return config


COMPILED = "hf-compiled"

BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline(name="hf-dynamic", eager=True),
        Baseline(name="hf-static", options={"cache_implementation": "static", "disable_compile": True}, eager=True),
        Baseline(name=COMPILED, options={"cache_implementation": "static", "compile_config": _compile_everywhere()}),
        Baseline(name="hf-lookup", options={"prompt_lookup_num_tokens": 10}),
    )
}


def usable(subject: Subject, prompt: Prompt, *, compiled: bool) -> list[Baseline]:
    """Return the baselines that work here; says on the command line which do not, and why.

    Compilation needs a compiler, and the model's operations to be ones it knows: the only way to tell is to try.

    Args:
        compiled: whether to try the compiled one.
    """
    found = []
    for baseline in BASELINES.values():
        if baseline.name == COMPILED and not compiled:
            continue
        try:
            with torch.inference_mode():
                baseline.generate(subject, prompt.ids_L.to(subject.device).unsqueeze(0), prompt.new_tokens)
        except Exception as error:  # noqa: BLE001 - whatever a compiler raises means: this arm cannot be measured here
            why = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"{baseline.name} is left out: {why[0][:200]}", stacklevel=2)
        else:
            found.append(baseline)
    return found

"""A decoding forward asks the device for values once: every way to ask is counted, inside torch and from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from sbd import generate, rows

ASKING = {Tensor.tolist, Tensor.item, Tensor.cpu, Tensor.numpy, Tensor.__bool__, Tensor.__int__, Tensor.__float__}
"""What hands values from a device to Python; on a CPU `tolist` reads memory without any operator."""
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "equal", "is_nonzero"}
"""Operators whose result, or its size, the host waits for."""


class Operators(TorchDispatchMode):
    """Counts the operators that make the host wait."""

    def __init__(self, counted: list[str]) -> None:
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITING or by_mask:
            self.counted.append(name)
        return func(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    """Counts the calls that hand values to Python, and `where` with one number, which on CUDA waits for its copy."""

    def __init__(self, counted: list[str]) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        scalars = sum(isinstance(arg, int | float) for arg in args)
        if func in ASKING or (func in {torch.where, Tensor.where} and scalars == 1):
            self.counted.append(func.__name__)
        return func(*args, **(kwargs or {}))


def asked(model: PreTrainedModel, prompts: list[Tensor], **options: Any) -> tuple[int, list[str]]:
    """Return the number of forwards and every question asked while decoding, checks of the arguments left out."""
    counted: list[str] = []
    generate(model, prompts, max_new_tokens=1, decoding="ar")  # what is asked once per model
    with Operators(counted), Methods(counted):
        out = generate(model, prompts, **options)
    return len(out.ledger.forwards), counted


@pytest.mark.parametrize("options", [{"decoding": "ar"}, {}, {"verify": True}, {"sampler": "factor", "gamma": 2.0}])
def test_one_question_a_forward(
    tiny: Callable[..., PreTrainedModel], prompts: list[Tensor], options: dict[str, Any]
) -> None:
    batch = {"max_new_tokens": 17, "block_size": 4, "max_rows": 2, "eos_token_id": [3, 7, 11]} | options
    forwards, counted = asked(tiny("llama"), prompts, **batch)
    assert 1 <= len(counted) <= forwards + len(prompts)  # `generate` itself reads each row's length to divide by


def test_a_forward_that_asks_is_seen(
    tiny: Callable[..., PreTrainedModel], prompts: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def peeking(entropy: Tensor, confidence: Tensor, masked: Tensor, gamma: float) -> Tensor:
        return masked if entropy[masked].sum() > 0 else masked  # one bool index, one bool()

    monkeypatch.setitem(rows.SAMPLERS, "topk", peeking)
    forwards, counted = asked(tiny("llama"), prompts, sampler="topk", gamma=1.0, max_new_tokens=17, block_size=4)
    assert len(counted) >= forwards + 2 * (forwards - 1)

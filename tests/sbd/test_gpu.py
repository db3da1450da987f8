"""What only a CUDA device can show: the compiled kernel, graphs, and storage that does not grow. `pytest -m gpu`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd import generate
from sbd.graphs import Graphs, Work
from sbd.kernels import plain, statistics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]

Build = Callable[..., PreTrainedModel]
WAYS: dict[str, dict[str, Any]] = {
    "ar": {"decoding": "ar"},
    "sbd": {"gamma": 6.0, "block_size": 5},
    "verified": {"gamma": 6.0, "block_size": 5, "verify": True},
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-3, torch.float16: 2e-3}


def on_gpu(tiny: Build, dtype: torch.dtype) -> PreTrainedModel:
    """Return a copy of the tiny model on the device, with engines of its own."""
    original = tiny("llama", dtype)
    model = copy.deepcopy(original).to("cuda")
    model.sbd_config = original.sbd_config
    return model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("vocabulary", [32, 33, 4097, 49_152, 128_256, 151_937, 262_144])
def test_the_compiled_kernel_equals_float64(vocabulary: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(17, vocabulary, generator=generator) * 3).to(dtype).cuda()
    logits[1], logits[2, 5:], logits[3, :-1] = 7.0, float("-inf"), float("-inf")
    logits[4] = torch.linspace(-3e4, 3e4, vocabulary)
    for temperature, suppressed in ((0.0, []), (0.7, [0, 3])):
        options = {"temperature": temperature, "suppressed_S": torch.tensor(suppressed, dtype=torch.long).cuda()}
        got, exact = statistics(logits, **options), plain.statistics(logits.double(), **options)
        for name in ("entropy_N", "confidence_N", "logsumexp_N"):
            torch.testing.assert_close(
                getattr(got, name), getattr(exact, name), rtol=TOLERANCE[dtype], atol=1e-30, check_dtype=False
            )
        first = logits.double().index_fill(1, options["suppressed_S"], float("-inf")).cpu().argmax(dim=-1)
        assert torch.equal(got.argmax_N.cpu(), first)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # float32 goes through the Triton kernel
@pytest.mark.parametrize("way", WAYS)
def test_graphs_change_no_token(tiny: Build, prompts: list[Tensor], way: str, dtype: torch.dtype) -> None:
    model, options = on_gpu(tiny, dtype), {"max_new_tokens": 40, "max_rows": 2, **WAYS[way]}
    eager = generate(model, prompts, cuda_graphs=False, **options)
    first, second = (generate(model, prompts, **options) for _ in range(2))
    on_cpu = generate(tiny("llama", dtype), prompts, **options)
    for other in (first, second, on_cpu):
        assert [tokens.tolist() for tokens in other.tokens] == [tokens.tolist() for tokens in eager.tokens]
        assert other.ledger.nfe == eager.ledger.nfe
    assert eager.ledger.graphs is None and first.ledger.graphs is not None and second.ledger.graphs is not None
    assert first.ledger.graphs.refused is None and first.ledger.graphs.hits > first.ledger.graphs.misses
    assert second.ledger.graphs.misses <= 2  # a step that came once in the first call may be recorded now


@pytest.mark.parametrize("way", WAYS)
def test_a_replay_allocates_nothing_and_asks_nothing(
    tiny: Build, prompts: list[Tensor], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, grown = Graphs.run, []

    def watched(graphs: Graphs, step: Any, work: Work) -> None:
        hit, before = step in graphs.replays, torch.cuda.memory_stats()["allocation.all.allocated"]
        torch.cuda.set_sync_debug_mode("error" if hit or graphs.capture is None else "default")
        try:
            run(graphs, step, work)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        grown.extend([torch.cuda.memory_stats()["allocation.all.allocated"] - before] if hit else [])

    monkeypatch.setattr(Graphs, "run", watched)
    model, options = on_gpu(tiny, torch.float32), {"max_new_tokens": 40, **WAYS[way]}
    generate(model, prompts, cuda_graphs=False, **options)  # a step asks for nothing without graphs either
    generate(model, prompts, **options)
    held = torch.cuda.memory_allocated()
    generate(model, prompts, **options)
    assert grown and set(grown) == {0}
    assert torch.cuda.memory_allocated() == held


def test_moved_weights_are_noticed(tiny: Build, prompts: list[Tensor]) -> None:
    model, options = on_gpu(tiny, torch.float32), {"max_new_tokens": 20, "decoding": "ar"}
    generate(model, prompts, **options)
    model.lm_head.weight.data = -model.lm_head.weight.data
    expected = generate(model, prompts, cuda_graphs=False, **options)
    out = generate(model, prompts, **options)
    assert [tokens.tolist() for tokens in out.tokens] == [tokens.tolist() for tokens in expected.tokens]

"""Shared keys without copies, against transformers' own attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.integrations import sdpa_attention

from sbd import generate
from sbd.attention import shared_keys, without_copies
from sbd.cache import Placement


class Layer(torch.nn.Module):
    """What transformers reads from an attention layer."""

    def __init__(self, shared: int) -> None:
        super().__init__()
        self.num_key_value_groups, self.is_causal = shared, True


@pytest.mark.parametrize("queries", [1, 4, 9])
@pytest.mark.parametrize(("heads", "keys"), [(6, 2), (4, 1), (3, 3)])
def test_equals_attention_with_copied_keys(queries: int, heads: int, keys: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, queries, heads, 8, generator=generator, dtype=torch.float64).transpose(1, 2)
    key, value = torch.randn(2, 2, keys, 13, 8, generator=generator, dtype=torch.float64)
    hidden = torch.rand(2, 1, queries, 13, generator=generator) < 0.4
    mask = torch.zeros(2, 1, queries, 13, dtype=torch.float64).masked_fill(hidden, -1e300)
    mask[..., 0] = 0.0
    layer = Layer(heads // keys)
    expected = sdpa_attention.sdpa_attention_forward(layer, query, key, value, mask, scaling=0.3)[0]
    got = shared_keys(layer, query, key, value, mask, scaling=0.3)[0]
    assert got.shape == (2, queries, heads, 8)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("heads", "keys"), [(6, 2), (4, 1), (3, 3)])
def test_a_mask_may_come_repeated_or_hide_nothing(heads: int, keys: int) -> None:
    generator, layer = torch.Generator().manual_seed(0), Layer(heads // keys)
    query = torch.randn(2, heads, 5, 8, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, 2, keys, 13, 8, generator=generator, dtype=torch.float64)
    hidden = torch.rand(2, 1, 5, 13, generator=generator) < 0.4
    mask = torch.zeros(2, 1, 5, 13, dtype=torch.float64).masked_fill(hidden, -1e300)
    mask[..., 0] = 0.0
    expected = shared_keys(layer, query, key, value, mask)[0]
    for copies in (2, heads // keys, 4):
        got = shared_keys(layer, query, key, value, mask.repeat(1, 1, copies, 1))[0]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for number in (0.0, 3.5):  # softmax does not change with a constant, and nothing is causal by itself
        whole = shared_keys(layer, query, key, value, torch.full((1,), number).double().expand(2, 1, 5, 13))[0]
        open_mask = torch.zeros(2, 1, 5, 13, dtype=torch.float64)
        torch.testing.assert_close(whole, shared_keys(layer, query, key, value, open_mask)[0], rtol=0, atol=1e-12)


def test_one_row_alone_computes_no_mask_but_where_tokens_are_causal(
    tiny: Callable[..., PreTrainedModel], prompts: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def count(placement: Placement) -> Tensor:
        computed.append(placement.slot_RQ.shape[1])
        return hidden(placement)

    hidden = Placement.hidden
    monkeypatch.setattr(Placement, "hidden", count)
    prompt = prompts[0]
    generate(tiny("llama"), [prompt], decoding="ar", max_new_tokens=9)
    assert computed == [len(prompt)], "the prefill alone"
    computed.clear()
    out = generate(tiny("llama"), [prompt], block_size=4, max_new_tokens=9)
    assert computed == [len(prompt), *[8] * out.ledger.nfe["fused"][0]]


def test_decoding_copies_no_keys(
    tiny: Callable[..., PreTrainedModel], prompts: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(states: Tensor, times: int) -> Tensor:
        raise AssertionError("keys are copied")

    monkeypatch.setattr(sdpa_attention, "repeat_kv", refuse)
    model = tiny("llama")
    generate(model, prompts, block_size=4, max_new_tokens=9)
    with pytest.raises(AssertionError, match="keys are copied"), torch.no_grad():
        model(input_ids=torch.zeros(1, 4, dtype=torch.long), attention_mask=torch.zeros(1, 1, 4, 4).double())


def test_the_models_own_attention_comes_back(tiny: Callable[..., PreTrainedModel]) -> None:
    config = tiny("llama").config
    with pytest.raises(RuntimeError), without_copies(config):
        assert config._attn_implementation != "sdpa"
        raise RuntimeError
    assert config._attn_implementation == "sdpa"

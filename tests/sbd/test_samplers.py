"""Every sampler against an enumeration of all prefix lengths, and EB against transformers' own entropy bound."""

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbd.samplers import SAMPLERS, check_sampler

PARAMETERS = {
    "eb_entropy": st.floats(0, 6), "eb_confidence": st.floats(0, 6), "factor": st.floats(0, 12),
    "threshold": st.floats(0, 1), "topk": st.integers(1, 9),
}  # fmt: skip


def allows(name: str, entropies: list[float], confidences: list[float], parameter: float) -> bool:
    """Say whether a rule allows to reveal exactly these positions, best first, as the paper writes it."""
    n = len(entropies)
    if name == "eb_entropy":
        return list(accumulate(entropies[:-1], initial=0.0))[-1] <= parameter
    if name == "eb_confidence":
        return list(accumulate(entropies))[-1] - max(entropies) <= parameter
    if name == "factor":
        return (n + 1) * (1 - confidences[-1]) < parameter
    if name == "threshold":
        return confidences[-1] >= parameter
    return n <= parameter


def enumerate_row(name: str, entropy: list[float], confidence: list[float], masked: list[bool], p: float) -> set[int]:
    """Return the positions to reveal, by trying every prefix of the sorted masked positions."""
    key = entropy if name == "eb_entropy" else [-c for c in confidence]
    ranked = sorted((i for i, m in enumerate(masked) if m), key=lambda i: key[i])
    sizes = range(1, len(ranked) + 1)
    fitting = [
        s for s in sizes if allows(name, [entropy[i] for i in ranked[:s]], [confidence[i] for i in ranked[:s]], p)
    ]
    return set(ranked[: max(fitting, default=1)])


@pytest.mark.parametrize("name", SAMPLERS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equals_enumeration(name: str, data: st.DataObject) -> None:
    rows, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    grid = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 2.0]) | st.floats(0, 3)  # ties and sums that hit the bound
    entropy = data.draw(st.lists(st.lists(grid, min_size=k, max_size=k), min_size=rows, max_size=rows))
    share = st.sampled_from([0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
    confidence = data.draw(st.lists(st.lists(share, min_size=k, max_size=k), min_size=rows, max_size=rows))
    masked = data.draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=rows, max_size=rows))
    parameter = data.draw(PARAMETERS[name] | st.sampled_from([1.0]))
    tensors = (torch.tensor(entropy, dtype=torch.float64), torch.tensor(confidence, dtype=torch.float64))
    reveal = SAMPLERS[name](*tensors, torch.tensor(masked), parameter)
    assert reveal.dtype == torch.bool
    for row in range(rows):
        expected = enumerate_row(name, entropy[row], confidence[row], masked[row], parameter)
        assert set(reveal[row].nonzero().flatten().tolist()) == expected


def test_golden_values_of_equation_8() -> None:
    entropy = torch.tensor([[0.5, 0.01, 0.2, 0.04]])
    masked = torch.ones_like(entropy, dtype=torch.bool)
    gammas = (0.0, 0.01, 0.05, 0.25, 9.0)
    counts = {gamma: int(SAMPLERS["eb_entropy"](entropy, entropy, masked, gamma).sum()) for gamma in gammas}
    assert counts == {0.0: 1, 0.01: 2, 0.05: 3, 0.25: 4, 9.0: 4}


@pytest.mark.parametrize("gamma", [0.05, 0.5, 3.0, 20.0])
def test_eb_entropy_equals_transformers_on_an_all_masked_block(gamma: float) -> None:
    theirs = pytest.importorskip(
        "transformers.models.diffusion_gemma.generation_diffusion_gemma",
        reason="this transformers has no diffusion_gemma",
    )
    b, k, v = 32, 16, 11
    logits = torch.randn(b, k, v, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    config = theirs.EntropyBoundSamplerConfig(entropy_bound=gamma)
    sampler = theirs.EntropyBoundSampler(config, canvas_length=k, vocab_size=v, max_denoising_steps=k)
    sampler.accept_canvas(torch.zeros(b, k, dtype=torch.long), logits.argmax(-1), logits, cur_step=0)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    ours = SAMPLERS["eb_entropy"](entropy, logits.softmax(-1).amax(-1), torch.ones(b, k, dtype=torch.bool), gamma)
    assert torch.equal(ours, sampler.accepted_token_mask)
    assert len(ours.sum(dim=1).unique()) > 1 or gamma == 20.0  # the rows differ, so the comparison says something


@pytest.mark.parametrize(
    ("name", "parameter", "words"),
    [
        ("eb", 0.1, "eb_entropy"), ("eb_entropy", -0.1, "-0.1"), ("eb_entropy", float("nan"), "nan"),
        ("threshold", 1.5, "1.5"), ("topk", 0, "count"), ("factor", -1, "factor"),
    ],
)  # fmt: skip
def test_bad_choices_name_value_and_remedy(name: str, parameter: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_sampler(name, parameter)

"""The recorder: its steps are the ledger's forwards, its numbers the sampler's own, and looking on changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd import generate
from sbd.samplers import SAMPLERS
from sbd.trace import Recorder, Step

MASK = 60
Build = Callable[..., PreTrainedModel]


def record(model: PreTrainedModel, prompt: Tensor, **settings: object) -> tuple[Recorder, object]:
    recorder = Recorder()
    out = generate(model, [prompt], max_new_tokens=20, eos_token_id=(), watch=recorder, **settings)  # type: ignore[arg-type]
    return recorder, out


@pytest.mark.parametrize("sampler, gamma", [("eb_entropy", 3.0), ("eb_confidence", 3.0), ("factor", 1.9), ("topk", 3)])
def test_steps_are_the_forwards_and_the_sampler_s_own_numbers(
    tiny: Build, prompts: list[Tensor], sampler: str, gamma: float
) -> None:
    settings = {"decoding": "sbd", "sampler": sampler, "gamma": gamma, "block_size": 4}
    model = tiny("llama")
    recorder, out = record(model, prompts[0], **settings)
    plain = generate(model, [prompts[0]], max_new_tokens=20, eos_token_id=(), **settings)
    assert torch.equal(plain.tokens[0], out.tokens[0]) and plain.ledger.nfe == out.ledger.nfe
    assert [(step.kind, step.width, step.seconds) for step in recorder.steps] == [
        (forward.kind, forward.width, forward.seconds) for forward in out.ledger.forwards
    ]
    decoding = [step for step in recorder.steps if step.kind != "prefill"]
    assert len(decoding) == out.ledger.nfe_decode(0)
    assert recorder.steps[0].kind == "prefill" and recorder.steps[0].masked == ()
    placed: dict[int, int] = {}
    for step in decoding:
        assert set(step.revealed) <= set(step.masked) and not set(step.masked) & set(placed)
        entropy, confidence = torch.tensor([step.entropy_nats]), torch.tensor([step.confidence])
        reveal = SAMPLERS[sampler](entropy, confidence, torch.ones_like(entropy, dtype=torch.bool), gamma)[0]
        assert {place for place, yes in zip(step.masked, reveal.tolist(), strict=True) if yes} == set(step.revealed)
        tokens = dict(zip(step.masked, step.tokens, strict=True))
        placed |= {place: tokens[place] for place in step.revealed}
    assert [placed[place] for place in range(20)] == out.tokens[0].tolist()
    assert [step.known for step in decoding] == sorted(step.known for step in decoding)
    assert decoding[-1].known == 20


def test_entropy_and_confidence_are_those_of_the_model_s_own_logits(tiny: Build, prompts: list[Tensor]) -> None:
    model, seen = tiny("qwen3"), []
    hook = model.register_forward_hook(lambda module, args, output: seen.append(output.logits))
    try:
        recorder, _ = record(model, prompts[2], decoding="sbd", gamma=3.0, block_size=4)
    finally:
        hook.remove()
    for step, logits in zip(recorder.steps, seen, strict=True):
        if step.kind == "prefill":
            continue
        block = logits[0, -4:].index_fill(1, torch.tensor([MASK]), float("-inf"))
        first = step.masked[0] // 4 * 4
        p = torch.distributions.Categorical(logits=block[[place - first for place in step.masked]])
        assert step.entropy_nats == pytest.approx(p.entropy().tolist())
        assert step.confidence == pytest.approx(p.probs.max(dim=1).values.tolist())


def test_autoregressive_steps_reveal_one_token_each(tiny: Build, prompts: list[Tensor]) -> None:
    recorder, out = record(tiny("llama"), prompts[0], decoding="ar")
    assert [step.revealed for step in recorder.steps] == [(place,) for place in range(20)]
    assert [step.tokens[0] for step in recorder.steps] == out.tokens[0].tolist()
    assert recorder.steps[0].kind == "prefill" and len(recorder.steps) == out.ledger.nfe_decode(0)
    assert all(0 < step.confidence[0] <= 1 for step in recorder.steps)


def test_verified_decoding_can_be_watched(tiny: Build, prompts: list[Tensor]) -> None:
    model = tiny("llama")
    recorder, out = record(model, prompts[0], decoding="sbd", gamma=3.0, block_size=4, verify=True)
    plain = generate(model, [prompts[0]], max_new_tokens=20, eos_token_id=(), decoding="ar")
    assert torch.equal(out.tokens[0], plain.tokens[0])
    known = [step.known for step in recorder.steps]
    assert known == sorted(known) and known[-1] == 20
    for before, step in zip([0, *known], recorder.steps, strict=False):
        assert all(place >= before for place in step.masked), "a final token was drafted again"


@pytest.mark.parametrize("how", [{"decoding": "ar"}, {"gamma": 3.0}, {"verify": True}], ids=["ar", "sbd", "verified"])
@pytest.mark.parametrize("max_rows", [None, 2], ids=["all at once", "in turns"])
def test_a_prompt_of_a_batch_is_recorded_as_if_it_were_alone(
    tiny: Build, prompts: list[Tensor], how: dict[str, object], max_rows: int | None
) -> None:
    model, settings = tiny("llama"), {"block_size": 4, "max_new_tokens": 20, "eos_token_id": 7} | how

    def essence(steps: list[Step]) -> list[tuple]:
        return [(step.kind == "prefill", step.masked, step.tokens, step.revealed, step.known) for step in steps]

    for index, prompt in enumerate(prompts):
        alone, among = Recorder(), Recorder(prompt=index)
        generate(model, [prompt], watch=alone, **settings)
        generate(model, prompts, watch=among, max_rows=max_rows, **settings)
        assert essence(among.steps) == essence(alone.steps)

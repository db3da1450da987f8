"""lm-eval's `sbd` against its own `hf` and against sbd.generate, in one process."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval")

import lm_eval
from datasets import Dataset, DatasetDict
from lm_eval.api.instance import Instance
from lm_eval.api.registry import model_registry
from lm_eval.models import MODEL_MAPPING
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

import sbd
from harness.lm_eval_answers import Answer, Cost
from harness.lm_eval_model import SBDLM
from harness.lm_eval_requests import How, how

PROMPTS = [
    "Tom has 3 apples and buys 14 more. How many apples does he have?",
    "def add(a, b):",
    "What is 12 * 7?",
    "x",
    "A train goes 60 km in 2 hours. What is its speed? Answer with one number, and show each step of the work.",
]
CHOICES = ["17", " 84 and no more", "return a + b"]
DOCS = [{"text": text, "choices": CHOICES, "gold": at % 3} for at, text in enumerate(PROMPTS)]


def docs(**_: Any) -> DatasetDict:
    return DatasetDict({"test": Dataset.from_list(DOCS)})


def generating(until: list[str], budget: int = 40, **options: Any) -> dict[str, Any]:
    return {
        "task": "tiny_generate", "custom_dataset": docs, "test_split": "test", "doc_to_text": "{{text}}",
        "doc_to_target": "17", "output_type": "generate_until", "num_fewshot": 0,
        "generation_kwargs": {"until": until, "max_gen_toks": budget, **options},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip


CHOOSING = {
    "task": "tiny_choose", "custom_dataset": docs, "test_split": "test", "doc_to_text": "{{text}}",
    "doc_to_choice": "{{choices}}", "doc_to_target": "gold", "output_type": "multiple_choice", "num_fewshot": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip


def evaluate(model: Any, *tasks: dict[str, Any], args: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    where = {} if args is None else {"model_args": args, "device": "cpu"}
    manager = TaskManager(include_defaults=False)
    results = lm_eval.simple_evaluate(
        model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, **where, **options
    )
    assert results is not None
    return results


def answers(results: dict[str, Any], task: str = "tiny_generate") -> list[Any]:
    return [sample["resps"][0][0] for sample in results["samples"][task]]


def reasons(results: dict[str, Any]) -> dict[str, int]:
    return results["config"]["sbd"]["totals"]["stop_reason"]


@pytest.mark.parametrize("batch", [1, 3])
def test_ar_gives_the_answers_of_hf(varied_checkpoint: Path, batch: int) -> None:
    """To the budget, to a stop string and to an end token, both of which the first run shows to occur."""
    theirs = model_registry["hf"](pretrained=str(varied_checkpoint), device="cpu")
    whole = answers(evaluate(theirs, generating([])))
    ours = evaluate(SBDLM(str(varied_checkpoint), decoding="ar", batch_size=batch), generating([]))
    assert answers(ours) == whole and len(set(whole)) > 1 and reasons(ours) == {"length": len(PROMPTS)}

    stop = next(match[0] for text in whole if (match := re.search("[A-Za-z0-9]{2}", text[1:])))
    cut = answers(evaluate(theirs, generating([stop])))
    ours = evaluate(SBDLM(str(varied_checkpoint), decoding="ar", batch_size=batch), generating([stop]))
    assert answers(ours) == cut != whole and reasons(ours)["stop_string"] >= 1

    model, tokenizer = sbd.load(varied_checkpoint, device="cpu"), sbd.load_tokenizer(varied_checkpoint)
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    end = int(sbd.generate(model, ids, decoding="ar", max_new_tokens=40).tokens[0][7])
    lm = SBDLM(str(varied_checkpoint), decoding="ar", batch_size=batch)
    for each in (theirs, lm):
        each.model.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    ours = evaluate(lm, generating([]))
    assert answers(ours) == answers(evaluate(theirs, generating([]))) != whole and reasons(ours)["eos"] >= 1


def test_likelihoods_are_those_of_hf(varied_checkpoint: Path) -> None:
    path = {"pretrained": str(varied_checkpoint)}
    theirs, ours = (evaluate(model, CHOOSING, args=path, batch_size=2) for model in ("hf", "sbd"))
    pairs = [[sample["resps"] for sample in results["samples"]["tiny_choose"]] for results in (theirs, ours)]
    assert pairs[0] == pairs[1] and len({str(pair) for pair in pairs[0]}) == len(PROMPTS)
    assert ours["results"]["tiny_choose"]["acc,none"] == theirs["results"]["tiny_choose"]["acc,none"]


@pytest.mark.parametrize("batch", [1, 5])
def test_answers_and_costs_are_those_of_sbd_generate(varied_checkpoint: Path, batch: int) -> None:
    lm = SBDLM(str(varied_checkpoint), gamma=20.0, block_size=8, batch_size=batch)
    results = evaluate(lm, generating(["e"]))
    model, tokenizer = sbd.load(varied_checkpoint, device="cpu"), sbd.load_tokenizer(varied_checkpoint)
    rows = results["config"]["sbd"]["samples"]["tiny_generate"]
    for prompt, answer, row in zip(PROMPTS, answers(results), rows, strict=True):
        out = sbd.generate(
            model, tokenizer(prompt, return_tensors="pt").input_ids, gamma=20.0, block_size=8, max_new_tokens=40,
            stop_strings=["e"], tokenizer=tokenizer,
        )  # fmt: skip
        assert answer == tokenizer.decode(out.tokens[0], skip_special_tokens=True).split("e")[0]
        assert answer.cost.nfe == {kind: counts[0] for kind, counts in out.ledger.nfe.items()} == row["nfe"]
        assert (answer.cost.tokens, answer.cost.stop_reason) == (len(out.tokens[0]), out.stop_reason[0])
        assert row["nfe_decode"] == out.ledger.nfe_decode(0) and row["seconds"]["decode"] > 0
    totals = results["config"]["sbd"]["totals"]
    assert totals["answers"] == len(PROMPTS) and totals["tokens"] == sum(row["tokens"] for row in rows)
    assert totals["tokens_per_forward"] == totals["tokens"] / sum(row["nfe_decode"] for row in rows) > 1


def test_verified_answers_are_those_of_ar(varied_checkpoint: Path) -> None:
    """In float64, where no rounding tips a tie; with gamma at its default and at one that drafts badly."""
    task, path = generating([]), str(varied_checkpoint)
    ar = answers(evaluate(SBDLM(path, decoding="ar", dtype="float64"), task))
    assert len({str(answer) for answer in ar}) > 1
    for gamma in (None, 0.0):
        lm = SBDLM(path, verify=True, gamma=gamma, block_size=8, dtype="float64", batch_size=3)
        results = evaluate(lm, task)
        own, found = results["config"]["sbd"], answers(results)
        assert found == ar and own["verify"] is True and own["gamma"] == ("inf" if gamma is None else gamma)
        kinds = own["totals"]["nfe"]
        assert kinds["verify"] == sum(answer.cost.nfe["verify"] for answer in found) > 0 == kinds["ar"]
        assert own["totals"]["nfe_decode"] == sum(kinds.values()) - kinds["prefill"]
    plain = answers(evaluate(SBDLM(path, gamma=20.0, block_size=8, dtype="float64"), task))
    assert plain != ar, "unchecked drafts must differ for this test to say anything"


def test_a_model_that_is_loaded_already(varied_checkpoint: Path) -> None:
    tokenizer = sbd.load_tokenizer(varied_checkpoint)
    loaded = SBDLM(sbd.load(varied_checkpoint, device="cpu"), tokenizer=tokenizer, gamma=1.0)
    from_path = SBDLM(str(varied_checkpoint), gamma=1.0)
    task = generating([])
    assert answers(evaluate(loaded, task)) == answers(evaluate(from_path, task))


def test_an_answer_is_a_string_that_keeps_its_cost() -> None:
    cost = Cost(nfe={"block": 2}, nfe_decode=2, tokens=5, stop_reason="eos", seconds={}, batch_rows=1)
    copy = pickle.loads(pickle.dumps(Answer("seven", cost)))
    assert copy == "seven" and copy.cost == cost and type(copy)("eight").cost is None


@pytest.mark.parametrize("end", ["=", 21])
def test_thinking_is_cut_as_hf_cuts_it(varied_checkpoint: Path, end: str | int) -> None:
    tokenizer, path = sbd.load_tokenizer(varied_checkpoint), {"pretrained": str(varied_checkpoint)}
    task = generating([])
    whole = answers(evaluate("sbd", task, args=path | {"decoding": "ar"}))
    # A token, or its text, that is inside some answer but does not end it.
    inside = next(id_ for text in whole for id_ in tokenizer.encode(text)[2:-4] if len(tokenizer.decode([id_])) > 1)
    end = inside if isinstance(end, int) else tokenizer.decode([inside])
    theirs, ours = (
        answers(evaluate(model, task, args=path | extra | {"think_end_token": end}))
        for model, extra in (("hf", {}), ("sbd", {"decoding": "ar"}))
    )
    assert ours == theirs != whole


def test_chat_templates_are_applied(varied_checkpoint: Path) -> None:
    args: dict[str, Any] = {"pretrained": str(varied_checkpoint)}
    tokenizer = sbd.load_tokenizer(varied_checkpoint)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
    args["tokenizer"] = tokenizer
    lms = [model_registry["hf"](**args, device="cpu"), SBDLM(**args, decoding="ar")]
    theirs, ours = (evaluate(lm, generating(["e"]), apply_chat_template=True) for lm in lms)
    assert answers(ours) == answers(theirs) != answers(evaluate(lms[1], generating(["e"])))
    assert ours["samples"]["tiny_generate"][0]["arguments"][0][0].startswith("[user] Tom has")


def test_response_caches_never_mix(
    varied_checkpoint: Path, other_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, cache = generating([]), str(tmp_path / "cache")
    arms: list[tuple[Path, dict[str, Any]]] = [
        (varied_checkpoint, {"gamma": 0.0}), (varied_checkpoint, {"gamma": 20.0}), (other_checkpoint, {"gamma": 0.0}),
        (varied_checkpoint, {"gamma": 20.0, "verify": True}),
    ]  # fmt: skip
    fresh = [answers(evaluate(SBDLM(str(path), **options), task)) for path, options in arms]
    assert len({str(list(map(str, row))) for row in fresh}) == 4, "the arms must differ for this test to say anything"
    for _ in range(2):
        for (path, options), expected in zip(arms, fresh, strict=True):
            found = answers(evaluate(SBDLM(str(path), **options), task, use_cache=cache))
            assert found == expected and all(answer.cost.tokens for answer in found)
        monkeypatch.setattr(SBDLM, "_generate", None)  # The second time all comes from the cache.


def test_auto_halves_the_batch_when_memory_runs_out(varied_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, real = generating(["e"]), SBDLM._generate
    expected = answers(evaluate(SBDLM(str(varied_checkpoint)), task))

    def scarce(self: SBDLM, prompts: list[torch.Tensor], wanted: How) -> Any:
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return real(self, prompts, wanted)

    monkeypatch.setattr(SBDLM, "_generate", scarce)
    results = evaluate(SBDLM(str(varied_checkpoint), batch_size="auto", max_batch_size=5), task)
    assert answers(results) == expected and results["config"]["batch_sizes"] == [2]
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(SBDLM(str(varied_checkpoint), batch_size=5), task)


def test_padding_of_a_rank_is_neither_decoded_nor_kept(varied_checkpoint: Path) -> None:
    lm = SBDLM(str(varied_checkpoint))
    one, two = (
        Instance("generate_until", {}, (text, {"until": [], "max_gen_toks": 8}), 0, metadata=("t", at, 2))
        for at, text in enumerate(PROMPTS[:2])
    )
    requests = [one, one, two, two, two, two]
    found = lm.generate_until(requests, disable_tqdm=True)
    for answer, request in zip(found, requests, strict=True):
        request.resps.append(answer)
    lm.barrier()
    assert found[0] == found[1] and found[2:] == [found[2]] * 4 != [found[0]] * 4
    assert len(one.resps) == len(two.resps) == 2
    assert len(lm.costs) == 4 and lm.get_model_info()["sbd"]["totals"]["answers"] == 4


def test_temperature_comes_from_the_model_or_the_task(varied_checkpoint: Path) -> None:
    warm = generating([], do_sample=True, temperature=3.0)
    cold = SBDLM(str(varied_checkpoint), temperature=0.0)
    greedy = [answers(evaluate(cold, task)) for task in (warm, generating([]))]
    drawn = [answers(evaluate(SBDLM(str(varied_checkpoint), seed=seed), warm)) for seed in (1, 1, 2)]
    assert greedy[0] == greedy[1] and drawn[0] == drawn[1]
    assert drawn[0] != drawn[2] and greedy[0] not in drawn


def test_adapters_decode_as_hf_decodes_them(varied_checkpoint: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(varied_checkpoint)
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    torch.manual_seed(5)
    peft.get_peft_model(model, lora).save_pretrained(tmp_path / "lora")
    path, task = {"pretrained": str(varied_checkpoint)}, generating([])
    with_it = path | {"peft": str(tmp_path / "lora")}
    theirs = answers(evaluate("hf", task, args=with_it))
    assert answers(evaluate("sbd", task, args=with_it | {"decoding": "ar"})) == theirs
    assert answers(evaluate("sbd", task, args=path | {"decoding": "ar"})) != theirs
    assert all(answers(evaluate("sbd", task, args=with_it | {"gamma": 1.0})))
    virtual = peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    plain = AutoModelForCausalLM.from_pretrained(varied_checkpoint)
    peft.get_peft_model(plain, virtual).save_pretrained(tmp_path / "v")
    with pytest.raises(ValueError, match="virtual prompt tokens"):
        SBDLM(str(varied_checkpoint), peft=str(tmp_path / "v"))


def test_every_built_in_model_type_stays() -> None:
    assert set(model_registry.keys()) >= {*MODEL_MAPPING, "sbd"} and len(MODEL_MAPPING) > 20
    assert model_registry["sbd"] is SBDLM and model_registry["hf"].__name__ == "HFLM"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "best"}, "best"), ({"gamma": -1}, "gamma"), ({"block_size": 0}, "block_size"),
        ({"decoding": "beam"}, "choose one of sbd, ar"), ({"temperature": -1.0}, "temperature"),
        ({"decoding": "ar", "verify": True}, "verify=True"),
    ],
)  # fmt: skip
def test_options_are_checked_before_anything_is_loaded(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SBDLM("no/such/model", **options)


def test_requests_that_cannot_be_met_are_refused(varied_checkpoint: Path) -> None:
    lm = SBDLM(str(varied_checkpoint))
    with pytest.raises(ValueError, match="leaves no room"):
        evaluate(lm, generating([], budget=256))
    with pytest.raises(ValueError, match="num_beams=2"):
        evaluate(lm, generating([], num_beams=2))
    with pytest.raises(ValueError, match="top_p=0.9"):
        how({"do_sample": True, "temperature": 1.0, "top_p": 0.9}, default_budget=9, temperature=None)
    assert how({"until": "x", "top_p": 0.9}, default_budget=9, temperature=None) == How(("x",), 9, 0.0)
    lm.engine.sbd_config = None
    with pytest.raises(ValueError, match="decoding='ar'"):
        evaluate(lm, generating([]))

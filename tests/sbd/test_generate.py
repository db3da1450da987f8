"""The public function: transformers' custom_generate, stop strings, errors, and the command line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

import sbd
from sbd.config import SBDConfig
from sbd.generate import StopStrings, main

Build = Callable[..., PreTrainedModel]
WORDS = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(60)]
"""Texts of the ids 0..59, so that a stop string may span tokens."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate([*WORDS, "<|mask|>"])}, unk_token="a")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


@pytest.fixture(scope="module")
def checkpoint(tiny: Build, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny("qwen3").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SBDConfig(mask_token_id=60).save(folder)
    return folder


def left_padded(prompts: list[Tensor]) -> tuple[Tensor, Tensor]:
    ids, mask = torch.zeros(len(prompts), 12, dtype=torch.long), torch.zeros(len(prompts), 12, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, 12 - len(prompt) :], mask[row, 12 - len(prompt) :] = prompt, 1
    return ids, mask


@pytest.mark.parametrize("decoding", ["sbd", "ar"])
def test_custom_generate_of_transformers(checkpoint: Path, prompts: list[Tensor], decoding: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64)
    ids, mask = left_padded(prompts)
    settings = {
        "decoding": decoding,
        "gamma": 5.0,
        "block_size": 4,
        "max_new_tokens": 11,
        "eos_token_id": 7,
        "pad_token_id": 9,
    }
    theirs = model.generate(ids, attention_mask=mask, custom_generate=sbd.generate, do_sample=False, **settings)
    ours = sbd.generate(model, ids, attention_mask=mask, **settings)
    assert isinstance(theirs, sbd.Generation)
    assert torch.equal(theirs.sequences, ours.sequences)
    assert torch.equal(theirs.tokens_per_forward, ours.tokens_per_forward)


def test_custom_generate_samples_at_its_temperature(checkpoint: Path, prompts: list[Tensor]) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64)
    ids = prompts[0].unsqueeze(0)
    theirs, ours = (
        call(
            ids, gamma=5.0, temperature=0.8, max_new_tokens=11, generator=torch.Generator().manual_seed(0), **extra
        ).sequences
        for call, extra in (
            (model.generate, {"do_sample": True, "top_k": 0, "custom_generate": sbd.generate}),
            (lambda *args, **kwargs: sbd.generate(model, *args, **kwargs), {}),
        )
    )
    assert torch.equal(theirs, ours)


@pytest.mark.parametrize("options", [{"do_sample": True, "top_k": 5}, {"repetition_penalty": 1.3}, {"num_beams": 2}])
def test_custom_generate_refuses_what_it_would_ignore(checkpoint: Path, prompts: list[Tensor], options: dict) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    with pytest.raises(ValueError, match="does not support"):
        model.generate(prompts[0].unsqueeze(0), custom_generate=sbd.generate, max_new_tokens=4, **options)


def test_sequences_are_prompts_and_tokens_padded_right(tiny: Build, prompts: list[Tensor]) -> None:
    model = tiny("llama")
    free = sbd.generate(model, prompts, gamma=5.0, block_size=4, max_new_tokens=10)
    out = sbd.generate(
        model, prompts, gamma=5.0, block_size=4, max_new_tokens=10, eos_token_id=int(free.tokens[0][4]), pad_token_id=2
    )
    assert torch.equal(out.sequences[:, :12], left_padded(prompts)[0].masked_fill(left_padded(prompts)[1] == 0, 2))
    for row, tokens in enumerate(out.tokens):
        new = out.sequences[row, 12:].tolist()
        assert new[: len(tokens)] == tokens.tolist() and set(new[len(tokens) :]) <= {2}


@pytest.mark.parametrize("decoding", ["sbd", "ar"])
@pytest.mark.parametrize("gamma", [0.0, 6.0, 30.0])
def test_stop_strings_end_a_row_at_the_token_that_completes_them(
    tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast, decoding: str, gamma: float
) -> None:
    model = tiny("qwen3")
    settings = {"decoding": decoding, "gamma": gamma, "block_size": 8, "max_new_tokens": 30}
    for prompt in prompts:
        free = sbd.generate(model, [prompt], **settings).tokens[0].tolist()
        texts = ["".join(WORDS[token] for token in free[:n]) for n in range(31)]
        stop = texts[13][len(texts[9]) :]  # the text of tokens 9 to 12, across a block's edge in part of the cases
        keep = next(n for n in range(31) if stop in texts[n])
        out = sbd.generate(model, [prompt], stop_strings=["never in here!", stop], tokenizer=tokenizer, **settings)
        assert out.tokens[0].tolist() == free[:keep]
        assert out.stop_reason == ["stop_string"]
        assert out.ledger.nfe_decode(0) <= sbd.generate(model, [prompt], **settings).ledger.nfe_decode(0)


def test_stop_strings_save_the_forwards_after_them(
    tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast
) -> None:
    free = sbd.generate(tiny("qwen3"), [prompts[0]], gamma=0.0, block_size=8, max_new_tokens=30)
    stop = "".join(WORDS[token] for token in free.tokens[0][3:6].tolist())
    out = sbd.generate(
        tiny("qwen3"), [prompts[0]], gamma=0.0, block_size=8, max_new_tokens=30, stop_strings=stop, tokenizer=tokenizer
    )
    assert out.ledger.nfe_decode(0) <= 8 and len(out.tokens[0]) <= 6


@pytest.mark.parametrize("chunks", [(1,) * 40, (3, 1, 9, 2, 25), (40,)])
def test_the_cut_does_not_depend_on_how_tokens_arrive(
    tokenizer: PreTrainedTokenizerFast, chunks: tuple[int, ...]
) -> None:
    tokens = torch.randint(0, 60, (40,), generator=torch.Generator().manual_seed(3)).tolist()
    stop = "".join(WORDS[token] for token in tokens[20:26])
    find, known = StopStrings(tokenizer, [stop, "?"], rows=1), 0
    for chunk in chunks:
        known += chunk
        keep = find(0, tokens[:known])
        if keep is not None:
            break
    assert keep == 26


def test_an_end_token_before_the_stop_string_wins(
    tiny: Build, prompts: list[Tensor], tokenizer: PreTrainedTokenizerFast
) -> None:
    model, settings = tiny("qwen3"), {"gamma": 30.0, "block_size": 16, "max_new_tokens": 16}
    free = sbd.generate(model, [prompts[0]], **settings).tokens[0].tolist()
    at = next(i for i in range(2, 8) if free.index(free[i]) == i)
    stop = "".join(WORDS[token] for token in free[at + 1 : at + 5])
    for eos, reason in ((free[at], "eos"), (59, "stop_string")):
        out = sbd.generate(model, [prompts[0]], eos_token_id=eos, stop_strings=[stop], tokenizer=tokenizer, **settings)
        assert out.stop_reason == [reason]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gamma": -1.0}, "gamma is -1.0"), ({"block_size": 0}, "block_size is 0"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"sampler": "best"}, "'best'.*eb_entropy"), ({"decoding": "beam"}, "'beam'.*sbd, ar"),
        ({"temperature": -0.5}, "temperature is -0.5"), ({"max_new_tokens": 124}, "5 tokens.*124.*128 positions"),
        ({"stop_strings": ["x"], "max_new_tokens": 9}, "needs a tokenizer"),
        ({"attention_mask": torch.ones(1, 3)}, "attention_mask"),
    ],
)  # fmt: skip
def test_bad_input_names_value_and_remedy(tiny: Build, prompts: list[Tensor], options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        sbd.generate(tiny("llama"), [prompts[0]], **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "ids", [torch.tensor([1, 2]), [], [torch.tensor([], dtype=torch.long)], torch.zeros(1, 0, dtype=torch.long)]
)
def test_prompts_need_a_batch_and_a_token(tiny: Build, ids: Tensor | list[Tensor]) -> None:
    with pytest.raises(ValueError, match="prompt|input_ids"):
        sbd.generate(tiny("llama"), ids)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_last_positions_of_the_model_can_be_used(tiny: Build, prompts: list[Tensor], kind: str) -> None:
    out = sbd.generate(tiny(kind), [prompts[0]], block_size=50, gamma=9.0, max_new_tokens=123)
    assert len(out.tokens[0]) == 123


def test_sbd_needs_a_trained_model(tiny: Build, prompts: list[Tensor], checkpoint: Path, tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path)
    plain = sbd.load(tmp_path, device="cpu")
    with pytest.raises(ValueError, match="no sbd_config.json; train it.*decoding='ar'"):
        sbd.generate(plain, prompts)
    assert sbd.generate(plain, prompts, decoding="ar", max_new_tokens=3).stop_reason == ["length"] * 4
    SBDConfig(mask_token_id=60, objective="ntp").save(tmp_path)
    with pytest.raises(ValueError, match="NTP alone"):
        sbd.generate(sbd.load(tmp_path, device="cpu"), prompts)


def test_training_mode_is_refused(checkpoint: Path, prompts: list[Tensor]) -> None:
    with pytest.raises(ValueError, match=r"call model\.eval"):
        sbd.generate(sbd.load(checkpoint, device="cpu").train(), prompts)


def test_command_line_prints_text_and_cost(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model", str(checkpoint), "--prompt", "a b c", "--max-new-tokens", "9", "--device", "cpu"]
    assert main([*common, "--gamma", "5", "--block-size", "4"]) == 0
    text, cost = capsys.readouterr().out.splitlines()
    model, tokenizer = sbd.load(checkpoint, device="cpu"), sbd.load_tokenizer(checkpoint)
    out = sbd.generate(model, torch.tensor([[0, 1, 2]]), gamma=5.0, block_size=4, max_new_tokens=9)
    assert text == tokenizer.decode(out.tokens[0])
    assert (
        f"9 tokens, NFE {out.ledger.nfe_decode(0)}, {float(out.tokens_per_forward[0]):.2f} tokens per forward" in cost
    )
    assert main([*common, "--decoding", "ar"]) == 0
    assert "NFE 9, 1.00 tokens per forward" in capsys.readouterr().out
    assert main([*common, "--decoding", "ar"]) == main([*common, "--verify", "--gamma", "5", "--block-size", "4"]) == 0
    expected, _, verified, cost = capsys.readouterr().out.splitlines()
    assert verified == expected and "9 tokens" in cost


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gamma", "-1"], "gamma is -1.0"), (["--decoding", "beam"], "'beam'"), (["--max-new-tokens", "999"], "999"),
        (["--max-new-tokens", "9", "--stop", ""], "empty"),
    ],
)  # fmt: skip
def test_command_line_refuses_in_one_line(
    checkpoint: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", str(checkpoint), "--prompt", "a b", "--device", "cpu", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert words in printed.err


def test_module_runs_as_a_program(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sbd.generate", "--model", str(tmp_path / "nowhere"), "--prompt", "a"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("error: cannot load") and run.stderr.count("\n") == 1

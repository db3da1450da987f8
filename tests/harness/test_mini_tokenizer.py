"""The mini tokenizer: exact round trips, single digits, whole words, lengths and the saved folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.mini import BENCHMARKS, pretrain_texts, sft_examples, test_problems
from harness.mini.__main__ import main
from harness.mini.tokenizer import RESERVED, VOCABULARY_SIZE, train_tokenizer

TOKENIZER = train_tokenizer(0)
FILES = ("sft.jsonl", "pretrain.jsonl", "test/humaneval-plus-mini.tests.jsonl", "test/gsm8k-mini.jsonl")


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in TOKENIZER(text)["input_ids"]]


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_every_ascii_text_comes_back_exactly(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


@given(st.text(max_size=30))
def test_other_texts_come_back_exactly_too(text: str) -> None:
    encoded = text.encode("utf-8", "replace").decode()
    assert TOKENIZER.decode(TOKENIZER(encoded)["input_ids"]) == encoded


def test_pieces_of_known_texts() -> None:
    assert pieces(" Tom has 12 apples.\n#### 17") == [" Tom", " has", " ", *"12", " apples", ".", "\n", "#### ", *"17"]
    assert pieces("12 + 5 = 17\n\\boxed{17}") == [*"12", " + ", "5", " = ", *"17", "\n", "\\boxed{", *"17", "}"]
    assert pieces("\n    xs = [x * 31 for x in xs]") == [
        *["\n    ", "xs", " =", " [", "x", " * ", "3", "1", " for", " x", " in", " xs", "]"]
    ]


@given(st.integers(0, 10**12))
def test_every_digit_is_a_token_of_its_own(number: int) -> None:
    assert pieces(f"x{number}")[1:] == list(str(number))


def test_special_tokens_and_size() -> None:
    assert (TOKENIZER.eos_token, TOKENIZER.pad_token, TOKENIZER.bos_token) == ("<|endoftext|>", "<|pad|>", None)
    assert len(TOKENIZER) == VOCABULARY_SIZE == len(TOKENIZER.get_vocab())
    for token in ("<|mask|>", *RESERVED):
        assert len(TOKENIZER(token)["input_ids"]) == 1 and token in TOKENIZER.all_special_tokens
    ids = TOKENIZER("x<|mask|><|endoftext|>")["input_ids"]
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "x"


def test_prompt_and_completion_give_the_same_tokens_apart_and_joined() -> None:
    for row in sft_examples(8, 1500):
        apart = TOKENIZER(row["prompt"])["input_ids"] + TOKENIZER(row["completion"])["input_ids"]
        assert apart == TOKENIZER(row["prompt"] + row["completion"])["input_ids"]


def test_nothing_is_longer_than_140_tokens_and_few_words_fall_into_bytes() -> None:
    texts = [problem.prompt + problem.solution for name in BENCHMARKS for problem in test_problems(name)]
    texts += [row["prompt"] + row["completion"] for row in sft_examples(9, 3000)]
    texts += [row["text"] for row in pretrain_texts(9, 3000)]
    encoded = TOKENIZER(texts)["input_ids"]
    assert max(map(len, encoded)) <= 140
    whole = sum(len(TOKENIZER.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)) for text in texts)
    assert sum(map(len, encoded)) / whole < 1.01


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_lengths_stay_in_the_range_the_models_are_made_for(benchmark: str) -> None:
    problems = test_problems(benchmark)
    prompt = sum(len(TOKENIZER(p.prompt)["input_ids"]) for p in problems) / len(problems)
    completion = sum(len(TOKENIZER(p.solution)["input_ids"]) for p in problems) / len(problems)
    assert 20 <= prompt <= 45 and 25 <= completion <= 60


def test_the_command_line_writes_all_files_and_the_same_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path), "--sft", "60", "--pretrain", "40", "--seed", "0"]) == 0
    assert "gsm8k-mini" in capsys.readouterr().out
    rows = {name: [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in FILES}
    assert rows["sft.jsonl"] == list(sft_examples(0, 60))
    assert rows["pretrain.jsonl"] == list(pretrain_texts(0, 40))
    assert rows["test/humaneval-plus-mini.tests.jsonl"] == [p.tests for p in test_problems("humaneval-plus-mini")]
    assert [row["answer"] for row in rows["test/gsm8k-mini.jsonl"]] == [p.answer for p in test_problems("gsm8k-mini")]
    assert not list(tmp_path.rglob("*.part"))
    TOKENIZER.save_pretrained(tmp_path / "again")
    names = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert "tokenizer.json" in names
    for name in names:
        assert (tmp_path / "tokenizer" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_saved_tokenizer_loads_alike(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == TOKENIZER.get_vocab()
    texts = [row["prompt"] + row["completion"] for row in sft_examples(8, 200)]
    assert loaded(texts)["input_ids"] == TOKENIZER(texts)["input_ids"]
    assert [loaded.decode(ids) for ids in loaded(texts)["input_ids"]] == texts
    assert (loaded.eos_token_id, loaded.pad_token_id, loaded.clean_up_tokenization_spaces) == (0, 1, False)
    assert loaded.convert_tokens_to_ids("<|mask|>") == 2

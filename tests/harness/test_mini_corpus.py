"""The corpora of the mini suite: training and test apart, seeds, sizes and the command line."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from harness.mini import BENCHMARKS, pretrain_texts, sft_examples, test_problems, weights
from harness.mini.__main__ import main
from harness.mini.corpus import draw, training_samples
from harness.mini.problem import Problem, held_out

LAYOUT = re.compile(r"[\s.,:;?!#\"']+")


def normal(text: str) -> str:
    """Drop case, spaces and the punctuation of sentences; signs of arithmetic stay."""
    return LAYOUT.sub(" ", text.lower()).strip()


def digest(rows: list[dict[str, str]]) -> str:
    return hashlib.sha256("\n".join(json.dumps(row) for row in rows).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return [problem for benchmark in BENCHMARKS for problem in test_problems(benchmark)]


def test_there_are_500_different_problems_in_each_benchmark(problems: list[Problem]) -> None:
    assert Counter(problem.benchmark for problem in problems) == dict.fromkeys(BENCHMARKS, 500)
    for benchmark in BENCHMARKS:
        own = [problem for problem in problems if problem.benchmark == benchmark]
        assert len({problem.key for problem in own}) == len({normal(problem.prompt) for problem in own}) == 500
    assert len({problem.item_id for problem in problems}) == 3000


def test_no_training_sample_shares_a_key_or_a_prompt_with_any_test_problem(problems: list[Problem]) -> None:
    keys, prompts = {problem.key for problem in problems}, {normal(problem.prompt) for problem in problems}
    samples = list(training_samples(3, 30_000))
    assert keys.isdisjoint(sample.key for sample in samples)
    assert prompts.isdisjoint(normal(sample.prompt) for sample in samples)
    assert all(held_out(key) for key in keys)


def test_no_pretraining_text_holds_a_test_prompt(problems: list[Problem]) -> None:
    prompts = {normal(problem.prompt) for problem in problems}
    by_start: dict[str, list[str]] = {}
    for prompt in prompts:
        by_start.setdefault(prompt[:30], []).append(prompt)
    for row in pretrain_texts(3, 15_000):
        text = normal(row["text"])
        assert not any(text.startswith(prompt) for prompt in by_start.get(text[:30], ())), row["text"]


def test_wide_samples_are_never_held_out(problems: list[Problem]) -> None:
    rng, keys = Random(2), {problem.key for problem in problems}
    for benchmark in BENCHMARKS:
        for _ in range(1000):
            assert draw(benchmark, rng, wide=True).key not in keys


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_parameter_spaces_hold_thousands_of_keys_and_a_tenth_is_held_out(benchmark: str) -> None:
    rng = Random(1)
    training = {draw(benchmark, rng).key for _ in range(5000)}
    test = {draw(benchmark, rng, test=True).key for _ in range(1000)}
    assert len(training) > 2000 and len(test) > 500
    assert not any(map(held_out, training)) and all(map(held_out, test))
    assert 0.05 < sum(held_out(f"{benchmark}:{i}") for i in range(2000)) / 2000 < 0.15


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_problem_does_not_depend_on_how_many_are_asked_for(benchmark: str) -> None:
    assert test_problems(benchmark, 7) == test_problems(benchmark)[:7]
    assert test_problems(benchmark, 0) == []


def test_the_same_seed_gives_the_same_corpora_and_a_longer_one_begins_alike() -> None:
    assert list(sft_examples(4, 50)) == list(islice(sft_examples(4, 200), 50)) != list(sft_examples(5, 50))
    assert list(pretrain_texts(4, 50)) == list(islice(pretrain_texts(4, 200), 50)) != list(pretrain_texts(5, 50))


def test_corpora_and_problems_are_those_of_the_shipped_checkpoints(problems: list[Problem]) -> None:
    assert digest(list(sft_examples(0, 2000))) == "4df5775e92e70695"
    assert digest(list(pretrain_texts(0, 2000))) == "a8e6cd39561aedd3"
    assert digest([{p.item_id: p.prompt + p.solution + p.answer} for p in problems]) == "10686b49523e77d1"


def test_everything_is_ascii_and_prompts_end_where_completions_begin() -> None:
    for row in sft_examples(6, 2000):
        assert (row["prompt"] + row["completion"]).isascii()
        assert row["prompt"][-1] in ":\n" and not row["completion"].endswith((" ", "\n"))
    assert all(row["text"].isascii() for row in pretrain_texts(6, 2000))


@pytest.mark.parametrize(("benchmark", "n"), [("gsm9k-mini", 5), ("gsm8k-mini", 501), ("gsm8k-mini", -1)])
def test_bad_requests_name_the_value(benchmark: str, n: int) -> None:
    with pytest.raises(ValueError, match="gsm9k-mini|501|-1"):
        test_problems(benchmark, n)


@pytest.mark.parametrize(("model", "loss"), [("gpt-mini", "sbd"), ("llama-mini", "rl")])
def test_unknown_checkpoints_are_refused_with_the_known_names(model: str, loss: str) -> None:
    with pytest.raises(ValueError, match=r"gpt-mini.*llama-mini|rl.*sbd"):
        weights(model, loss)


def test_the_command_line_reports_bad_input_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--sft", "-5"]) == 2
    file = tmp_path / "file"
    file.write_text("")
    assert main(["--out", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "-5" in lines[0] and str(file) in lines[1]

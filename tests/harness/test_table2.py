"""Multiple-choice sets checked by arithmetic, lm-eval's sums against a plain forward, Table 2 from made-up records."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

import sbd
from harness import choices, likelihood, table2
from harness.choices import TASKS, items
from harness.results import Choice, read
from harness.review.places import Places
from harness.review.tables import verify_tables
from harness.stats import wilson


@pytest.mark.parametrize("name", TASKS.values())
def test_items_are_distinct_and_answers_spread(name):
    chosen = items(name)
    assert len({item.context for item in chosen}) == choices.SIZE
    assert all(len(set(item.choices)) == choices.CHOICES for item in chosen)
    labels = pd.Series([item.label for item in chosen]).value_counts(normalize=True)
    assert labels.between(0.15, 0.35).all() and len(labels) == choices.CHOICES


@pytest.mark.parametrize("name", ["gsm8k-mini", "math500-mini", "aime25-mini"])
def test_the_right_result_is_the_arithmetic_one(name):
    checked = 0
    for item in items(name):
        found = re.search(r"(?:^|\s)(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)$", item.choices[item.label])
        if found:
            a, operation, b = int(found[1]), found[2], int(found[3])
            result = {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1)}[operation]
            right = [float(choice.rpartition("= ")[2]) == result for choice in item.choices]
            assert right == [place == item.label for place in range(choices.CHOICES)]
            checked += 1
    assert checked > 300


def test_a_code_item_holds_its_own_body():
    for name in ("humaneval-plus-mini", "mbpp-mini", "lcb-mini"):
        for item in items(name)[:50]:
            program = item.context + item.choices[item.label]
            body = program[program.index("def ") :] if "def " in program else program.split("### Answer:\n")[1]
            compile(body, item.item_id, "exec")
    numbers = re.compile(r"numbers (?:less|greater) than (\d+)")
    told = [item for item in items("humaneval-plus-mini") if numbers.search(item.context)]
    assert told and all(numbers.search(i.context)[1] in i.choices[i.label] for i in told)  # type: ignore[index]


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="no multiple-choice set of 'x'"):
        items("x")


@pytest.fixture(scope="module")
def weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny checkpoints of all three objectives; SBD without NTP shares SBD's weights."""
    folder = shutil.copytree(tiny_weights, tmp_path_factory.mktemp("three"), dirs_exist_ok=True)
    shutil.copytree(folder / "llama-mini/sbd", folder / "llama-mini/sbd-no-ntp")
    return folder


def test_lm_eval_sums_what_a_plain_forward_gives(weights, tmp_path):
    pytest.importorskip("lm_eval")
    folder = weights / "llama-mini/ntp"
    assert likelihood.score("mini", "llama-mini", {"ntp": folder}, tmp_path, 2, "cpu", "test") == 2 * len(TASKS)
    assert likelihood.score("mini", "llama-mini", {"ntp": folder}, tmp_path, 2, "cpu", "test") == 0
    model, tokenizer = sbd.load(str(folder), device="cpu", dtype="float32"), sbd.load_tokenizer(str(folder))
    for task, name in TASKS.items():
        lines = list(read(likelihood.choice_path(tmp_path, "mini", "llama-mini", "ntp", task), Choice))
        for line, item in zip(lines, items(name), strict=False):
            sums = [plain_sum(model, tokenizer, item.context, choice) for choice in item.choices]
            assert line.loglikelihoods == pytest.approx(sums, abs=2e-3)
            assert line.correct == (max(range(4), key=sums.__getitem__) == item.label)


def plain_sum(model, tokenizer, context: str, choice: str) -> float:
    """Log-likelihood of a choice in one forward; blanks before it belong to it, as in lm-eval."""
    before = tokenizer(context.rstrip(), add_special_tokens=False)["input_ids"]
    ids = tokenizer(context + choice, add_special_tokens=False)["input_ids"]
    assert ids[: len(before)] == before
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(scores[place - 1, ids[place]]) for place in range(len(before), len(ids)))


def choice(loss: str, task: str, number: int, correct: bool) -> Choice:
    return Choice(
        run_id=loss, scale="mini", model="llama-mini", weights_hash="w", loss=loss, task=task,
        item_id=f"{task}/{number}",
        label=0, loglikelihoods=[0.0], correct=correct, correct_normalised=correct,
    )  # fmt: skip


def test_table_2_pairs_items_and_keeps_the_papers_cells(tmp_path):
    solved = {"ntp": (9, 10), "sbd": (8, 10), "sbd-no-ntp": (2, 10)}
    for loss, (right, n) in solved.items():
        for task in TASKS:
            path = likelihood.choice_path(tmp_path, "mini", "llama-mini", loss, task)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(vars(choice(loss, task, i, i < right))) for i in range(n)]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    frame = table2.cells(table2.load(tmp_path, "mini", "llama-mini", None))
    assert len(frame) == 3 * (len(TASKS) + 1)
    cell = frame[(frame["training_loss"] == "SBD w/o NTP") & (frame["benchmark"] == "gsm8k-mini")].iloc[0]
    interval = wilson(2, 10)
    assert cell["accuracy_pct"] == 20 and cell["accuracy_low"] == pytest.approx(100 * interval.low)
    assert cell["difference_points"] == pytest.approx(-70) and cell["difference_low"] >= -100
    assert cell["mcnemar_p"] == pytest.approx(2 * 0.5**7)  # seven items that NTP alone solves
    pooled = frame[(frame["training_loss"] == "SBD") & (frame["benchmark"] == table2.ALL)].iloc[0]
    assert pooled["n"] == 60 and pooled["difference_points"] == pytest.approx(-10)
    published = table2.published().set_index(["training_loss", "benchmark"])
    assert published.loc[("SBD", "GPQA"), "difference_points"] == pytest.approx(27.7 - 24.1)
    grid = table2.grid(pd.concat([frame, table2.published()], ignore_index=True), "mini scale")
    assert len(grid.rows) == 3 + 1 + 3 and grid.rows[2][1][1].startswith("-70.0 [")


def test_the_command_writes_table_2(weights, tmp_path):
    pytest.importorskip("lm_eval")
    from harness.reproduce import main

    given = ["--table", "2", "--limit", "2", "--weights", str(weights), "--out", str(tmp_path), "--device", "cpu"]
    assert main(given) == 0
    table = pd.read_csv(tmp_path / "reports/mini/table2.csv")
    assert set(table["source"]) == {"ours", "paper"}
    same = table[(table["training_loss"] != "NTP") & (table["source"] == "ours")].groupby("benchmark")["accuracy_pct"]
    assert (same.nunique() == 1).all()  # SBD and its copy answer alike
    assert {path.suffix for path in (tmp_path / "reports/mini").iterdir()} == {".csv", ".md", ".tex"}
    outcome = verify_tables(Places(out=tmp_path, scale="mini"))
    assert len(outcome.checked) == 3 and not outcome.differences

"""The trace page: its numbers are the ledger's, its cuts the samplers', and a real browser steps through it."""

from __future__ import annotations

import dataclasses
import json
import operator
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sbd
from harness import engine
from harness.arms import weights_hash
from harness.benchmarks import BENCHMARKS, benchmark
from harness.mini import test_problems as problems_of
from harness.prompts import prompt_ids
from harness.results import ArmFile, Record, pack, read
from harness.trace.__main__ import main
from harness.trace.capture import capture
from harness.trace.cut import BOUNDS, ranks
from harness.trace.page import page
from harness.trace.subject import Subject, Wish, subject_of
from sbd.samplers import SAMPLERS

NAME = "gsm8k-mini"
PARAMETERS = {"eb_entropy": 0.7, "eb_confidence": 0.7, "factor": 1.5, "threshold": 0.6, "topk": 3.0}


@pytest.mark.parametrize("sampler", BOUNDS)
def test_the_bound_shown_is_the_one_that_decided(sampler: str) -> None:
    draw, parameter = random.Random(0), PARAMETERS[sampler]
    fits = {"at most": operator.le, "less than": operator.lt, "at least": operator.ge}[BOUNDS[sampler][1]]
    cut_somewhere = 0
    for _ in range(50):
        entropy = [draw.uniform(0, 0.8) for _ in range(draw.randint(1, 8))]
        confidence = [draw.uniform(0.1, 1) for _ in entropy]
        tensors = (torch.tensor([entropy], dtype=torch.float64), torch.tensor([confidence], dtype=torch.float64))
        reveal = SAMPLERS[sampler](*tensors, torch.ones_like(tensors[0], dtype=torch.bool), parameter)[0].tolist()
        order = ranks(sampler, entropy, confidence)
        within = [index for index, rank in enumerate(order) if fits(rank.bound, parameter)]
        count = max([1, *(index + 1 for index in within)])
        assert {rank.index for rank in order[:count]} == {index for index, yes in enumerate(reveal) if yes}
        cut_somewhere += 1 < count < len(entropy)
    assert cut_somewhere > 5


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="'x' is unknown; choose one of eb_entropy"):
        ranks("x", [0.1], [0.9])


@pytest.fixture(scope="module")
def subject(varied_checkpoint: Path) -> Subject:
    return Subject(
        title="A <b>title</b>", prompt="Question: 1 + 1 </script>\n", checkpoint=varied_checkpoint,
        sampler="eb_entropy", gamma=4.0, block_size=8, max_new_tokens=24,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(subject: Subject) -> dict[str, Any]:
    """The page's data; read only."""
    return capture(subject, "cpu")


def test_the_numbers_of_the_page_are_the_ledger_s(subject: Subject, data: dict[str, Any]) -> None:
    loaded = engine.load(subject.checkpoint, "cpu", {"sbd"})
    ids = prompt_ids(loaded.tokenizer, subject.prompt)
    assert [run["name"] for run in data["runs"]] == ["SBD", "AR"]
    for run in data["runs"]:
        out = sbd.generate(
            loaded.model, [ids], decoding=run["decoding"], max_new_tokens=24, gamma=4.0, block_size=8,
            eos_token_id=loaded.tokenizer.eos_token_id, pad_token_id=loaded.tokenizer.pad_token_id,
        )  # fmt: skip
        assert run["nfe"] == len(run["steps"]) == out.ledger.nfe_decode(0)
        assert run["tokens_per_forward"] == float(out.tokens_per_forward[0])
        assert "".join(run["tokens"]) == loaded.tokenizer.decode(out.tokens[0])
        shown = {one["place"]: one["text"] for step in run["steps"] for one in step["ranked"] if one["revealed"]}
        whole = [shown[place] for place in range(len(run["tokens"]))]
        assert whole == [loaded.tokenizer.decode([token]) for token in out.tokens[0].tolist()]
    sizes = [sum(one["revealed"] for one in step["ranked"]) for step in data["runs"][0]["steps"]]
    assert max(sizes) > 1, "gamma never revealed more than one token"


def test_the_page_needs_nothing_else_and_its_data_cannot_end_it(data: dict[str, Any]) -> None:
    text = page(data)
    assert not re.search(r"https?://|src=|@import|url\(", text) and "{{" not in text
    assert text.count("</script>") == 2 and "<b>" not in text and "A &lt;b&gt;title" in text
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert inside is not None and json.loads(inside[1]) == data


@pytest.fixture
def recorded(varied_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A record of the checkpoint, as the command line names it."""
    monkeypatch.setitem(BENCHMARKS, NAME, dataclasses.replace(benchmark(NAME), max_new_tokens=12))
    problem = problems_of(NAME, 1)[0]
    loaded = engine.load(varied_checkpoint, "cpu", {"sbd"})
    ids = prompt_ids(loaded.tokenizer, problem.prompt)
    out = sbd.generate(loaded.model, [ids], gamma=0.35, max_new_tokens=12, eos_token_id=loaded.tokenizer.eos_token_id)
    path = tmp_path / "records.jsonl"
    with ArmFile(path, Record, "r") as file:
        file.append(
            Record(
                run_id="r", scale="mini", model="llama-mini", weights_hash=weights_hash(varied_checkpoint),
                benchmark=NAME, item_id=problem.item_id, loss="sbd", sampling="SBD gamma_low",
                decoding="sbd", sampler="eb_entropy",
                gamma_nats=0.35, block_size=16, prompt_hash=problem.prompt_hash,
                generated_ids=out.tokens[0].tolist(), text="", stop_reason="length", correct=False, extracted=None,
                error=None, nfe={}, nfe_decode=out.ledger.nfe_decode(0), nfe_budget=None, seconds={}, batch_rows=1,
                seed=0,
            )
        )  # fmt: skip
    return f"{path}:{problem.item_id}"


def test_a_record_is_decoded_again_to_its_own_tokens(
    recorded: str, varied_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "trace.html"
    assert main([recorded, "--model", str(varied_checkpoint), "--out", str(out)]) == 0
    record = next(read(tmp_path / "records.jsonl", Record))
    said = capsys.readouterr()
    assert f"SBD {record.nfe_decode} forwards for {len(record.generated_ids)} tokens" in said.out and said.err == ""
    assert '"same_as_record": true' in out.read_text(encoding="utf-8")
    pack(tmp_path / "records.jsonl")
    assert main([recorded.replace(".jsonl:", ".jsonl.gz:"), "--model", str(varied_checkpoint), "--out", str(out)]) == 0
    assert '"same_as_record": true' in out.read_text(encoding="utf-8")
    assert main([recorded, "--model", str(varied_checkpoint), "--out", str(out), "--gamma", "9"]) == 0
    assert '"same_as_record": null' in out.read_text(encoding="utf-8"), "other settings have no record to compare with"


def test_bad_input_gets_one_line(
    recorded: str, other_checkpoint: Path, varied_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _, item = recorded.rpartition(":")
    wrong = {
        "has no item 'x'": [f"{path}:x"],
        "no file": ["nowhere.jsonl:a/0"],
        "the prompt is empty": [" "],
        "holds other weights": [recorded, "--model", str(other_checkpoint)],
        "sampler 'y' is unknown": ["hello", "--model", str(varied_checkpoint), "--sampler", "y"],
        "device 'z' cannot be used": ["hello", "--model", str(varied_checkpoint), "--device", "z"],
    }
    for words, command in wrong.items():
        assert main([*command, "--out", str(tmp_path / "no.html")]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and words in err and err.count("\n") == 1, err
    assert not (tmp_path / "no.html").exists()


def test_a_prompt_takes_what_the_command_line_says(varied_checkpoint: Path) -> None:
    subject = subject_of("a: b.jsonl c", Wish(model=varied_checkpoint, gamma=0.0, block_size=4, max_new_tokens=7))
    assert (subject.prompt, subject.gamma, subject.block_size, subject.max_new_tokens) == ("a: b.jsonl c", 0.0, 4, 7)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium whose console is kept."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "window-size=1200,1000", f"user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield started
    started.quit()


def test_a_browser_steps_through_the_page(browser: Any, data: dict[str, Any], tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def text(css: str) -> str:
        return str(browser.find_element(By.CSS_SELECTOR, css).get_attribute("textContent"))

    def count(css: str) -> int:
        return len(browser.find_elements(By.CSS_SELECTOR, css))

    path = tmp_path / "trace.html"
    path.write_text(page(data), encoding="utf-8")
    browser.get(path.as_uri())
    fast, slow = data["runs"]
    last = len(slow["steps"])
    slider = browser.find_element(By.ID, "step")
    assert text("#where") == f"0 of {last}" and count(".token") == 0 and count("#run-sbd-section .mask") == 8
    slider.send_keys(Keys.ARROW_RIGHT)
    first = fast["steps"][0]["ranked"]
    new = sum(one["revealed"] for one in first)
    assert text("#where") == f"1 of {last}" and slider.get_attribute("aria-valuetext") == f"forward 1 of {last}"
    assert count("#run-sbd-section .token.new") == new and count("#run-ar-section .token") == 1
    assert text("#said").startswith(f"SBD, block forward, 8 wide: revealed {new} token")
    assert count("#ranked tbody tr") == len(first) and count("#ranked tr.cut") == (new < len(first))
    assert "while the sum of the entropies before it (nats) is at most 4" in text("#rule")
    before = text("#run-sbd-section .text")
    browser.find_element(By.ID, "next").click()
    assert text("#where") == f"2 of {last}" and text("#run-sbd-section .text") != before
    browser.find_element(By.ID, "back").click()
    assert text("#run-sbd-section .text") == before
    slider.send_keys(Keys.END)
    shown = "".join(fast["tokens"]).replace("\n", "↵")
    tokens = browser.find_elements(By.CSS_SELECTOR, "#run-sbd-section .token:not(.past)")
    assert (
        "".join(token.get_attribute("textContent").replace("\u200b", "").replace("\n", "") for token in tokens) == shown
    )
    assert [int(token.get_attribute("data-step")) for token in tokens] == [
        next(number for number, step in enumerate(fast["steps"], 1)
             if any(one["place"] == place and one["revealed"] for one in step["ranked"]))
        for place in range(len(fast["tokens"]))
    ]  # fmt: skip
    assert count("#tokens tbody tr") == max(len(run["tokens"]) for run in data["runs"])
    assert not browser.find_element(By.ID, "next").is_enabled()
    browser.get(path.as_uri() + "#3")
    browser.refresh()
    assert text("#where") == f"3 of {last}"
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0

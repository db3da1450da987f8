"""`python -m harness.results`: every kind of tampering is found, and two arms compare as counted by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import layout, mini, tables
from harness.arms import ROWS, SAMPLINGS, run_id
from harness.results import ArmFile, Record, note
from harness.results.__main__ import main
from harness.stats import mcnemar

MODEL, NAMES, COUNT = "llama-mini", ("gsm8k-mini", "lcb-mini"), 5


def arm_folder(out: Path, loss: str, sampling: str) -> Path:
    return out / "results/mini" / MODEL / f"{loss}-{SAMPLINGS[sampling]}"


def make_records(out: Path, loss: str, sampling: str, name: str, wrong: int) -> None:
    """Write the records of an arm that misses its first `wrong` problems."""
    is_ar = sampling == "NTP"
    configuration = {
        "scale": "mini", "model": MODEL, "weights_hash": f"weights of {loss}", "benchmark": name, "loss": loss,
        "sampling": sampling, "decoding": "ar" if is_ar else "sbd", "sampler": None if is_ar else "eb_entropy",
        "gamma_nats": None if is_ar else 0.1, "block_size": None if is_ar else 16, "seed": 0,
    }  # fmt: skip
    identity = run_id(configuration)
    note(arm_folder(out, loss, sampling), {"run_id": identity, "configuration": configuration, "command": "made up"})
    with ArmFile(arm_folder(out, loss, sampling) / f"{name}.jsonl", Record, identity) as file:
        for index, problem in enumerate(mini.test_problems(name, COUNT)):
            text = "no idea" if index < wrong else problem.solution
            score, forwards = mini.score(problem, text), 6 if is_ar else 2 + index % 2
            nfe = {"prefill": 1, "ar": 5} if is_ar else {"prefill": 1, "fused": 1, "block": forwards - 1}
            file.append(
                Record(
                    **configuration, run_id=identity, item_id=problem.item_id, prompt_hash=problem.prompt_hash,
                    generated_ids=list(range(6)), text=text, stop_reason="eos", correct=score.correct,
                    extracted=score.extracted, error=score.error, nfe=nfe, nfe_decode=forwards, nfe_budget=None,
                    seconds={"prefill": 0.1, "decode": 0.2}, batch_rows=2, sandbox=score.sandbox,
                )
            )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of records of all arms and of their tables; read only."""
    out = tmp_path_factory.mktemp("made")
    for wrong, (loss, sampling) in enumerate(ROWS):
        for name in NAMES:
            make_records(out, loss, sampling, name, wrong)
    where = (out / "results", "mini", [MODEL], list(NAMES))
    records, timings = tables.load_records(*where), tables.load_timings(*where)
    layout.write(tables.table1(records, timings), tables.pooled(records, timings), out / "reports", "mini")
    return out


def verify(out: Path, *more: str) -> int:
    return main(["verify", "--out", str(out), *more])


def change(path: Path, what: Callable[[dict], dict], line: int = 4) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line] = json.dumps(what(json.loads(lines[line])))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_what_was_made_from_the_records_is_verified(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(made) == 0
    said = capsys.readouterr().out
    assert "No difference." in said and "table1_pooled.csv: " in said
    assert f"table1.csv: {15 * 2 * len(ROWS)} cells" in said
    assert f"{2 * len(ROWS) * COUNT} records scored again" in said and "table1.md" in said


TABLES = {
    "a cell": ("table1.csv", "100.0000", "99.0000", r"table1\.csv, line 2 .*accuracy_pct: committed 99"),
    "a pooled cell": ("table1_pooled.csv", "100.0000", "99.0000", r"table1_pooled\.csv, line 2 .*accuracy_pct"),
    "a line of Markdown": ("table1.md", "100.0", "99.0", r"table1\.md, line \d+: committed .*99\.0"),
    "a missing file": ("table1.tex", None, None, r"table1\.tex: committed nothing"),
    "a lost row": ("table1.csv", "\nllama-mini,SBD,SBD gamma_low", "\nx", r"table1\.csv, line \d+"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_the_records_do_not_give_is_found(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file, old, new, pattern = TABLES[name]
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "reports/mini" / file
    if old is None or new is None:
        path.unlink()
    else:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert verify(tmp_path, "--no-rescore") == 1
    said = capsys.readouterr().out
    assert re.search(pattern, said), said


RECORDS = {
    "a verdict": ({"correct": False}, True, "correct: committed False, from the records True"),
    "an extracted answer": ({"extracted": "7"}, False, "extracted: committed '7'"),
    "a text": ({"text": "#### 1"}, False, "correct: committed True, from the records False"),
    "its forwards": ({"nfe": {"prefill": 1, "ar": 9}}, True, "nfe_decode: committed 6, from the records 10"),
    "its prompt": ({"prompt_hash": "0" * 16}, True, "prompt: committed 0000000000000000"),
    "its setting": ({"seed": 1}, True, "seed: committed 1, from the records 0"),
    "its tokens": ({"generated_ids": [1]}, True, "tokens, one a forward: committed 1, from the records 6"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_changed_is_found(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    fields, without_scoring, words = RECORDS[name]
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "results/mini" / MODEL / "sbd-gamma_low")
    shutil.rmtree(tmp_path / "reports")
    change(arm_folder(tmp_path, "ntp", "NTP") / "gsm8k-mini.jsonl", lambda line: line | fields)
    for path in tmp_path.rglob("lcb-mini.jsonl"):
        path.unlink()
    assert verify(tmp_path) == 1
    said = capsys.readouterr().out
    assert f"ntp-ntp/gsm8k-mini.jsonl, Gsm8kMini/4, {words}" in said, said
    assert verify(tmp_path, "--no-rescore") == (1 if without_scoring and name != "a verdict" else 0)


def test_a_run_that_its_manifest_does_not_know_is_found(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    manifest = arm_folder(tmp_path, "ntp", "NTP") / "manifest.json"
    noted = json.loads(manifest.read_text(encoding="utf-8"))
    noted["runs"][0]["configuration"]["seed"] = 5
    manifest.write_text(json.dumps(noted), encoding="utf-8")
    assert verify(tmp_path, "--no-rescore") == 1
    assert "ntp-ntp/gsm8k-mini.jsonl, run id: committed" in capsys.readouterr().out
    manifest.unlink()
    assert verify(tmp_path, "--no-rescore") == 1
    assert "run in manifest.json: committed nothing" in capsys.readouterr().out


def test_show_sums_up_files_and_prints_one_record(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--out", str(made)]) == 0
    said = capsys.readouterr().out
    assert said.count(".jsonl") == 2 * len(ROWS)
    assert f"{MODEL}/sbd-gamma_low/lcb-mini.jsonl" in said and "40.0 [" in said
    assert main(["show", f"{MODEL}/sbd-gamma_low/gsm8k-mini", "--out", str(made)]) == 0
    said = capsys.readouterr().out
    assert "accuracy 40.0 [" in said and "made up" in said and "eb_entropy 0.1, block 16" in said
    assert main(["show", f"{MODEL}/sbd-gamma_low/gsm8k-mini", "--item", "Gsm8kMini/3", "--out", str(made)]) == 0
    said = capsys.readouterr().out
    problem = mini.test_problems("gsm8k-mini", 4)[3]
    assert problem.prompt in said and problem.solution in said and "nfe_decode: 3" in said


def test_diff_counts_as_by_hand(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["diff", f"{MODEL}/ntp-ntp", f"{MODEL}/sbd-gamma_low", "--out", str(made), "--items"]
    assert main(command) == 0
    said = capsys.readouterr().out
    p = mcnemar([1.0] * 10, [0.0] * 3 + [1.0] * 2 + [0.0] * 3 + [1.0] * 2).p_value
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith(("gsm8k", "lcb", "all"))}
    assert rows["all"][1:4] == ["10", "100.0", "40.0"] and rows["all"][4] == "-60.0"
    assert rows["all"][7:10] == ["6", "0", f"{p:.2g}"]
    assert rows["gsm8k-mini"][7:9] == ["3", "0"]
    assert f"{60 / 24:.2f}" in rows["all"], "NFE ratio: 10 problems of 6 forwards over 2, 3, 2, 3, 2 twice"
    assert said.count("only A solved it") == 6 and "gsm8k-mini, Gsm8kMini/0: only A" in said


def test_diff_exact_looks_past_times_only(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    path = arm_folder(tmp_path, "ntp", "NTP") / "gsm8k-mini.jsonl"
    change(path, lambda line: line | {"seconds": {"prefill": 9.0, "decode": 9.0}, "batch_rows": 7})
    command = ["diff", str(made / "results"), str(tmp_path / "results"), "--out", str(made), "--exact"]
    assert main(command) == 0
    assert "0 records are not the same" in capsys.readouterr().out
    change(path, lambda line: line | {"generated_ids": [5, 4, 3, 2, 1, 0]})
    assert main(command) == 1
    assert "not the same: mini/llama-mini/ntp-ntp/gsm8k-mini, Gsm8kMini/4" in capsys.readouterr().out


def test_packed_records_are_verified_shown_and_compared_as_before(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results/mini/verified").mkdir()
    study = tmp_path / "results/mini/verified/x.jsonl"
    study.write_text("{}\n", encoding="utf-8")
    assert main(["pack", "--out", str(tmp_path)]) == 0
    assert f"{2 * len(ROWS)} files packed" in capsys.readouterr().out
    packed = arm_folder(tmp_path, "sbd", "SBD gamma_low") / "lcb-mini.jsonl.gz"
    assert packed.is_file() and study.is_file()
    assert list((tmp_path / "results").rglob("*.jsonl")) == [study]
    assert verify(tmp_path) == 0
    assert main(["show", str(packed), "--out", str(tmp_path)]) == 0
    assert "accuracy 40.0 [" in capsys.readouterr().out
    assert main(["diff", str(made / "results"), str(tmp_path / "results"), "--out", str(made), "--exact"]) == 0
    assert main(["unpack", "--out", str(tmp_path)]) == 0
    assert f"{2 * len(ROWS)} files unpacked" in capsys.readouterr().out
    for path in (made / "results").rglob("*.jsonl"):
        assert (tmp_path / path.relative_to(made)).read_bytes() == path.read_bytes()


WRONG = {
    "no records": (["verify", "--out", "nowhere"], "no records in 'nowhere/results/mini'"),
    "no such file": (["show", "x", "--out", "OUT"], "'x' is no file or folder"),
    "no such item": (["show", f"{MODEL}/ntp-ntp/lcb-mini", "--item", "y", "--out", "OUT"], "has no item 'y'; it has 5"),
    "a file and a folder": (["diff", f"{MODEL}/ntp-ntp", f"{MODEL}/sbd-ntp/lcb-mini", "--out", "OUT"], "two files or"),
    "other problems": (["diff", *(f"{MODEL}/ntp-ntp/{name}" for name in NAMES), "--out", "OUT"], "share no problem"),
    "workers": (["verify", "--workers", "0", "--out", "OUT"], "--workers 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_gets_one_line(made: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    command, words = WRONG[name]
    assert main([str(made) if word == "OUT" else word for word in command]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and words in err and err.count("\n") == 1


def test_a_damaged_file_gets_one_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    path = arm_folder(tmp_path, "ntp", "NTP") / "gsm8k-mini.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"text"', '"txet"', 1), encoding="utf-8")
    assert verify(tmp_path) == 2
    assert "line 1 is damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_the_committed_tables_are_what_the_committed_records_give() -> None:
    root = Path(__file__).parents[2]
    if not (root / "results/mini").is_dir():
        pytest.skip("no committed records here")
    from harness.review.places import Places
    from harness.review.tables import verify_tables

    outcome = verify_tables(Places(out=root, scale="mini"))
    assert outcome.checked and not outcome.differences, outcome.differences[:5]

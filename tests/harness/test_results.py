"""Records on disk: round trip, resume after a cut, and one-line refusal of any other damage."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results import ArmFile, Record, note, read

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


def record(item_id: str = "a/0", run_id: str = "r", **changes: object) -> Record:
    fields = {
        "run_id": run_id, "scale": "mini", "model": "m", "weights_hash": "w", "benchmark": "b", "item_id": item_id,
        "loss": "sbd", "sampling": "NTP", "decoding": "ar", "sampler": None, "gamma_nats": None, "block_size": None,
        "prompt_hash": "p", "generated_ids": [1, 2], "text": "x", "stop_reason": "eos", "correct": True,
        "extracted": None, "error": None, "nfe": {"ar": 1, "prefill": 1}, "nfe_decode": 2, "nfe_budget": None,
        "seconds": {"prefill": 0.5, "decode": 1.0}, "batch_rows": 1, "seed": 0,
    }  # fmt: skip
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def write(path: Path, *records: Record) -> None:
    file = ArmFile(path, Record, "r")
    for entry in records:
        file.append(entry)


@given(text=WORDS, ids=st.lists(st.integers(0, 10**6)), gamma=st.none() | st.floats(0, 10), correct=st.booleans())
@settings(max_examples=50, deadline=None)
def test_what_is_read_is_what_was_written(text: str, ids: list[int], gamma: float | None, correct: bool) -> None:
    entry = record(text=text, extracted=text, generated_ids=ids, gamma_nats=gamma, correct=correct)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "x.jsonl"
        write(path, entry)
        assert list(read(path, Record)) == [entry]


@given(cut=st.data())
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(cut: st.DataObject) -> None:
    entries = [record(f"a/{index}", text="é\n") for index in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        write(path, *entries)
        whole = path.read_bytes()
        size = cut.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:size])
        kept = whole[:size].count(b"\n")
        if whole[:size].endswith(b"\n") or not size:
            file = ArmFile(path, Record, "r")
        else:
            with pytest.warns(UserWarning, match="cut off"):
                file = ArmFile(path, Record, "r")
        assert list(file.lines.values()) == entries[:kept]
        for entry in entries[kept:]:
            file.append(entry)
        assert path.read_bytes() == whole


def damage(line: bytes, how: str) -> bytes:
    fields = json.loads(line)
    changed = {
        "text": b"not json",
        "bytes": b"\xff\xfe",
        "list": b"[1]",
        "missing field": json.dumps({k: v for k, v in fields.items() if k != "correct"}).encode(),
        "unknown field": json.dumps(fields | {"odd": 1}).encode(),
        "type": json.dumps(fields | {"nfe_decode": "2"}).encode(),
    }
    return changed[how]


@pytest.mark.parametrize("how", ["text", "bytes", "list", "missing field", "unknown field", "type"])
def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_touched(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.jsonl"
    write(path, record("a/0"), record("a/1"), record("a/2"))
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], damage(lines[1], how), lines[2]]) + b"\n")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"x\.jsonl', line 2 is damaged .*; restore .*, or delete the line") as error:
        ArmFile(path, Record, "r")
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_an_item_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, record("a/0"))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ValueError, match="line 2 is damaged .*'a/0' stands in the file twice"):
        ArmFile(path, Record, "r")


def test_the_file_of_another_run_is_refused_before_anything_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, record("a/0"))
    path.write_bytes(path.read_bytes() + b'{"torn')
    before = path.read_bytes()
    refusal = pytest.raises(ValueError, match="holds records of run r, .* run s .*--out")
    with pytest.warns(UserWarning, match="cut off"), refusal:
        ArmFile(path, Record, "s")
    assert path.read_bytes() == before


def test_every_field_of_a_record_is_checked_for_its_type(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    fields = dataclasses.asdict(record())
    for name in fields:
        wrong = fields | {name: {"a": 1} if not isinstance(fields[name], dict) else "text"}
        path.write_text(json.dumps(wrong) + "\n", encoding="utf-8")
        with pytest.raises(ValueError, match=f"line 1 is damaged \\({name} is "):
            list(read(path, Record))


def test_manifest_keeps_earlier_entries_and_names_its_damage(tmp_path: Path) -> None:
    note(tmp_path / "arm", {"run_id": "a"})
    note(tmp_path / "arm", {"run_id": "b"})
    path = tmp_path / "arm" / "manifest.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"runs": [{"run_id": "a"}, {"run_id": "b"}]}
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="manifest.json' is damaged"):
        note(tmp_path / "arm", {"run_id": "c"})

"""Records on disk: round trip, resume after a cut, and one-line refusal of any other damage."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import json
import os
import signal
import socket
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results import ArmFile, Lock, Record, files_below, forget, note, pack, read, stored, strike, unpack

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


def test_entries_of_a_file_that_is_gone_are_struck(tmp_path: Path) -> None:
    strike(tmp_path, "a.jsonl")
    assert not list(tmp_path.iterdir())
    for entry in ({"file": "a.jsonl"}, {"file": "b.jsonl"}, {"run_id": "x"}):
        note(tmp_path, entry)
    strike(tmp_path, "a.jsonl")
    assert json.loads((tmp_path / "manifest.json").read_text())["runs"] == [{"file": "b.jsonl"}, {"run_id": "x"}]


def test_a_file_has_one_writer_and_the_second_is_told_who(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with ArmFile(path, Record, "r") as first:
        first.append(record("a/0"))
        second = ArmFile(path, Record, "r")
        with pytest.raises(ValueError) as refusal:
            second.append(record("a/1"))
        line = str(refusal.value)
        assert "x.jsonl' is being written by process " in line and "\n" not in line
        assert str(os.getpid()) in line and socket.gethostname() in line and "pytest" in line
        with pytest.raises(ValueError, match="is being written by"):
            forget(path)
    assert [kept.item_id for kept in read(path, Record)] == ["a/0"]
    second.append(record("a/1"))
    second.release()
    assert sorted(tmp_path.iterdir()) == [path]


def test_who_takes_over_sees_what_was_appended_before(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    early = ArmFile(path, Record, "r")
    write(path, record("a/0"))
    with early:
        assert "a/0" in early
        early.append(record("a/1"))
    with pytest.warns(UserWarning, match="cut off"):
        path.write_bytes(path.read_bytes() + b'{"torn')
        late = ArmFile(path, Record, "r")
    with late:
        late.append(record("a/2"))
    assert [kept.item_id for kept in read(path, Record)] == ["a/0", "a/1", "a/2"]


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    child = os.fork()
    if child == 0:
        held = Lock(path)
        held.take()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(tmp_path.glob("*.lock")), "the child never took it"
    with ArmFile(path, Record, "r") as file:
        file.append(record())
    assert not list(tmp_path.glob("*.lock"))


def test_a_file_that_something_else_changed_is_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with ArmFile(path, Record, "r") as file:
        file.append(record("a/0"))
        path.write_bytes(b"")
        with pytest.raises(ValueError, match="was changed by something else while it was written"):
            file.append(record("a/1"))
    assert path.read_bytes() == b""


@pytest.mark.parametrize("room", [0, 1, 200])
def test_a_line_for_which_there_is_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "x.jsonl"
    write_bytes, left = os.write, room

    def full(descriptor: int, data: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = write_bytes(descriptor, data[:left])
        left -= part
        return part

    with ArmFile(path, Record, "r") as file:
        file.append(record("a/0"))
        before = path.read_bytes()
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left") as error:
            patch.setattr(os, "write", full)
            file.append(record("a/1"))
        assert error.value.filename == str(path) and path.read_bytes() == before
        file.append(record("a/1"))
    assert [kept.item_id for kept in read(path, Record)] == ["a/0", "a/1"]


def test_forgetting_a_file_leaves_its_folder_clean(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", record())
    forget(tmp_path / "x.jsonl")
    forget(tmp_path / "x.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_packed_file_reads_as_before_and_is_unpacked_by_who_adds_to_it(tmp_path: Path) -> None:
    path, packed = tmp_path / "x.jsonl", tmp_path / "x.jsonl.gz"
    write(path, record("a/0", text="é\n"), record("a/1"))
    plain = path.read_bytes()
    assert pack(path) and not pack(path)
    assert sorted(tmp_path.iterdir()) == [packed]
    assert (stored(path), files_below(tmp_path)) == (packed, [path])
    assert gzip.decompress(packed.read_bytes()) == plain
    assert list(pd.read_json(packed, lines=True)["item_id"]) == ["a/0", "a/1"]
    file = ArmFile(path, Record, "r")
    assert "a/1" in file and packed.is_file()  # reading unpacks nothing
    with file:
        file.append(record("a/2"))
    assert sorted(tmp_path.iterdir()) == [path]
    assert [line.item_id for line in read(path, Record)] == ["a/0", "a/1", "a/2"]


def test_packing_gives_the_same_bytes_every_time(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, record("a/0"), record("a/1"))
    plain = path.read_bytes()
    pack(path)
    first = (tmp_path / "x.jsonl.gz").read_bytes()
    assert unpack(path) and not unpack(path)
    assert path.read_bytes() == plain
    pack(path)
    assert (tmp_path / "x.jsonl.gz").read_bytes() == first


def test_the_plain_file_counts_where_both_are_there(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write(path, record("a/0"))
    pack(path)
    packed = (tmp_path / "x.jsonl.gz").read_bytes()
    write(path, record("a/1"))  # unpacks, and appends
    (tmp_path / "x.jsonl.gz").write_bytes(packed)
    assert [line.item_id for line in read(path, Record)] == ["a/0", "a/1"]
    forget(path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_being_written_is_not_packed_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with ArmFile(path, Record, "r") as file:
        file.append(record("a/0"))
        with pytest.raises(ValueError, match="is being written by process"):
            pack(path)
    pack(path)
    packed = tmp_path / "x.jsonl.gz"
    whole = packed.read_bytes()
    for data in (whole[:-9], whole[:20] + b"\xff" * 8 + whole[28:], b"no gzip"):
        packed.write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.jsonl\.gz' is damaged"):
            list(read(path, Record))
    for act in (lambda: ArmFile(path, Record, "r"), lambda: unpack(path)):
        with pytest.raises(ValueError, match=r"x\.jsonl\.gz' is damaged"):
            act()

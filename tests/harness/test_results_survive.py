"""Real runs that are killed, starved of disk, locked out or interrupted: what is on disk stays whole, and goes on."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.results import Lock, Record, read
from tests.harness.runs import NAME, Runs

COUNT = 6
ASKED = ("--benchmarks", NAME, "--limit", str(COUNT), "--batch-size", "2")
ARMS = ("ntp-ntp", "sbd-ntp", "sbd-gamma_high", "sbd-gamma_low")
NOBODY = 65534


@pytest.fixture(scope="module")
def runs(tiny_weights: Path) -> Iterator[Runs]:
    started = Runs(tiny_weights)
    yield started
    started.close()


@pytest.fixture(scope="module")
def undisturbed(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Folder of an undisturbed run, read only, and the seconds it took."""
    out = tmp_path_factory.mktemp("undisturbed")
    runs.start(out, *ASKED, records_only=True)
    start = time.monotonic()
    code, said = runs.wait()
    assert code == 0, said
    return out, time.monotonic() - start


def files(out: Path) -> list[Path]:
    return [out / "results/mini/llama-mini" / arm / f"{NAME}.jsonl" for arm in ARMS]


def records(out: Path) -> list[list[Record]]:
    """Return the records of every file in order, but for times and the batch they shared."""
    return [
        [dataclasses.replace(line, seconds={}, batch_rows=0) for line in read(path, Record)] if path.is_file() else []
        for path in files(out)
    ]


def test_a_run_killed_at_twenty_random_moments_ends_with_the_records_of_an_undisturbed_one(
    runs: Runs, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    moments, sizes = random.Random(7), []
    for number in range(1, 21):  # at first soon, then later and later, so that slow and fast machines get somewhere
        moment = moments.uniform(0, seconds * number / 20)
        code, said = runs.killed(tmp_path, *ASKED, records_only=True, after=moment)
        assert code in (-signal.SIGKILL, 0), said
        sizes.append(sum(path.read_bytes().count(b"\n") for path in files(tmp_path) if path.is_file()))
    assert sizes == sorted(sizes), "a record was lost"
    assert any(0 < size < COUNT * len(ARMS) for size in sizes), "no kill came in the middle"
    code, said = runs.run(tmp_path, *ASKED, records_only=True)
    assert code == 0, said
    assert records(tmp_path) == records(whole)
    for path in files(tmp_path):
        noted = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))["runs"]
        assert {line.run_id for line in read(path, Record)} <= {entry["run_id"] for entry in noted}
        with Lock(path):
            pass  # a killed run may leave the lock's file, but nobody holds it


def test_the_same_command_gives_the_same_records_whatever_the_batch(
    runs: Runs, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole = records(undisturbed[0])
    assert [len(lines) for lines in whole] == [COUNT] * len(files(tmp_path))
    for size in ("2", "4"):
        code, said = runs.run(tmp_path / size, *ASKED[:-1], size, records_only=True)
        assert code == 0, said
        assert records(tmp_path / size) == whole


def test_ctrl_c_loses_nothing_that_was_finished(runs: Runs, undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    whole, seconds = undisturbed
    code, said = runs.killed(tmp_path, *ASKED, records_only=True, after=0.5 * seconds, by=signal.SIGINT)
    assert code == 130, said
    assert "Traceback" not in said and "the same command goes on from there" in said
    kept = records(tmp_path)
    assert all(lines == known[: len(lines)] for lines, known in zip(kept, records(whole), strict=True))
    assert not list(tmp_path.rglob("*.lock"))
    assert runs.run(tmp_path, *ASKED, records_only=True)[0] == 0
    assert records(tmp_path) == records(whole)


def test_a_full_disk_gets_one_line_and_the_run_goes_on_when_there_is_room(
    runs: Runs, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole = undisturbed[0]
    room = files(whole)[0].stat().st_size * 2 // 3
    code, said = runs.run(tmp_path, *ASKED, records_only=True, file_bytes=room)
    assert code == 2 and said.count("\n") == 1, said
    assert "jsonl': File too large; make room, then the same command goes on" in said
    path = files(tmp_path)[0]
    assert path.read_bytes().endswith(b"\n"), "a part of a line was left"
    assert 0 < len(list(read(path, Record))) < COUNT
    assert runs.run(tmp_path, *ASKED, records_only=True)[0] == 0
    assert records(tmp_path) == records(whole)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can read; pytest's own are private."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_folder_gets_one_line_but_its_records_can_be_used(
    runs: Runs, tiny_weights: Path, undisturbed: tuple[Path, float], open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_weights, open_folder / "weights")
    shutil.copytree(undisturbed[0] / "results", open_folder / "out" / "results")
    for path in [*(open_folder / "weights").rglob("*"), open_folder / "weights"]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in [*(open_folder / "out").rglob("*"), open_folder / "out"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(runs, "weights", open_folder / "weights")
    assert runs.run(open_folder / "out", *ASKED, records_only=True, uid=NOBODY) == (0, "")
    more = ("--benchmarks", NAME, "--limit", str(COUNT + 1))
    code, said = runs.run(open_folder / "out", *more, records_only=True, uid=NOBODY)
    assert code == 2 and said.count("\n") == 1 and "Permission denied" in said and "--out" in said, said
    assert records(open_folder / "out") == records(undisturbed[0])


def test_a_second_writer_is_told_who_holds_the_file(
    runs: Runs, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    pid = runs.start(tmp_path, *ASKED, records_only=True)
    path = files(tmp_path)[0]
    deadline = time.monotonic() + 60
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ValueError) as refusal:
        Lock(path).take()
    code, said = runs.wait()
    assert code == 0, said
    line = str(refusal.value)
    assert f"is being written by process {pid} on " in line and "runs.py" in line and "\n" not in line
    assert records(tmp_path) == records(undisturbed[0])

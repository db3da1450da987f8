"""Records on disk: one JSON line each, appended whole or not at all, resumed by key; knows nothing of models or tables.

A file belongs to one run id. A torn last line (a write that was cut off) is dropped with a notice; any other damage is
refused with the file, the line and the remedy.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Record:
    """What one arm did on one problem.

    `nfe` counts forwards by kind to the end of the solution, `nfe_decode` those that count as decoding (Eq. 17):
    SBD's block forwards without its prefill, AR's one a token. `nfe_budget` counts them to the whole budget of new
    tokens, where that was measured. `seconds` are the problem's equal share of its batch, by "prefill" and "decode".
    `error` says why an item or its score failed. `sandbox` is the tier in which the item's code ran; None where there
    was no code to run.
    """

    run_id: str
    scale: str
    model: str
    weights_hash: str
    benchmark: str
    item_id: str
    loss: str
    sampling: str
    decoding: str
    sampler: str | None
    gamma_nats: float | None
    block_size: int | None
    prompt_hash: str
    generated_ids: list[int]
    text: str
    stop_reason: str
    correct: bool
    extracted: str | None
    error: str | None
    nfe: dict[str, int]
    nfe_decode: int
    nfe_budget: int | None
    seconds: dict[str, float]
    batch_rows: int
    seed: int
    sandbox: str | None = None

    @property
    def key(self) -> str:
        """What is unique in a file of records."""
        return self.item_id


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one decoding of one problem at batch 1, one of several that took turns (see harness.wallclock)."""

    run_id: str
    scale: str
    model: str
    weights_hash: str
    benchmark: str
    item_id: str
    loss: str
    sampling: str
    gamma_nats: float | None
    repeat: int
    tokens: int
    nfe_decode: int
    prefill_seconds: float
    decode_seconds: float
    total_seconds: float

    @property
    def key(self) -> str:
        """What is unique in a file of timings."""
        return f"{self.item_id}/{self.sampling}/{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One multiple-choice item, answered by log-likelihood: each choice's sum in nats, and which of them is right.

    `correct` takes the greatest sum, `correct_normalised` the greatest sum a character of the choice (lm-eval's acc and
    acc_norm).
    """

    run_id: str
    scale: str
    model: str
    weights_hash: str
    loss: str
    task: str
    item_id: str
    label: int
    loglikelihoods: list[float]
    correct: bool
    correct_normalised: bool

    @property
    def key(self) -> str:
        """What is unique in a file of choices."""
        return self.item_id


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One timed run of harness.bench: what ran, under which setting, in which round, for how long.

    `arm` is what is compared with the others, `setting` what is varied, `seconds` the wall time of one run, `counts`
    what that run did: tokens, forwards, bytes, ...; which of them there are is for each benchmark to say.
    """

    run_id: str
    scale: str
    model: str
    bench: str
    arm: str
    setting: dict[str, int]
    round: int
    seconds: float
    counts: dict[str, float]

    @property
    def key(self) -> str:
        """What is unique in a file of measurements."""
        return measurement_key(self.arm, self.setting, self.round)


def measurement_key(arm: str, setting: dict[str, int], number: int) -> str:
    """Return the key of a measurement, made or still to make."""
    return "/".join([arm, ",".join(f"{name}={value}" for name, value in sorted(setting.items())), str(number)])


Line = TypeVar("Line", Record, Timing, Choice, Measurement)


class ArmFile(Generic[Line]):
    """An append-only JSONL file of one run id.

    Args:
        path: the file; it and its folder are made at the first append.
        kind: the class of its lines.
        run_id: whose lines these are.

    Raises:
        ValueError: where the file is damaged or holds lines of another run id.
    """

    def __init__(self, path: Path, kind: type[Line], run_id: str) -> None:
        self.path, self.run_id = path, run_id
        self.lines: dict[str, Line] = {}
        if not path.is_file():
            return
        for line in read(path, kind):
            if line.run_id != run_id:
                raise ValueError(
                    f"{str(path)!r} holds records of run {line.run_id}, this configuration is run {run_id} "
                    "(other weights or settings); choose another folder with --out, or start over with --fresh"
                )
            self.lines[line.key] = line
        drop_torn_line(path)

    def __contains__(self, key: str) -> bool:
        return key in self.lines

    def append(self, line: Line) -> None:
        """Write one line with a single system call, so that it is there whole or not at all.

        Raises:
            OSError: where the file cannot be written.
        """
        assert line.run_id == self.run_id and line.key not in self.lines
        fields = dataclasses.asdict(line)
        data = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
        if written != len(data):
            raise OSError(f"{str(self.path)!r}: only {written} of {len(data)} bytes were written; is the disk full?")
        self.lines[line.key] = line


def read(path: Path, kind: type[Line]) -> Iterator[Line]:
    """Yield the lines of a file in order, without a torn last one.

    Raises:
        ValueError: for a damaged line, or two lines of the same key.
    """
    *whole, rest = path.read_bytes().split(b"\n")
    if rest:
        warnings.warn(
            f"{str(path)!r}: the last line is cut off and is left out; its item can be run again", stacklevel=2
        )
    seen: set[str] = set()
    for number, raw in enumerate(whole, 1):
        try:
            line = _parse(raw, kind)
            if line.key in seen:
                raise ValueError(f"item {line.key!r} stands in the file twice")
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r}, line {number} is damaged ({error}); restore the file, or delete the line and run again"
            ) from None
        seen.add(line.key)
        yield line


def _parse(raw: bytes, kind: type[Line]) -> Line:
    """Build a record from its line, with the fields and JSON types of its class."""
    fields = json.loads(raw.decode())
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    names = {field.name: field for field in dataclasses.fields(kind)}
    if fields.keys() != names.keys():
        odd = sorted(fields.keys() ^ names.keys())
        raise ValueError(f"missing or unknown fields: {', '.join(odd)}")
    for name, value in fields.items():
        if not isinstance(value, _types(str(names[name].type))):
            raise ValueError(f"{name} is {value!r}, not {names[name].type}")
    return kind(**fields)


def _types(annotation: str) -> tuple[type, ...]:
    """Return the Python types that JSON gives for a field's annotation."""
    known = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "None": (type(None),)}
    result: tuple[type, ...] = ()
    for part in annotation.split(" | "):
        result += known.get(part) or ((list,) if part.startswith("list") else (dict,))
    return result


def drop_torn_line(path: Path) -> None:
    """Cut what follows the last line end off the file, so that the next append starts a line of its own."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(path, end)


def note(folder: Path, entry: dict[str, Any]) -> None:
    """Append an entry to the folder's manifest.json: what was run, on what.

    Raises:
        ValueError: where the manifest is there but damaged.
        OSError: where it cannot be written.
    """
    path = folder / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}); restore it, or delete it and run again") from None
    folder.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".json.part")
    scratch.write_text(json.dumps({"runs": [*entries, entry]}, indent=1) + "\n", encoding="utf-8")
    scratch.replace(path)

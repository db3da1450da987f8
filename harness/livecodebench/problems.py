"""LiveCodeBench's problems from its JSONL files: releases, single files, date windows; tests are decoded on demand.

The files are gigabytes of tests, so a Problem keeps only its place in its file. Private tests come as a pickle, read by
an unpickler that can make nothing but built-in values.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

HUB = "livecodebench/code_generation_lite"
FILES = tuple(f"test{number or ''}.jsonl" for number in (None, 2, 3, 4, 5, 6))
RELEASES: dict[str, int] = {
    "release_v1": 400, "release_v2": 511, "release_v3": 612, "release_v4": 713, "release_v5": 880, "release_v6": 1055,
}  # fmt: skip
"""Release -> how many problems it has; release_vN is the first N files together."""

MOST_BYTES = 1 << 30
"""Size that the tests of one problem may have when unpacked."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which problems to take.

    Args:
        version: "release_v6" (files 1 to 6), "release_latest", "v6" (the sixth file alone) or "v4_v6" (4 to 6).
        start, end: contest dates from and up to, at midnight as the official runner has it; None leaves a side open.
        size: how many problems that must be; None where it is not known.
    """

    version: str = "release_v6"
    start: datetime | None = None
    end: datetime | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ValueError(f"start {self.start:%Y-%m-%d} lies after end {self.end:%Y-%m-%d}")
        self.files()

    def files(self) -> tuple[str, ...]:
        """Return the names of the files that hold the version.

        Raises:
            ValueError: for an unknown version.
        """
        version = {"release_latest": "release_v6"}.get(self.version, self.version)
        if match := re.fullmatch(r"release_v([1-6])", version):
            return FILES[: int(match[1])]
        match = re.fullmatch(r"v([1-6])(?:_v([1-6]))?", version)
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise ValueError(
                f"no LiveCodeBench version {self.version!r}; known: {', '.join(RELEASES)}, release_latest, v1 to v6, "
                "and spans such as v4_v6"
            )
        return FILES[int(match[1]) - 1 : int(match[2] or match[1])]

    def __contains__(self, date: datetime) -> bool:
        return (self.start is None or self.start <= date) and (self.end is None or date <= self.end)


SELECTIONS: dict[str, Selection] = {
    **{name: Selection(version=name, size=size) for name, size in RELEASES.items()},
    "paper": Selection(version="release_v6", start=datetime(2024, 8, 1), end=datetime(2025, 5, 1), size=454),
}
"""Selections by name. "paper": the 454 problems behind the paper's LCB-V6, found from its numbers (see the errata)."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test: "stdin" (input and output are texts) or "functional" (JSON: an argument a line; the result)."""

    input: str
    output: str
    testtype: str

    __test__ = False  # Not one of pytest's.


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem without its tests; `tests` reads those from line `offset` (in bytes) of `path`."""

    question_id: str
    question_title: str
    question_content: str
    platform: str
    contest_id: str
    contest_date: datetime
    starter_code: str
    difficulty: str
    func_name: str | None
    path: Path
    offset: int

    def tests(self) -> list[Test]:
        """Return the public tests, then the private ones.

        Raises:
            ValueError: where they cannot be decoded, or there are none.
        """
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            raw = json.loads(stream.readline())
        cases = [*json.loads(raw["public_test_cases"]), *decode_private(raw["private_test_cases"])]
        if not cases:
            raise ValueError(f"{self.question_id} has no tests; get its file again from the hub's {HUB}")
        return [Test(**case) for case in cases]


class PlainUnpickler(pickle.Unpickler):
    """An unpickler for built-in values; everything that a harmful pickle needs goes through find_class."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse.

        Raises:
            pickle.UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}; only plain text is expected")


def decode_private(text: str) -> list[dict[str, str]]:
    """Decode private tests: JSON, or JSON in a pickle in zlib in base64.

    Raises:
        ValueError: for anything else.
    """
    try:
        return list(json.loads(text))
    except ValueError:
        pass
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
        if not unpacker.eof:
            raise ValueError(f"more than {MOST_BYTES} bytes, or cut off")
        plain = PlainUnpickler(io.BytesIO(data)).load()
        if not isinstance(plain, str):
            raise ValueError(f"a {type(plain).__name__} where text is expected")
        return list(json.loads(plain))
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, LookupError, AttributeError, TypeError) as error:
        raise ValueError(f"private tests cannot be decoded: {error}") from None


def load(selection: Selection, folder: Path | None = None) -> list[Problem]:
    """Return the selected problems by question id, as the official runner orders them.

    Args:
        selection: which ones. folder: where the JSONL files are; None takes them from the Hugging Face hub.

    Raises:
        ValueError: where files are missing or damaged, or there are not as many problems as there must be.
    """
    problems = [
        problem for name in selection.files() for problem in _read(_locate(name, folder), selection)
    ]  # fmt: skip
    if selection.size is not None and len(problems) != selection.size:
        raise ValueError(
            f"{len(problems)} problems where {selection.version} with this window has {selection.size}; "
            f"get the files again from the hub's {HUB}"
        )
    return sorted(problems, key=lambda problem: problem.question_id)


def _locate(name: str, folder: Path | None) -> Path:
    if folder is not None:
        if not (folder / name).is_file():
            raise ValueError(f"no {name} in {str(folder)!r}; copy it from the hub's {HUB}, or leave the folder out")
        return folder / name
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(HUB, name, repo_type="dataset"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name} of {HUB} is not to be had ({reason}); name a folder that holds it") from None


def _read(path: Path, selection: Selection) -> Iterator[Problem]:
    """Yield the problems of one file whose contest lies in the window."""
    offset = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            here, offset = offset, offset + len(line)
            if not line.strip():
                continue
            try:
                problem = _problem(json.loads(line), path, here)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{str(path)!r}, line {number} is no LiveCodeBench problem: {error!r}") from None
            if problem.contest_date in selection:
                yield problem


def _problem(raw: dict[str, Any], path: Path, offset: int) -> Problem:
    texts = (
        "question_id",
        "question_title",
        "question_content",
        "platform",
        "contest_id",
        "starter_code",
        "difficulty",
    )
    metadata = raw["metadata"]
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    return Problem(
        **{name: str(raw[name]) for name in texts}, contest_date=datetime.fromisoformat(raw["contest_date"]),
        func_name=metadata.get("func_name"), path=path, offset=offset,
    )  # fmt: skip

"""evalplus's data sets: their files, and where to find them."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evalplus.data.humaneval
import evalplus.data.mbpp


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One of evalplus's data sets.

    Args:
        name: evalplus's name. pattern: its data file. max_new_tokens: the paper's budget.
        override: tells evalplus to read another file. fetch: where evalplus itself keeps its file, after a download.
    """

    name: str
    pattern: str
    max_new_tokens: int
    override: Callable[[str], None]
    fetch: Callable[[], str]


def _override_humaneval(path: str) -> None:
    evalplus.data.humaneval.HUMANEVAL_OVERRIDE_PATH = path


def _override_mbpp(path: str) -> None:
    evalplus.data.mbpp.MBPP_OVERRIDE_PATH = path


DATASETS: dict[str, Dataset] = {
    "humaneval": Dataset(
        name="humaneval", pattern="humaneval/HumanEvalPlus*.jsonl*", max_new_tokens=1024, override=_override_humaneval,
        fetch=lambda: str(evalplus.data.humaneval._ready_human_eval_plus_path()),
    ),
    "mbpp": Dataset(
        name="mbpp", pattern="mbpp/MbppPlus*.jsonl*", max_new_tokens=256, override=_override_mbpp,
        fetch=lambda: str(evalplus.data.mbpp._ready_mbpp_plus_path()),
    ),
}  # fmt: skip


def load_problems(dataset: str, data: str | None) -> list[dict[str, Any]]:
    """Return the lines of evalplus's data file, from a file or folder, else as evalplus itself gets it.

    Args:
        dataset: a name of DATASETS. data: a JSONL file, or a folder laid out as humaneval/ and mbpp/; None looks at
            the environment's SBD_DATA_DIR, then lets evalplus use its cache or download.

    Raises:
        ValueError: where there is no such file, or it cannot be read or downloaded.
    """
    entry = DATASETS[dataset]
    place = data or os.environ.get("SBD_DATA_DIR")
    try:
        path = _find(Path(place), entry.pattern) if place else Path(entry.fetch())
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no {dataset} data ({error}); give evalplus's file with --data, name a folder with {entry.pattern} in "
            "SBD_DATA_DIR, or go online once so that evalplus can download it"
        ) from None


def _find(place: Path, pattern: str) -> Path:
    found = sorted(place.glob(pattern)) if place.is_dir() else [place]
    if not found:
        raise ValueError(f"nothing like {pattern} in {str(place)!r}")
    return found[-1]

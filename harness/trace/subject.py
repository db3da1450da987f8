"""What to trace: one record of a file, or any prompt; the checkpoint and settings that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.arms import BLOCK_SIZE, DTYPE, checkpoint_of, weights_hash
from harness.benchmarks import BENCHMARKS
from harness.mini import weights
from harness.results import Record, read, stored

MARK = ".jsonl:"
PACKED_MARK = ".jsonl.gz:"
"""What tells a record from a prompt: FILE.jsonl:ITEM, or the name of its packed form."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the command line says about decoding; None where it says nothing."""

    model: Path | None = None
    sampler: str | None = None
    gamma: float | None = None
    block_size: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One prompt with the checkpoint and the settings of its SBD decoding.

    Args:
        record: the record it comes from, or None for a prompt. stop: stop strings.
    """

    title: str
    prompt: str
    checkpoint: Path
    sampler: str
    gamma: float
    block_size: int
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    dtype: str = DTYPE
    record: Record | None = field(default=None, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of sbd.generate that its SBD decoding has and AR has no use for."""
        return {"sampler": self.sampler, "gamma": self.gamma, "block_size": self.block_size}


def subject_of(text: str, wish: Wish) -> Subject:
    """Return what a command line asks to trace.

    Raises:
        ValueError: for a record that is not there or whose weights are not, and a prompt without text.
    """
    path, mark, item = text.replace(PACKED_MARK, MARK).rpartition(MARK)
    if mark:
        return of_record(Path(path + MARK[:-1]), item, wish)
    if not text.strip():
        raise ValueError("the prompt is empty; give some text, or a record as FILE.jsonl:ITEM")
    return Subject(
        title="A prompt of your own", prompt=text, checkpoint=wish.model or weights("llama-mini", "sbd"),
        sampler=wish.sampler or "eb_entropy", gamma=0.1 if wish.gamma is None else wish.gamma,
        block_size=wish.block_size or BLOCK_SIZE, max_new_tokens=wish.max_new_tokens or 128,
    )  # fmt: skip


def of_record(path: Path, item: str, wish: Wish) -> Subject:
    """Return a record's prompt, checkpoint and settings; an AR record gets its benchmark's gamma_low for SBD.

    Raises:
        ValueError: for a file, item or benchmark that is not there, or a checkpoint with other weights.
    """
    if stored(path) is None:
        raise ValueError(f"no file {str(path)!r}; give a record as FILE.jsonl:ITEM, or a prompt without {MARK!r} in it")
    record = next((line for line in read(path, Record) if line.item_id == item), None)
    if record is None:
        raise ValueError(
            f"{str(path)!r} has no item {item!r}; `python -m harness.results show {path}` says what it has"
        )
    if record.benchmark not in BENCHMARKS:
        raise ValueError(f"benchmark {record.benchmark!r} has no problems here; give its prompt and --model instead")
    entry = BENCHMARKS[record.benchmark]
    problem = next((one for one in entry.problems(entry.size) if one.item_id == item), None)
    if problem is None or problem.prompt_hash != record.prompt_hash:
        raise ValueError(f"{item!r} has another prompt in {record.benchmark} now than in its record")
    folder = wish.model or checkpoint_of(record.model, record.loss, None)
    if weights_hash(folder) != record.weights_hash:
        raise ValueError(
            f"{str(folder)!r} holds other weights ({weights_hash(folder)}) than the record's ({record.weights_hash}); "
            "give the right ones with --model"
        )
    asked = any(value is not None for value in (wish.sampler, wish.gamma, wish.block_size, wish.max_new_tokens))
    gamma = entry.gamma_low if record.gamma_nats is None else record.gamma_nats
    return Subject(
        title=f"{item} of {record.benchmark}: {record.model}, {record.loss} / {record.sampling}",
        prompt=problem.prompt, checkpoint=folder, sampler=wish.sampler or record.sampler or "eb_entropy",
        gamma=gamma if wish.gamma is None else wish.gamma,
        block_size=wish.block_size or record.block_size or BLOCK_SIZE,
        max_new_tokens=wish.max_new_tokens or entry.max_new_tokens, stop=entry.stop, record=None if asked else record,
    )  # fmt: skip

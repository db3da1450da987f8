"""Two arms, or two runs of the same arms, on the problems that both have: accuracies, forwards and tokens, paired."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.render import Cell, Grid, to_text
from harness.results import Record
from harness.review.places import files_of, records_of
from harness.stats import bootstrap_ratio_of_means, mcnemar, paired_bootstrap_difference

POOLED = "all"


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The records of the problems that two files share, in the order of the first, and what only one of them has."""

    name: str
    first: list[Record]
    second: list[Record]
    alone: int

    @property
    def different(self) -> list[str]:
        """Items whose records differ in more than times, batches, and what names the arm."""
        return [a.item_id for a, b in zip(self.first, self.second, strict=True) if _essence(a) != _essence(b)]


def _essence(line: Record) -> dict[str, object]:
    """Return what an arm did on a problem, without when and in which company."""
    apart = ("seconds", "batch_rows", "run_id", "sampling", "loss", "model", "weights_hash", "gamma_nats", "sampler")
    return {name: value for name, value in vars(line).items() if name not in apart}


def pair(first: Path, second: Path) -> list[Pairing]:
    """Pair two files, or the files of two folders by their names.

    Raises:
        ValueError: where nothing pairs, files are damaged, or one item has different prompts.
    """
    if not first.is_dir() and not second.is_dir():
        return [_pair(first.stem, first, second)]
    if not first.is_dir() or not second.is_dir():
        raise ValueError(f"{str(first)!r} and {str(second)!r}: give two files or two folders")
    theirs = {path.relative_to(second): path for path in files_of(second, Record)}
    shared = [(path.relative_to(first), path) for path in files_of(first, Record) if path.relative_to(first) in theirs]
    if not shared:
        raise ValueError(f"{str(first)!r} and {str(second)!r} have no file of records of the same name")
    return [_pair(str(name.with_suffix("")), path, theirs[name]) for name, path in shared]


def _pair(name: str, first: Path, second: Path) -> Pairing:
    mine, theirs = ({line.item_id: line for line in records_of(path)} for path in (first, second))
    shared = [item for item in mine if item in theirs]
    for item in shared:
        if mine[item].prompt_hash != theirs[item].prompt_hash:
            raise ValueError(f"{item!r} has different prompts in {str(first)!r} and {str(second)!r}; compare others")
    if not shared:
        raise ValueError(f"{str(first)!r} and {str(second)!r} share no problem")
    return Pairing(
        name=name, first=[mine[item] for item in shared], second=[theirs[item] for item in shared],
        alone=len(mine) + len(theirs) - 2 * len(shared),
    )  # fmt: skip


def describe(pairings: Sequence[Pairing], first: str, second: str) -> str:
    """Return the comparison as a table: a row a file, and one for all together."""
    rows = [_row(pairing) for pairing in pairings]
    if len(pairings) > 1:
        whole = Pairing(
            name=POOLED, first=[line for p in pairings for line in p.first],
            second=[line for p in pairings for line in p.second], alone=sum(p.alone for p in pairings),
        )  # fmt: skip
        rows.append(_row(whole))
    header: list[Cell] = [
        ("records",), ("n",), ("A, %",), ("B, %",), ("B - A, points [95%]",), ("only A",), ("only B",),
        ("McNemar p",), ("A, t/f",), ("B, t/f",), ("NFE A / B [95%]",), ("same tokens",),
    ]  # fmt: skip
    notes = [
        "On the problems that both have: paired bootstrap over problems, exact McNemar test; t/f = tokens per forward, "
        "pooled; NFE over the items that both decoded.",
    ]
    alone = sum(pairing.alone for pairing in pairings)
    notes += [f"{alone} records of problems that only one side has are left out."] if alone else []
    return to_text(Grid(title=f"A: {first}\nB: {second}", header=header, rows=rows, notes=notes))


def _row(pairing: Pairing) -> list[Cell]:
    solved = [[float(line.correct) for line in lines] for lines in (pairing.first, pairing.second)]
    test, gain = mcnemar(*solved), paired_bootstrap_difference(solved[1], solved[0])
    decoded = [(a, b) for a, b in zip(pairing.first, pairing.second, strict=True) if a.nfe_decode and b.nfe_decode]
    ratio = "-"
    if decoded:
        forwards = bootstrap_ratio_of_means([a.nfe_decode for a, _ in decoded], [b.nfe_decode for _, b in decoded])
        ratio = f"{forwards.value:.2f} [{forwards.interval.low:.2f}, {forwards.interval.high:.2f}]"
    n = len(pairing.first)
    same = sum(a.generated_ids == b.generated_ids for a, b in zip(pairing.first, pairing.second, strict=True))
    interval = f"[{100 * gain.interval.low:+.1f}, {100 * gain.interval.high:+.1f}]"
    return [
        (pairing.name,), (str(n),), *((f"{100 * sum(side) / n:.1f}",) for side in solved),
        (f"{100 * gain.value:+.1f} {interval}",), (str(test.only_first),), (str(test.only_second),),
        (f"{test.p_value:.2g}",), (_speed([a for a, _ in decoded]),), (_speed([b for _, b in decoded]),), (ratio,),
        (f"{same} of {n}",),
    ]  # fmt: skip


def _speed(lines: Sequence[Record]) -> str:
    forwards = sum(line.nfe_decode for line in lines)
    return f"{sum(len(line.generated_ids) for line in lines) / forwards:.2f}" if forwards else "-"


def changes(pairings: Sequence[Pairing]) -> list[str]:
    """Return the items of each pairing whose outcome differs, as lines."""
    return [
        f"{pairing.name}, {a.item_id}: only {'A' if a.correct else 'B'} solved it"
        for pairing in pairings for a, b in zip(pairing.first, pairing.second, strict=True) if a.correct != b.correct
    ]  # fmt: skip


def as_one_run(pairing: Pairing) -> list[str]:
    """Return the items whose records are not the same but for times, arm and configuration included."""
    return [
        a.item_id for a, b in zip(pairing.first, pairing.second, strict=True)
        if dataclasses.replace(a, seconds={}, batch_rows=0) != dataclasses.replace(b, seconds={}, batch_rows=0)
    ]  # fmt: skip

"""Makes every committed table again from records, measurements and training logs, and compares cell by cell."""

from __future__ import annotations

import contextlib
import csv
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from harness import layout, sweeps, tables
from harness.arms import MODELS, checkpoint_of
from harness.benchmarks import BENCHMARKS
from harness.results import read_manifest, stored
from harness.review.places import Places
from harness.sweeps import AR, LENGTHS

TEXTS = (".csv", ".md", ".tex")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place where what is committed is not what the records give."""

    where: str
    committed: str
    again: str

    def __str__(self) -> str:
        return f"{self.where}: committed {self.committed or 'nothing'}, from the records {self.again or 'nothing'}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a check found: how much it looked at, what differs, and what it left out and why."""

    checked: list[str]
    differences: list[Difference]
    left_out: list[str]


def verify_tables(places: Places) -> Outcome:
    """Make each table of the reports folder again, and compare its files; one that cannot be made differs."""
    checked, differences, left_out = [], [], []
    for committed in sorted(places.reports.glob("*.csv")) if places.reports.is_dir() else []:
        if committed.stem == "table1_pooled":
            continue  # made and compared together with table1
        maker = _bench if committed.stem.startswith("bench-") else MAKERS.get(committed.stem)
        if maker is None:
            left_out.append(f"{committed.name}: not made from records")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                maker(places, committed, Path(scratch))
            except ValueError as error:
                differences.append(Difference(where=committed.name, committed="a table", again=f"an error: {error}"))
            for again in sorted(path for path in Path(scratch).rglob("*") if path.suffix in TEXTS):
                there = committed.with_name(again.name)
                found, size = compare(there, again)
                differences += found
                checked.append(f"{again.name}: {size}")
    if not checked:
        left_out.append(f"no tables in {str(places.reports)!r}")
    return Outcome(checked=checked, differences=differences, left_out=left_out)


def compare(committed: Path, again: Path) -> tuple[list[Difference], str]:
    """Compare two files of a table; CSV by cells, others by lines. Returns the differences and how much there was."""
    if not committed.is_file():
        return [Difference(where=committed.name, committed="", again="a file")], "missing"
    return _compare_cells(committed, again) if again.suffix == ".csv" else _compare_lines(committed, again)


def _compare_lines(committed: Path, again: Path) -> tuple[list[Difference], str]:
    theirs, mine = (path.read_text(encoding="utf-8").split("\n") for path in (committed, again))
    found = [
        Difference(where=f"{again.name}, line {number}", committed=old, again=new)
        for number, (old, new) in enumerate(zip_longest(theirs, mine, fillvalue=""), 1) if old != new
    ]  # fmt: skip
    return found, f"{len(mine)} lines"


def _compare_cells(committed: Path, again: Path) -> tuple[list[Difference], str]:
    (header, *mine), (old_header, *theirs) = _cells(again), _cells(committed)
    if header != old_header:
        return [Difference(where=f"{again.name}, header", committed=",".join(old_header), again=",".join(header))], ""
    found = []
    for number, (old, new) in enumerate(zip_longest(theirs, mine, fillvalue=[""] * len(header)), 2):
        words = [cell for cell in (new if any(new) else old) if cell and not _is_number(cell)]
        found += [
            Difference(where=f"{again.name}, line {number} ({', '.join(words)}), {name}", committed=a, again=b)
            for name, a, b in zip_longest(header, old, new, fillvalue="") if a != b
        ]  # fmt: skip
    return found, f"{len(mine) * len(header)} cells"


def _cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _known(frame: pd.DataFrame, column: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in set(frame[column])]


def _first(frame: pd.DataFrame) -> int | None:
    """Return how many problems of each benchmark a table took; None where its cells differ in that."""
    sizes = set(frame["n"].dropna().astype(int))
    return sizes.pop() if len(sizes) == 1 else None


def _table1(places: Places, committed: Path, scratch: Path) -> None:
    old = pd.read_csv(committed)
    models, names = _known(old, "base_model", list(MODELS)), _known(old, "benchmark", list(BENCHMARKS))
    where = (places.out / "results", places.scale, models, names)
    records, timings = tables.load_records(*where), tables.load_timings(*where)
    if (limit := _first(old)) is not None:
        chosen = {problem.item_id for name in names for problem in BENCHMARKS[name].problems(limit)}
        records = records[records["item_id"].isin(chosen)]
    layout.write(tables.table1(records, timings), tables.pooled(records, timings), scratch, places.scale)


def _table2(places: Places, committed: Path, scratch: Path) -> None:
    from harness import table2
    from harness.rooflines import write_table

    parts = [f"{loss}-likelihood/{task}.jsonl" for loss in table2.LOSSES for task in table2.TASKS]
    there = [name for name in MODELS if all(stored(places.records / name / part) for part in parts)]
    if not there:
        raise ValueError(f"no model has all of its records, {parts[0]} and so on, in {str(places.records)!r}")
    limit = int(pd.read_csv(committed).query("source == 'ours' and benchmark != @table2.ALL")["n"].max())
    frame = table2.cells(table2.load(places.out / "results", places.scale, there[0], limit))
    table = pd.concat([frame, table2.published()], ignore_index=True)
    write_table(scratch, "table2", table, table2.grid(table, f"{places.scale} scale, {there[0]}"))


def _figure1(places: Places, committed: Path, scratch: Path) -> None:
    from harness.figures import speedups

    old = pd.read_csv(committed).query("source == 'ours'")
    plans = [
        sweeps.join([
            sweeps.plan(model, "ntp", [speedups.BENCHMARK], [AR], None),
            sweeps.plan(model, "sbd", [speedups.BENCHMARK], speedups.SAMPLERS, None),
        ])
        for model in _known(old, "model", list(MODELS))
    ]  # fmt: skip
    frames = [sweeps.points(plan, places.out / "results", int(old["n"].max())) for plan in plans]
    _save(speedups.points(pd.concat(frames, ignore_index=True)), scratch / "figure1.csv")


def _figure3(places: Places, committed: Path, scratch: Path) -> None:
    from harness.figures import attention

    _save(attention.points(attention.all_panels()), scratch / "figure3.csv")


def _figure4(places: Places, committed: Path, scratch: Path) -> None:
    from harness.figures import losses

    logs = {}
    for run in losses.RUNS:
        with contextlib.suppress(ValueError):  # a checkpoint that is not there has no line
            logs[run] = checkpoint_of(next(iter(MODELS)), run, None) / "losses.jsonl"
    _save(losses.points(logs), scratch / "figure4.csv")


def _tradeoff(number: str) -> Callable[[Places, Path, Path], None]:
    """Return what makes the points of Figure 5, 12 or 13 again."""

    def make(places: Places, committed: Path, scratch: Path) -> None:
        from harness.figures import tradeoffs

        old = pd.read_csv(committed)
        names = [name for name in tradeoffs.PANELS if name in set(old["benchmark"])]
        samplers = [AR, *tradeoffs.FIGURES[number].samplers]
        sweep = sweeps.join([
            sweeps.plan(model, name, names, samplers, None, to_budget=True)
            for model in list(MODELS)[:1] for name in LENGTHS
        ])  # fmt: skip
        ours = old[old["source"] == "ours"]
        frame = sweeps.points(sweep, places.out / "results", int(ours["n"].max()) if len(ours) else None)
        kept = frame["sampler"].isin(["threshold", "topk"]) & (frame["checkpoint"] != "sbd")
        _save(tradeoffs.points(number, frame[~kept], names), scratch / f"figure{number}.csv")

    return make


def _bench(places: Places, committed: Path, scratch: Path) -> None:
    """Make a benchmark's CSV again, with the clock that was asked for: the one that gives it, else the wall's."""
    from harness.speed import report
    from harness.speed.measured import CLOCKS, Measured, identity_of, report_stem

    stem, suffix = re.fullmatch(r"(.+?)(-eq16)?", committed.stem).groups("")  # type: ignore[union-attr]
    path = next((one for one in (places.records / "bench").rglob("*.jsonl") if report_stem(one) == stem), None)
    entries = [run for run in read_manifest(path.parent) if run.get("file") == path.name] if path else []
    if path is None or not entries:
        raise ValueError(f"no records, or no manifest of theirs, in {str(places.records / 'bench')!r}")
    how = entries[-1]["configuration"]
    measured = Measured(
        bench=how["bench"], subject=identity_of(how["model"], how["weights"]), path=path, dtype=how["dtype"],
        hardware=how["hardware"], threads=how["threads"],
    )  # fmt: skip
    for clock in reversed(CLOCKS):
        for part in report.parts(measured, places.out / "results", clock):
            if part.suffix == suffix and compare(committed, report.write_cells(part, scratch, stem))[0] == []:
                return


def _save(points: pd.DataFrame, path: Path) -> None:
    points.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")


MAKERS: dict[str, Callable[[Places, Path, Path], None]] = {
    "table1": _table1,
    "table2": _table2,
    "figure1": _figure1,
    "figure3": _figure3,
    "figure4": _figure4,
    **{f"figure{number}": _tradeoff(number) for number in ("5", "12", "13")},
}
"""Name of a committed CSV -> what makes its files again: (places, the committed CSV, scratch folder)."""

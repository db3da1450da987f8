"""Where records lie, and of which kind they are; knows nothing of what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.results import Choice, Record, Timing, files_below, read, stored

ELSEWHERE = {"bench", "evalplus", "training", "verified"}
"""Folders whose lines are no records of an arm: measured speed, evalplus's own files, and the studies in scripts/."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders of one scale, as the other command lines lay them out: OUT/results/SCALE and OUT/reports/SCALE.

    Raises:
        ValueError: where there are no records.
    """

    out: Path
    scale: str

    def __post_init__(self) -> None:
        if not self.records.is_dir():
            raise ValueError(
                f"no records in {str(self.records)!r}; give the folder above results/ with --out, or another --scale"
            )

    @property
    def records(self) -> Path:
        """Folder of this scale's records."""
        return self.out / "results" / self.scale

    @property
    def reports(self) -> Path:
        """Folder of this scale's tables."""
        return self.out / "reports" / self.scale

    def resolve(self, name: str) -> Path:
        """Return the file or folder of a name: a path, or one below the records, with or without .jsonl or .jsonl.gz.

        Raises:
            ValueError: where there is neither.
        """
        plain = name.removesuffix(".gz")
        for path in (Path(plain), self.records / plain, self.records / f"{plain}.jsonl"):
            if path.is_dir() or stored(path):
                return path
        raise ValueError(f"{name!r} is no file or folder, here or in {str(self.records)!r}; `show` lists what is there")


def kind_of(path: Path) -> type[Record] | type[Timing] | type[Choice]:
    """Return what the lines of a file are, by its name."""
    if path.name.startswith("wallclock-"):
        return Timing
    return Choice if path.parent.name.endswith("-likelihood") else Record


def files_of(folder: Path, kind: type[Record] | type[Timing] | type[Choice]) -> list[Path]:
    """Return the files of one kind at or below a path, in order of their names."""
    found = files_below(folder) if folder.is_dir() else [folder]
    return [path for path in found if kind_of(path) is kind and not ELSEWHERE & set(path.parent.parts[-2:])]


def records_of(path: Path) -> list[Record]:
    """Return the records of one file, which must be of one run.

    Raises:
        ValueError: where the file is damaged, mixes runs, or holds other lines.
    """
    if stored(path) is None or kind_of(path) is not Record:
        raise ValueError(f"{str(path)!r} is no file of records; `show` lists those that are there")
    lines = list(read(path, Record))
    if len({line.run_id for line in lines}) > 1:
        raise ValueError(f"{str(path)!r} mixes the lines of several run ids; restore the file")
    return lines

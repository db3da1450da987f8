"""What a report is made from: CSV files, figures and manifests on disk, read and checked; knows no layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from harness.benchmarks import of_scale
from harness.report.catalogue import Item


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a report's inputs lie.

    Args:
        scale: such as "mini". results: folder of the records. reports: folder of tables and figures.

    Raises:
        ValueError: for an unknown scale, or where neither folder has anything of that scale.
    """

    scale: str
    results: Path
    reports: Path

    def __post_init__(self) -> None:
        of_scale(self.scale)
        if not (self.results / self.scale).is_dir() and not (self.reports / self.scale).is_dir():
            raise ValueError(
                f"neither {str(self.results / self.scale)!r} nor {str(self.reports / self.scale)!r} is there; run from "
                "the folder that holds results/ and reports/, or name them with --results and --reports"
            )

    def path(self, item: Item, suffix: str) -> Path:
        """Return where an item's file of this suffix lies."""
        return self.reports / f"{item.stem.format(scale=self.scale)}.{suffix}"

    def frame(self, item: Item, columns: tuple[str, ...]) -> pd.DataFrame | None:
        """Read an item's CSV; None where there is none.

        Raises:
            ValueError: where it is no CSV, is empty, or lacks one of the columns.
        """
        path = self.path(item, "csv")
        if not path.is_file():
            return None
        frame = read_csv(path)
        missing = [name for name in columns if name not in frame]
        if missing or frame.empty:
            what = f"lacks {', '.join(missing)}" if missing else "has no rows"
            raise ValueError(f"{str(path)!r} {what}; remake it with `{item.command(self.scale)}`")
        return frame

    @property
    def bench(self) -> list[Path]:
        """CSV files of the benchmark of speed."""
        return sorted((self.reports / self.scale).glob("bench*.csv"))

    @property
    def bench_figures(self) -> list[Path]:
        """Vector figures of the benchmark of speed."""
        return sorted((self.reports / self.scale).glob("bench*.pdf"))

    def manifests(self) -> list[dict[str, Any]]:
        """Return all runs that the manifests of this scale list, oldest first.

        Raises:
            ValueError: where a manifest is damaged.
        """
        runs: list[dict[str, Any]] = []
        for path in sorted((self.results / self.scale).rglob("manifest.json")):
            try:
                listed = json.loads(path.read_text(encoding="utf-8"))["runs"]
                runs += [run | {"folder": path.parent.relative_to(self.results).as_posix()} for run in listed]
            except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(f"{str(path)!r} is damaged ({error}); restore it, or make its records anew") from None
        return sorted(runs, key=lambda run: str(run.get("started", "")))


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file.

    Raises:
        ValueError: where it is none.
    """
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error}); remake or restore it") from None


def last_run(runs: list[dict[str, Any]]) -> datetime | None:
    """Return when the last of these runs started, the report's date; None without runs.

    Raises:
        ValueError: where a time is none.
    """
    stamps = [str(run["started"]) for run in runs if "started" in run]
    try:
        return max((datetime.strptime(s, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for s in stamps), default=None)
    except ValueError as error:
        raise ValueError(f"a manifest's time cannot be read ({error}); restore the manifest") from None

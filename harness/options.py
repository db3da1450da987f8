"""What the command line asks for, checked before anything runs; knows nothing of how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.arms import MODELS
from harness.benchmarks import BENCHMARKS, of_scale
from harness.rooflines import RooflineOptions

DEFAULT_LIMIT = 50
"""Problems of each benchmark that a first run does: Table 1 then takes some minutes on two cores."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for, checked.

    Raises:
        ValueError: naming the first option that cannot be served, and what can.
    """

    scale: str
    limit: int | None
    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    batch_size: int
    device: str
    weights: Path | None
    out: Path
    fresh: bool
    update_readme: bool
    command: str
    roofline: RooflineOptions

    def __post_init__(self) -> None:
        known = of_scale(self.scale)
        _check_names("--benchmarks", self.benchmarks, known)
        _check_names("--models", self.models, list(MODELS))
        largest = min(BENCHMARKS[name].size for name in self.benchmarks)
        if self.limit is not None and not 1 <= self.limit <= largest:
            raise ValueError(f"--limit {self.limit}: choose 1 to {largest} problems of each benchmark")
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: choose at least 1")
        if self.weights is not None and not self.weights.is_dir():
            raise ValueError(
                f"--weights {str(self.weights)!r}: no such folder; give one that holds MODEL/ntp and MODEL/sbd"
            )

    @property
    def results(self) -> Path:
        """Folder of the records."""
        return self.out / "results"

    @property
    def reports(self) -> Path:
        """Folder of the tables."""
        return self.out / "reports"


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{option} {name!r}: unknown; choose from {', '.join(known)}")

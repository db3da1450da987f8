"""The published numbers of arXiv 2509.04185v1 as data frames; knows nothing of our own results.

Tables hold the printed cells. Figures hold points read off the paper's vector graphics (accuracies to 0.02 points,
numbers of forwards to 0.5; the loss curves of Fig. 4 in bins of 2B tokens). No other module repeats a published number.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

NAMES = ("fig1", "fig4", "fig5", "fig12", "fig13", "table1", "table2", "table3", "table4")


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """How many problems a benchmark has, and where that is known from."""

    problems: int
    source: str

    def __post_init__(self) -> None:
        if self.problems < 1:
            raise ValueError(f"problems is {self.problems}; a benchmark has at least one problem")


SAMPLE_SIZES: dict[str, SampleSize] = {
    "MATH500": SampleSize(problems=500, source="Lightman et al. 2023 (arXiv 2305.20050): 500 test problems of MATH"),
    "AIME25": SampleSize(problems=30, source="AIME 2025, papers I and II with 15 problems each"),
    "LCB-V6": SampleSize(problems=454, source="Fig. 1: multiples of 1/454 (release v6 from 2024-08 to 2025-05)"),
    "GSM8K": SampleSize(problems=1319, source="Cobbe et al. 2021 (arXiv 2110.14168): the test split"),
    "HumanEval+": SampleSize(problems=164, source="Liu et al. 2023 (arXiv 2305.01210): the problems of HumanEval"),
    "MBPP": SampleSize(
        problems=500,
        source="Austin et al. 2021 (arXiv 2108.07732): test split, tasks 11 to 510; "
        "but the cells of Table 1 fit MBPP+ better (see harness.errata)",
    ),
    "MBPP+": SampleSize(problems=378, source="EvalPlus (arXiv 2305.01210): MBPP+ v0.2.0, for base and plus tests"),
}
"""Problems of each benchmark of Table 1, by the name it has there, and of MBPP+, which its MBPP cells fit better."""


def load(name: str) -> pd.DataFrame:
    """Read one published table or figure.

    Args:
        name: one of `NAMES`, such as "table1" or "fig12".

    Returns:
        One row a cell or point; columns carry their unit in the name (`accuracy_pct`, `gamma_nats`).

    Raises:
        ValueError: for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"no published data named {name!r}; known: {', '.join(NAMES)}")
    with (files(__name__) / f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def sample_size(benchmark: str) -> int:
    """Number of problems behind a benchmark's column of Table 1.

    Raises:
        ValueError: for a benchmark that Table 1 does not have.
    """
    if benchmark not in SAMPLE_SIZES:
        raise ValueError(f"no sample size for benchmark {benchmark!r}; known: {', '.join(SAMPLE_SIZES)}")
    return SAMPLE_SIZES[benchmark].problems

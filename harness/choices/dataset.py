"""What lm-eval calls to get a set's items, named in the task files."""

from __future__ import annotations

import dataclasses
from typing import Any

from datasets import Dataset

from harness.choices import items


def load(benchmark: str, **_: Any) -> dict[str, Dataset]:
    """Return the items of a benchmark's set as lm-eval's test split; lm-eval's metadata are not needed."""
    return {"test": Dataset.from_list([dataclasses.asdict(item) for item in items(benchmark)])}

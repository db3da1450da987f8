"""What stands beside a checkpoint: sbd_config.json, which says how the model was trained to decode in blocks.

Knows files and hub ids; knows nothing of models.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from sbd.noise import GRIDS

CONFIG_NAME = "sbd_config.json"
OBJECTIVES = ("ntp", "sbd", "sbd-no-ntp")


@dataclass(frozen=True, kw_only=True)
class SBDConfig:
    """What `sbd_config.json` beside a checkpoint says about its training.

    Args:
        mask_token_id: the mask token m; fed to the model, never emitted.
        block_size_min, block_size_max: range of k in training, in tokens.
        objective: one of OBJECTIVES.
        grid: where training counted blocks from, one of GRIDS; decoding always counts from the completion.
        version: of this file's format.
    """

    mask_token_id: int
    block_size_min: int = 2
    block_size_max: int = 16
    objective: str = "sbd"
    grid: str = "completion"
    version: int = 1

    def __post_init__(self) -> None:
        if self.mask_token_id < 0:
            raise ValueError(f"mask_token_id is {self.mask_token_id}; it must be a token id of the model")
        if not 1 <= self.block_size_min <= self.block_size_max:
            raise ValueError(f"block sizes {self.block_size_min}..{self.block_size_max} need 1 <= min <= max")
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective {self.objective!r} is unknown; choose one of {', '.join(OBJECTIVES)}")
        if self.grid not in GRIDS:
            raise ValueError(f"grid {self.grid!r} is unknown; choose one of {', '.join(GRIDS)}")
        if self.version != 1:
            raise ValueError(f"{CONFIG_NAME} has version {self.version}; this release reads version 1, so upgrade sbd")

    def save(self, folder: str | Path) -> None:
        """Write the file into a checkpoint folder."""
        (Path(folder) / CONFIG_NAME).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> SBDConfig:
        """Read it from a checkpoint folder or hub id.

        Raises:
            ValueError: there is no such file, or it does not hold these fields.
        """
        found = find_config(str(path))
        if found is None:
            raise ValueError(f"{str(path)!r} has no {CONFIG_NAME}; train it (python -m sbd.training) or use AR")
        try:
            return cls(**json.loads(Path(found).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{found} is damaged ({error}); write it again with SBDConfig.save") from error


def find_config(path: str) -> str | None:
    """Return the local path of a checkpoint's SBDConfig file, or None."""
    quiet: dict[str, Any] = {
        "_raise_exceptions_for_gated_repo": False, "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }  # fmt: skip
    if not path:
        return None
    if Path(path).is_dir():
        local = Path(path) / CONFIG_NAME
        return str(local) if local.is_file() else None
    return cached_file(path, CONFIG_NAME, **quiet)

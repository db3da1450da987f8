"""lm-eval's built-in task files with our data: a task file names one of them and overrides what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml


class BuiltIn(ConfigurableTask):
    """A task whose file has `class: !function harness.tasks.builtin.BuiltIn` and `builtin: folder/file.yaml`.

    lm-eval's own `include` takes no path into another package; this does, wherever lm-eval is installed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        own = {key: value for key, value in config.items() if key not in ("class", "builtin")}
        theirs = load_yaml(Path(lm_eval.tasks.__file__).parent / config["builtin"])
        super().__init__(config=theirs | own)

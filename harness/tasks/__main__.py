"""Prints the folder of the task files, for lm-eval's --include_path."""

from __future__ import annotations

from harness.tasks import TASKS

print(TASKS)

"""The paper's benchmarks as lm-eval task files (names `paper_*`); docs/benchmarks.md is their table.

`lm_eval --include_path "$(python -m harness.tasks)" --tasks paper_gsm8k ...` finds them; `python -m
harness.lm_eval_model` looks here by itself.
"""

from __future__ import annotations

from pathlib import Path

TASKS = Path(__file__).parent
"""Folder of the task files."""

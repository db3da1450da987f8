"""LiveCodeBench's code generation: loading, prompts, extraction, grading in the sandbox, pass@k.

What differs from the official runner is in docs/livecodebench.md.
"""

from __future__ import annotations

from harness.livecodebench.grading import extract_code, grade, grade_many
from harness.livecodebench.problems import RELEASES, SELECTIONS, Problem, Selection, load
from harness.livecodebench.prompts import base_prompt, chat_messages
from harness.livecodebench.summary import pass_at_k, summarise

__all__ = [
    "RELEASES",
    "SELECTIONS",
    "Problem",
    "Selection",
    "base_prompt",
    "chat_messages",
    "extract_code",
    "grade",
    "grade_many",
    "load",
    "pass_at_k",
    "summarise",
]

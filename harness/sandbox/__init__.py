"""Runs model-written code where it can do no harm, and returns what it produced; compares and judges nothing.

    outcome = run(Job(source="print(int(input()) + 1)", inputs=["41\\n"]))
    outcome.values, outcome.error, outcome.tier   # ["42\\n"], None, "bubblewrap"

Three tiers of protection; docs/sandbox.md says what each holds off.
"""

from __future__ import annotations

from harness.sandbox.job import Job, Limits, Outcome
from harness.sandbox.run import run, run_many
from harness.sandbox.tiers import TIERS, choose, why_not

__all__ = ["TIERS", "Job", "Limits", "Outcome", "choose", "run", "run_many", "why_not"]

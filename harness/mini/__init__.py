"""The mini suite: six procedurally generated benchmarks and their training corpora for models of about a million parameters."""

from __future__ import annotations

from harness.mini.corpus import pretrain_texts, sft_examples, test_problems
from harness.mini.problem import BENCHMARKS, Problem

__all__ = ["BENCHMARKS", "Problem", "pretrain_texts", "sft_examples", "test_problems"]

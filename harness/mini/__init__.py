"""The mini suite: six generated benchmarks and their training corpora for models of about a million parameters."""

from __future__ import annotations

from harness.mini.checkpoints import weights
from harness.mini.corpus import pretrain_texts, sft_examples, test_problems
from harness.mini.problem import BENCHMARKS, Problem
from harness.mini.scoring import Score, score, score_many

__all__ = [
    "BENCHMARKS",
    "Problem",
    "Score",
    "pretrain_texts",
    "score",
    "score_many",
    "sft_examples",
    "test_problems",
    "weights",
]

"""LiveCodeBench's scores: pass@1 and unbiased pass@k, over all problems, by difficulty and by platform."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from harness.livecodebench.problems import Problem
from harness.stats import wilson


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Estimate without bias the chance that one of k samples is right: 1 - C(n-c, k) / C(n, k).

    Args:
        samples: n, how many were drawn. correct: c, how many of them are right. k: at most n.

    Raises:
        ValueError: where these numbers do not fit together.

    Source: Chen et al. 2021 (arXiv 2107.03374), Eq. 1.
    """
    if not (0 <= correct <= samples and 1 <= k <= samples):
        raise ValueError(
            f"pass@{k} of {samples} samples, {correct} correct: need 0 <= correct <= samples, 1 <= k <= samples"
        )
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def summarise(
    problems: Sequence[Problem], results: Mapping[str, Sequence[bool]], ks: Sequence[int] = (1,)
) -> pd.DataFrame:  # fmt: skip
    """Return one row for all problems, one for each difficulty and one for each platform.

    Args:
        problems: those that were run. results: question id -> whether each of its samples is right. ks: for pass@k.

    Returns:
        Columns group, value, problems, pass@k for each k; low and high, the 95% Wilson interval of pass@1, where each
        problem has one sample.

    Raises:
        ValueError: where a problem has no result, or fewer samples than k.
    """
    missing = [problem.question_id for problem in problems if problem.question_id not in results]
    if missing or not problems:
        raise ValueError(f"no results for {len(missing)} problems, such as {missing[:3]}" if missing else "no problems")
    groups = [("all", "all", list(problems))]
    for field in ("difficulty", "platform"):
        values = sorted({str(getattr(problem, field)) for problem in problems})
        groups += [(field, value, [p for p in problems if getattr(p, field) == value]) for value in values]
    return pd.DataFrame(
        [_row(group, value, [results[p.question_id] for p in chosen], ks) for group, value, chosen in groups]
    )


def _row(group: str, value: str, samples: Sequence[Sequence[bool]], ks: Sequence[int]) -> dict[str, object]:
    row: dict[str, object] = {"group": group, "value": value, "problems": len(samples)}
    for k in ks:
        row[f"pass@{k}"] = sum(pass_at_k(len(one), sum(one), k) for one in samples) / len(samples)
    if all(len(one) == 1 for one in samples):
        interval = wilson(sum(sum(one) for one in samples), len(samples))
        row |= {"low": interval.low, "high": interval.high}
    return row

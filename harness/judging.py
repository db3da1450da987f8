"""Scores a batch of answers so that one bad item costs only itself; knows nothing of what a scorer does.

A scorer that raises on a batch is asked again item by item; one that does not come back is left behind. Either way the
item gets a score that says so, and the run goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from harness.benchmarks import Scorer
from harness.mini import Problem, Score

SECONDS = 120.0
"""Longest that one item's scoring may take; the sandbox and Math-Verify have shorter limits of their own."""


def judge(score: Scorer, pairs: Sequence[tuple[Problem, str]], seconds: float | None = None) -> list[Score]:
    """Return a score for each (problem, completion), whatever the scorer does.

    Args:
        score: a benchmark's scorer. pairs: what to score.
        seconds: limit of one item, SECONDS by default; a batch has as many times that.

    Raises:
        OSError, MemoryError: from the scorer, since the machine's trouble is no property of an answer.
    """
    limit = SECONDS if seconds is None else seconds
    try:
        return _within(score, pairs, limit * len(pairs))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if len(pairs) > 1:
            return [one for pair in pairs for one in judge(score, [pair], limit)]
        reason = " ".join(str(error).split())[:200]
        return [Score(correct=False, extracted=None, error=f"scoring failed: {type(error).__name__}: {reason}")]


class ScorerHangs(Exception):
    """The scorer did not come back in time."""


def _within(score: Scorer, pairs: Sequence[tuple[Problem, str]], seconds: float) -> list[Score]:
    """Call the scorer in a thread of its own, which nobody waits for once its time is over."""
    done: list[Sequence[Score]] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(score(pairs))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True, name="scorer")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise ScorerHangs(f"no answer within {seconds:g} s")
    if failed:
        raise failed[0]
    if len(done[0]) != len(pairs):
        raise ValueError(f"{len(done[0])} scores for {len(pairs)} answers")
    return list(done[0])

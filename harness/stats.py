"""Intervals and paired tests for accuracies and speedups, from scipy and statsmodels; knows nothing of records.

Every function is pure: the bootstraps take a seed and draw problems with replacement, both arms of a problem together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, bootstrap, quantile_test
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar  # type: ignore[import-untyped]
from statsmodels.stats.proportion import (  # type: ignore[import-untyped]
    confint_proportions_2indep,
    power_proportions_2indep,
    proportion_confint,
)
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired  # type: ignore[import-untyped]

Floats = NDArray[np.float64]
_BATCH = 256  # resamples held in memory at once


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the estimate it belongs to."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A value and its confidence interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class McNemar:
    """Outcome of McNemar's test: problems that only one of the two arms solved, and the two-sided exact p-value."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests: is the difference (first minus second) inside (-margin, margin)?

    `interval` has confidence 1 - 2 alpha; it lies inside the margins where `equivalent` is true.
    """

    difference: float
    interval: Interval
    margin: float
    p_value: float
    equivalent: bool


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial proportion.

    Args:
        successes: problems solved, 0 to n.
        n: problems tried, at least 1.
        level: confidence, between 0 and 1.

    Raises:
        ValueError: for counts or a level outside these ranges.

    Source: Wilson 1927; Newcombe 1998, method 3.
    """
    _check_counts(successes, n)
    _check_level(level)
    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return Interval(max(0.0, float(low)), min(1.0, float(high)))


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact McNemar test of two arms on the same problems: binomial on the discordant ones.

    Args:
        first, second: solved or not, one entry a problem, in the same order.

    Raises:
        ValueError: where the arms differ in length, are empty, or hold anything but 0 and 1.

    Source: McNemar 1947; exact p-value of the binomial distribution.
    """
    a, b = _outcomes(first, second)
    table = [[int(np.sum((a == x) & (b == y))) for y in (1, 0)] for x in (1, 0)]
    return McNemar(table[0][1], table[1][0], float(_mcnemar(table, exact=True).pvalue))


def paired_bootstrap_difference(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Estimate:
    """Mean of first minus second over the same problems, with a percentile bootstrap interval.

    Args:
        first, second: any per-problem quantity (solved or not, forwards, seconds), in the same order.
        level: confidence. resamples: bootstrap draws. seed: of the draws.

    Raises:
        ValueError: where the arms differ in length, are empty, or are not finite.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    a, b = _pair(first, second)
    return _bootstrap((a - b,), lambda d, axis=-1: d.mean(axis=axis), level, resamples, seed)


def bootstrap_ratio_of_means(
    numerator: ArrayLike, denominator: ArrayLike, *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Estimate:
    """Pooled ratio mean(numerator) / mean(denominator) = sum / sum over the same problems, with its bootstrap interval.

    With tokens over forwards it is the pooled tokens per forward, with the forwards of two arms their NFE ratio.

    Args:
        numerator, denominator: one entry a problem, in the same order; the denominator is positive.
        level: confidence. resamples: bootstrap draws. seed: of the draws.

    Raises:
        ValueError: where the lengths differ, are empty, not finite, or a denominator is not positive.
    """
    a, b = _ratio_pair(numerator, denominator)
    return _bootstrap((a, b), lambda x, y, axis=-1: x.mean(axis=axis) / y.mean(axis=axis), level, resamples, seed)


def bootstrap_mean_of_ratios(
    numerator: ArrayLike, denominator: ArrayLike, *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Estimate:
    """Per-problem mean of numerator / denominator with its interval; arguments as in `bootstrap_ratio_of_means`."""
    a, b = _ratio_pair(numerator, denominator)
    return _bootstrap((a / b,), lambda r, axis=-1: r.mean(axis=axis), level, resamples, seed)


def tost(first: ArrayLike, second: ArrayLike, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Equivalence of two arms on the same problems: paired TOST on the per-problem differences.

    Where all problems come out alike in both arms the t statistic has no spread; then the p-value is the exact
    probability of seeing no discordant problem if a share `margin` of them were, and the interval follows from that.

    Args:
        first, second: solved or not, one entry a problem, in the same order.
        margin: largest difference that counts as none, as a fraction (0.02 = two points).
        alpha: level of each one-sided test.

    Raises:
        ValueError: for unequal lengths, entries other than 0 and 1, or a margin or alpha outside (0, 1).

    Source: Schuirmann 1987.
    """
    a, b = _outcomes(first, second)
    _check_share("margin", margin)
    _check_share("alpha", alpha)
    if np.array_equal(a, b):
        p_value = float(binomtest(0, len(a), margin, alternative="less").pvalue)
        bound = float(binomtest(0, len(a), margin, alternative="less").proportion_ci(1 - alpha).high)
        return Equivalence(0.0, Interval(-bound, bound), margin, p_value, p_value < alpha)
    if len(set((a - b).tolist())) == 1:  # every problem tells the arms apart the same way
        difference = float(a[0] - b[0])
        return Equivalence(difference, Interval(difference, difference), margin, 1.0, False)
    p_value = float(ttost_paired(a, b, -margin, margin)[0])
    low, high = DescrStatsW(a - b).tconfint_mean(alpha=2 * alpha)
    return Equivalence(float((a - b).mean()), Interval(float(low), float(high)), margin, p_value, p_value < alpha)


def median(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Median of repeated measurements with its exact order-statistic interval.

    With few values no two of them bound the median at this level (six are the least for 95%); then the interval is the
    whole range, whose true level is 1 - 2^(1 - n).

    Args:
        values: at least one, all finite. level: confidence.

    Raises:
        ValueError: for no values, values that are not finite, or a level outside (0, 1).

    Source: Conover 1999, section 3.2 (scipy's quantile_test).
    """
    x = np.asarray(values, dtype=np.float64)
    _check_level(level)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"the median of {x.tolist()} has no meaning; give one finite value or more")
    bounds = quantile_test(x, q=float(np.median(x)), p=0.5).confidence_interval(level)
    low, high = float(bounds.low), float(bounds.high)
    if not np.isfinite([low, high]).all():
        low, high = float(x.min()), float(x.max())
    return Estimate(float(np.median(x)), Interval(low, high))


def difference_interval(successes: Sequence[int], n: Sequence[int], *, level: float = 0.95) -> Interval:
    """Interval of first minus second proportion where only counts are known and the arms are taken as independent.

    Args:
        successes, n: solved and tried, first arm then second.
        level: confidence; 0.9 gives the bounds of two one-sided tests at 5%.

    Raises:
        ValueError: for impossible counts or level.

    Source: Newcombe 1998, Statistics in Medicine 17:873-890, method 10.
    """
    for solved, tried in zip(successes, n, strict=True):
        _check_counts(solved, tried)
    _check_level(level)
    low, high = confint_proportions_2indep(
        successes[0], n[0], successes[1], n[1], method="newcomb", compare="diff", alpha=1 - level
    )
    return Interval(float(low), float(high))


def detectable_drop(proportion: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest drop below `proportion` that two independent runs of n problems show with this power (two-sided z test).

    Args:
        proportion: the first arm's true accuracy, inside (0, 1).
        n: problems of each arm. power: chance to see the drop. alpha: level of the test.

    Returns:
        The drop as a fraction; nan where even a drop to zero would be missed.

    Raises:
        ValueError: for shares outside (0, 1) or n below 2.
    """
    for name, share in (("proportion", proportion), ("power", power), ("alpha", alpha)):
        _check_share(name, share)
    if n < 2:
        raise ValueError(f"n is {n}; a detectable difference needs at least 2 problems")

    def surplus(drop: float) -> float:
        """Power at this drop, less the power asked for."""
        return float(power_proportions_2indep(-drop, proportion, n, alpha=alpha, return_results=False)) - power

    largest = proportion * (1 - 1e-9)
    return float(brentq(surplus, 1e-9, largest)) if surplus(largest) > 0 else float("nan")


def _bootstrap(
    data: tuple[Floats, ...], statistic: Callable[..., Floats], level: float, resamples: int, seed: int
) -> Estimate:
    """Percentile bootstrap over problems, entries of `data` kept together."""
    _check_level(level)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; a bootstrap needs at least 1, usually some thousands")
    value = float(statistic(*data))
    if len(data[0]) == 1:
        return Estimate(value, Interval(float("nan"), float("nan")))
    result = bootstrap(
        data, statistic, n_resamples=resamples, batch=_BATCH, vectorized=True, paired=True, confidence_level=level,
        method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Estimate(value, Interval(float(result.confidence_interval.low), float(result.confidence_interval.high)))


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Two equally long, finite vectors."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"paired arms have shapes {a.shape} and {b.shape}; give one entry a problem, in both")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("paired arms hold values that are not finite; leave out the problems that only one arm has")
    return a, b


def _outcomes(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    """Two equally long vectors of 0 and 1."""
    a, b = _pair(first, second)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("outcomes hold values other than 0 and 1; give solved or not for each problem")
    return a, b


def _ratio_pair(numerator: ArrayLike, denominator: ArrayLike) -> tuple[Floats, Floats]:
    """Two equally long, finite vectors, the second positive."""
    a, b = _pair(numerator, denominator)
    if (b <= 0).any():
        raise ValueError(f"the denominator holds {b.min():g}; ratios need positive ones")
    return a, b


def _check_counts(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; need 0 <= successes <= n and n >= 1")


def _check_level(level: float) -> None:
    _check_share("level", level)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; it must lie between 0 and 1, both excluded")

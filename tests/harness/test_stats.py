"""The statistics against published worked examples, scipy's own tests and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_rel

from harness import stats


@pytest.mark.parametrize(
    ("solved", "tried", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_worked_examples(solved: int, tried: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3."""
    interval = stats.wilson(solved, tried)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 400), st.data(), st.floats(0.5, 0.999))
def test_wilson_equals_scipys(n: int, data: st.DataObject, level: float) -> None:
    solved = data.draw(st.integers(0, n))
    ours, theirs = stats.wilson(solved, n, level), binomtest(solved, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [((56, 48), (70, 80), 0.0524, 0.3339), ((9, 3), (10, 10), 0.1705, 0.8090), ((10, 0), (10, 20), 0.6791, 1.0)],
)
def test_difference_interval_gives_newcombes_worked_examples(
    successes: tuple[int, int], n: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10."""
    interval = stats.difference_interval(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def arms(only_first: int, only_second: int, both: int, neither: int) -> tuple[list[int], list[int]]:
    first = [1] * only_first + [0] * only_second + [1] * both + [0] * neither
    second = [0] * only_first + [1] * only_second + [1] * both + [0] * neither
    return first, second


def test_mcnemar_by_hand() -> None:
    """10 against 2 discordant: 2 * (1 + 12 + 66) / 2**12."""
    result = stats.mcnemar(*arms(10, 2, 30, 8))
    assert (result.only_first, result.only_second) == (10, 2)
    assert result.p_value == pytest.approx(158 / 4096)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30))
def test_mcnemar_is_the_sign_test_of_the_discordant(b: int, c: int, both: int) -> None:
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert stats.mcnemar(*arms(b, c, both, 0)).p_value == pytest.approx(expected)


def test_bootstrap_difference_agrees_with_the_t_interval_on_many_problems() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.random(2000) < 0.8, rng.random(2000) < 0.77
    ours = stats.paired_bootstrap_difference(first, second)
    theirs = ttest_rel(first.astype(float), second.astype(float)).confidence_interval()
    assert ours.value == pytest.approx(first.mean() - second.mean())
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.0015)
    assert ours == stats.paired_bootstrap_difference(first, second), "same seed, same interval"
    assert ours != stats.paired_bootstrap_difference(first, second, seed=1)


def test_ratio_of_means_agrees_with_the_delta_method_and_keeps_the_pairing() -> None:
    rng = np.random.default_rng(3)
    forwards = rng.uniform(50, 150, 3000)
    tokens = 3 * forwards + rng.normal(0, 20, 3000)
    ours = stats.bootstrap_ratio_of_means(tokens, forwards)
    ratio = tokens.sum() / forwards.sum()
    half = 1.96 * np.std(tokens - ratio * forwards) / forwards.mean() / math.sqrt(3000)
    assert ours.value == pytest.approx(ratio)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((ratio - half, ratio + half), abs=half / 10)


def test_pooled_and_per_problem_ratios_differ_where_problems_do() -> None:
    tokens, forwards = [10, 90], [10, 10]
    assert stats.bootstrap_ratio_of_means(tokens, forwards, resamples=99).value == pytest.approx(5.0)
    tokens, forwards = [10, 100], [10, 20]
    assert stats.bootstrap_ratio_of_means(tokens, forwards, resamples=99).value == pytest.approx(110 / 30)
    assert stats.bootstrap_mean_of_ratios(tokens, forwards, resamples=99).value == pytest.approx(3.0)


def test_one_problem_has_a_value_but_no_interval() -> None:
    estimate = stats.bootstrap_ratio_of_means([6.0], [2.0])
    assert estimate.value == 3.0
    assert math.isnan(estimate.interval.low) and math.isnan(estimate.interval.high)


@settings(max_examples=40)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 200), st.floats(0.01, 0.3))
def test_tost_agrees_with_two_t_tests_and_with_its_interval(b: int, c: int, both: int, margin: float) -> None:
    first, second = arms(b, c, both, 5)
    result = stats.tost(first, second, margin)
    assert result.difference == pytest.approx((b - c) / len(first))
    assert result.equivalent == (result.p_value < 0.05)
    assert result.equivalent == (-margin < result.interval.low and result.interval.high < margin)
    if b + c:
        a, d = np.array(first, float), np.array(second, float)
        above = ttest_rel(a + margin, d, alternative="greater").pvalue
        below = ttest_rel(a - margin, d, alternative="less").pvalue
        assert result.p_value == pytest.approx(max(above, below))


def test_tost_of_identical_arms_needs_enough_problems() -> None:
    """No discordant one among n: the rule of three bounds their share by about 3 / n."""
    assert not stats.tost([1] * 50, [1] * 50, 0.05).equivalent
    result = stats.tost([1] * 100, [1] * 100, 0.05)
    assert result.equivalent and result.p_value == pytest.approx(0.95**100)
    assert result.interval.high == pytest.approx(1 - 0.05 ** (1 / 100))


def test_tost_of_opposite_arms_is_never_equivalent() -> None:
    assert stats.tost([1] * 9, [0] * 9, 0.5) == stats.Equivalence(1.0, stats.Interval(1.0, 1.0), 0.5, 1.0, False)


def test_detectable_drop_inverts_a_published_sample_size() -> None:
    """Fleiss, Levin and Paik 2003: 0.60 against 0.50, two-sided 5%, power 80%: 388 subjects an arm, uncorrected."""
    assert stats.detectable_drop(0.60, 388) == pytest.approx(0.10, abs=2e-4)


def test_detectable_drop_is_seen_in_four_of_five_simulated_pairs_of_runs() -> None:
    n, p = 500, 0.8
    drop = stats.detectable_drop(p, n)
    rng = np.random.default_rng(0)
    a, b = rng.binomial(n, p, 20000) / n, rng.binomial(n, p - drop, 20000) / n
    pooled = (a + b) / 2
    seen = np.abs(a - b) / np.sqrt(2 * pooled * (1 - pooled) / n) > 1.959964
    assert seen.mean() == pytest.approx(0.8, abs=0.015)


def test_detectable_drop_is_nan_where_even_zero_would_be_missed() -> None:
    assert math.isnan(stats.detectable_drop(0.05, 20))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.wilson(3, 2), "3 successes of 2"),
        (lambda: stats.wilson(1, 2, 1.0), "level is 1.0"),
        (lambda: stats.mcnemar([1, 0], [1]), r"\(2,\) and \(1,\)"),
        (lambda: stats.mcnemar([], []), "one entry a problem"),
        (lambda: stats.mcnemar([2, 0], [1, 1]), "other than 0 and 1"),
        (lambda: stats.paired_bootstrap_difference([1.0, math.nan], [1.0, 1.0]), "not finite"),
        (lambda: stats.paired_bootstrap_difference([1, 0], [1, 1], resamples=0), "resamples is 0"),
        (lambda: stats.bootstrap_ratio_of_means([1, 2], [1, 0]), "denominator holds 0"),
        (lambda: stats.tost([1, 0], [1, 1], 0.0), "margin is 0.0"),
        (lambda: stats.detectable_drop(0.5, 1), "n is 1"),
        (lambda: stats.difference_interval((1, 5), (2, 4)), "5 successes of 4"),
    ],
)
def test_bad_input_is_refused_by_value(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()

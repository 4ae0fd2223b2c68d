"""Intervals and tests against other implementations, by enumeration, and by hand. What they hold: test_calibration.py."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import rliable.metrics
import scikit_posthocs
from scipy import stats

from quantbench.results.rank import wilcoxon_holm
from quantbench.results.statistics import (
    blocks_needed,
    geometric_interval,
    holm,
    interquartile_interval,
    interquartile_mean,
    mean_interval,
    mean_intervals,
    mean_ranks,
    more_failures,
    paired_difference,
    step_of,
    wilcoxon,
)

RANDOM = np.random.default_rng(7)


def enumerated(differences):
    """Wilcoxon's p-value from all signs, by mid-ranks; zeros left out."""
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    sums = np.array([ranks @ np.array(signs) for signs in product([0, 1], repeat=len(kept))])
    own = ranks[kept > 0].sum()
    return min(1.0, 2 * min((sums <= own).mean(), (sums >= own).mean())) if len(kept) else 1.0


def test_the_interval_of_a_mean_is_scipys():
    values = np.array([1.0, 2.5, 2.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert tuple(mean_interval(values)) == pytest.approx((values.mean(), expected.low, expected.high))
    assert np.isnan(mean_interval(values[:1]).low)
    assert np.isnan(mean_interval(values[:0]).mean)
    assert mean_interval(np.array([1.0, np.inf])).mean == np.inf
    assert np.isnan(mean_interval(np.array([1.0, np.inf])).high)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 40])
def test_intervals_of_many_means_are_those_of_each(count):
    rows = np.concatenate([RANDOM.normal(size=(20, count)), RANDOM.integers(0, 4, size=(20, count)) / 4])
    np.testing.assert_array_equal(np.array(mean_intervals(rows)).T, [mean_interval(row) for row in rows])


def test_the_geometric_mean_is_scipys():
    values = np.array([10.0, 100, 1000])
    found = geometric_interval(values)
    assert found.mean == pytest.approx(stats.gmean(values))
    assert np.sqrt(found.low * found.high) == pytest.approx(found.mean)
    assert found.low < 10


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 30, 31])
def test_interquartile_mean_is_that_of_rliable_and_scipy(size):
    values = RANDOM.normal(size=(size, 3))
    assert interquartile_mean(values.ravel()) == pytest.approx(rliable.metrics.aggregate_iqm(values), rel=1e-12)
    assert interquartile_mean(values.T) == pytest.approx(stats.trim_mean(values, 0.25, axis=0), rel=1e-12)


def test_interquartile_mean_leaves_out_what_is_missing_and_keeps_what_failed():
    assert interquartile_mean(np.array([1.0, np.nan, 3.0, 2.0, np.nan])) == 2
    assert interquartile_mean(np.array([1.0, 2, 3, np.inf])) == 2.5
    assert interquartile_mean(np.array([1.0, 2, np.inf, np.inf])) == np.inf
    assert np.isnan(interquartile_mean(np.array([np.nan, np.nan])))


@pytest.mark.parametrize("size", [4, 5, 8, 13])
def test_the_interval_of_an_interquartile_mean_with_a_failure_is_yuens(size):
    """scipy's trimmed t-test (Yuen 1974) against a sample without spread is that of one trimmed mean."""
    values = RANDOM.normal(size=size)
    values[values.argmax()] = np.inf
    found = interquartile_interval(values[None])
    finite = np.where(np.isinf(values), 1e6, values)  # far out: winsorised all the same
    other = stats.ttest_ind(finite - found.low, np.zeros(500), equal_var=False, trim=0.25)
    assert other.pvalue == pytest.approx(0.05, rel=1e-6)
    assert found.high == np.inf  # one of so few: a quarter of all may fail


def test_the_interval_of_an_interquartile_mean_is_as_wide_as_its_spread():
    """Its variance is that of a mean times 1.19 at most, for normal values."""
    values = RANDOM.normal(size=(4000, 12))
    ratio = interquartile_mean(values).std() / (1 / np.sqrt(12))
    assert 1.06 < ratio < np.sqrt(1.19) + 0.03
    one = interquartile_interval(values[:1])
    mean = mean_interval(values[0])
    assert (one.high - one.low) / (mean.high - mean.low) == pytest.approx(np.sqrt(1.19))
    assert interquartile_interval(values[:1, :3]) == pytest.approx(mean_interval(values[0, :3]))  # nothing is cut from three


def test_the_interval_over_tasks_keeps_what_a_seed_does_to_all_of_them():
    seeds = np.array([0.0, 1, 2, 3, 4, 5])
    alike, opposite = np.stack([seeds, seeds + 10]), np.stack([seeds, 10 - seeds])
    assert interquartile_interval(alike).mean == pytest.approx(7.5)
    assert interquartile_interval(alike).high - 7.5 > 2
    assert interquartile_interval(opposite).high - interquartile_interval(opposite).low < 1e-9


def test_what_is_missing_or_failed_leaves_an_interval_over_tasks():
    values = RANDOM.normal(size=(3, 8))
    values[0, 2] = np.nan
    found = interquartile_interval(values)
    assert found.low < found.mean < found.high < 5
    assert np.isnan(interquartile_interval(np.where(np.arange(8) > 0, np.nan, values)).low)
    values[1, :4] = np.inf
    assert interquartile_interval(values).mean == np.inf


def test_steps_are_found_where_there_are_steps():
    assert step_of(np.array([0.5, 0.25, 1.0, 0.25])) == 0.25
    assert step_of(np.array([1, 3, 7]) / 9) == pytest.approx(2 / 9)
    assert step_of(RANDOM.normal(size=4)) == 0
    assert step_of(np.full(3, 2.0)) == 0


def test_differences_in_steps_are_not_taken_to_vary_less_than_rounding_does():
    """Four of one step and one of two: their own spread would make a step nearly certain."""
    steps = np.array([1.0, 1, 1, 1, 2])
    assert stats.ttest_1samp(steps, 0).pvalue < 0.005
    assert paired_difference(steps).p == pytest.approx(2 * stats.t.sf(1.2 / (np.sqrt(0.5) / np.sqrt(5)), 4))


def test_paired_difference_is_scipys_paired_test():
    a, b = RANDOM.normal(size=6), RANDOM.normal(size=6)
    found = paired_difference(a - b)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert (found.estimate.low, found.estimate.high) == pytest.approx((expected.low, expected.high))


def test_paired_differences_without_a_spread_speak_by_their_signs_alone():
    assert paired_difference(np.full(5, 0.25)).p == 2**-4
    assert paired_difference(np.full(5, 0.25) + 1e-9 * RANDOM.normal(size=5)).p == 2**-4
    assert paired_difference(np.zeros(5)).p == 1
    assert paired_difference(np.array([3.0])).p == 1


def test_rounding_is_no_difference():
    values = RANDOM.normal(size=8)
    differences = 1e-7 * (1 + 0.01 * RANDOM.normal(size=8))  # all of one sign, and as good as equal
    assert paired_difference(differences, scale=np.abs(values).max()).p == 1
    assert wilcoxon(differences[None], scale=np.abs(values).max())[0] == 1
    assert wilcoxon(differences[None])[0] < 0.01  # without knowing of which size the values are


@pytest.mark.parametrize("pairs", [5, 8, 12, 25])
def test_wilcoxon_is_scipys_exact_test(pairs):
    differences = RANDOM.normal(size=(50, pairs))
    assert wilcoxon(differences) == pytest.approx([stats.wilcoxon(row, method="exact").pvalue for row in differences])


@pytest.mark.parametrize("pairs", [4, 7, 9])
def test_wilcoxon_with_ties_and_zeros_is_counted_out(pairs):
    differences = np.round(2 * RANDOM.normal(size=(60, pairs)))
    assert wilcoxon(differences) == pytest.approx([enumerated(row) for row in differences], rel=1e-12)
    # Differences of ninths are equal but for rounding, and ties all the same.
    assert wilcoxon(differences / 9 + 1 - 1) == pytest.approx([enumerated(row) for row in differences], rel=1e-12)


def test_many_pairs_are_approximated():
    differences = RANDOM.normal(0.2, size=(5, 80)).round(1)
    expected = [stats.wilcoxon(row, method="approx").pvalue for row in differences]
    assert wilcoxon(differences) == pytest.approx(expected, rel=1e-9)


def test_a_failure_is_the_largest_difference():
    differences = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, np.inf], [0.1, 0.2, 0.3, 0.4, 0.5, -np.inf], [1, 2, np.nan, 0, 3, 4]])
    expected = [enumerated(row) for row in np.array([[1, 2, 3, 4, 5, 6.0], [1, 2, 3, 4, 5, -6.0], [1, 2, 0, 0, 3, 4.0]])]
    assert wilcoxon(differences) == pytest.approx(expected)


def test_wilcoxon_and_holm_are_those_of_scikit_posthocs():
    values = RANDOM.normal(size=(5, 12)) + np.arange(5)[:, None] * 0.5
    long = pd.DataFrame({"method": np.repeat(list("abcde"), 12), "value": values.ravel()})
    reference = scikit_posthocs.posthoc_wilcoxon(long, val_col="value", group_col="method", p_adjust="holm")
    assert wilcoxon_holm(values) == pytest.approx(reference.to_numpy(), rel=1e-9)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])
    assert len(holm([])) == 0


@pytest.mark.parametrize("methods", [2, 3, 5, 12, 100])
def test_so_many_blocks_are_needed(methods):
    """All differences of one sign are the least p-value there is; Holm multiplies the least of all by the number of tests."""
    pairs, needed = methods * (methods - 1) / 2, blocks_needed(methods)

    def least(blocks):
        return pairs * float(wilcoxon(np.arange(1.0, blocks + 1)[None])[0])

    assert least(needed) < 0.05 <= least(needed - 1)


def test_more_failures_is_barnards_test_at_its_least_favourable_rate():
    """With 5 seeds and the same rate 1/2 on both sides: all pairs of numbers of failures, counted out."""
    each = stats.binom.pmf(np.arange(6), 5, 0.5)
    for before, after in ((0, 4), (1, 4), (0, 5), (2, 2)):
        extreme = np.abs(np.subtract.outer(np.arange(6), np.arange(6))) >= abs(after - before)
        expected = float((np.outer(each, each) * extreme).sum())
        assert more_failures(before, after, 5) == pytest.approx(min(1.0, expected))
    assert more_failures(0, 4, 5) < 0.05 < more_failures(0, 3, 5)


def test_mean_ranks_share_ties():
    assert list(mean_ranks([np.array([[1.0, 1], [1, 2], [3, np.inf]])])) == [1.25, 1.75, 3]
    assert len(mean_ranks([])) == 0


def test_one_missing_value_hardly_changes_an_interval():
    seeds = RANDOM.normal(size=8)
    values = seeds + 0.1 * RANDOM.normal(size=(6, 8))  # what a seed does to all tasks alike
    whole = interquartile_interval(values)
    values[2, 3] = np.nan
    gap = interquartile_interval(values)
    assert 0.6 < (gap.high - gap.low) / (whole.high - whole.low) < 1.7
    absent = interquartile_interval(np.array([[1.0, 2, 3, 4, np.nan]]))
    assert absent == pytest.approx(interquartile_interval(np.array([[1.0, 2, 3, 4]])))


def test_equal_differences_have_no_interval():
    found = paired_difference(np.full(3, 1.0))
    assert (found.estimate.mean, found.p) == (1, 0.25)
    assert np.isnan(found.estimate.low)


def test_several_tasks_change_their_signs_seed_by_seed():
    """By enumeration of the signs of whole seeds."""
    differences = RANDOM.normal(0.3, size=(20, 3, 7))
    ranks = np.array([[stats.rankdata(np.abs(task)) for task in one] for one in differences])
    scores = (np.sign(differences) * ranks).sum(axis=1)
    signs = np.array(list(product([-1, 1], repeat=7)))
    for own, p in zip(scores, wilcoxon(differences), strict=True):
        drawn = np.abs(signs @ np.abs(own))
        assert p == pytest.approx((drawn >= abs(own.sum()) - 1e-9).mean())

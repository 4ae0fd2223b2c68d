"""Tuning curves and their bands, against the package opda 0.8.0 (Lourie et al. 2024) and by simulation.

The figures of opda come from ``EmpiricalDistribution.confidence_bands(values, 0.95, method="ld_equal_tailed")`` and its
``quantile_tuning_curve(range(1, 26), minimize=True)``; it simulates its critical value, so that its bounds err by 0.0005.
"""

import numpy as np
import pytest

from quantbench.results.statistics import best_of, distribution_band

VALUES = [
    0.354,
    -0.005,
    -0.532,
    -2.277,
    0.019,
    0.927,
    1.043,
    -0.536,
    2.229,
    1.944,
    -0.228,
    -0.155,
    0.959,
    -0.255,
    0.225,
    1.22,
    1.19,
]
VALUES += [-0.53, -0.456, -0.549, -0.014, 0.075, -0.389, 0.775, 0.05]
BELOW = [0.0001, 0.0027, 0.0103, 0.0222, 0.0376, 0.0557, 0.0763, 0.099, 0.1235, 0.1498, 0.1777, 0.2071, 0.2381, 0.2706, 0.3047]
BELOW += [0.3404, 0.3777, 0.4168, 0.4579, 0.5012, 0.5471, 0.5963, 0.6497, 0.7096, 0.7816]
MIDDLE = [0.019, -0.255, -0.456, -0.532, -0.532, -0.536, -0.536, -0.536, *[-0.549] * 8, *[-2.277] * 9]
HIGH = [0.959, 0.075, -0.005, -0.014, -0.155, -0.228, -0.255, -0.255, *[-0.389] * 4, *[-0.456] * 6, *[-0.53] * 7]
LOW = [-0.456, -0.549, *[-np.inf] * 23]


def test_the_band_of_a_distribution_is_opdas():
    below, above = distribution_band(25)
    assert below[1:] == pytest.approx(BELOW, abs=5e-4)
    assert above[:-1] == pytest.approx([1 - one for one in BELOW[::-1]], abs=5e-4)
    assert (below[0], above[-1]) == (0, 1)
    assert distribution_band(5)[0][1:] == pytest.approx([0.0012, 0.0254, 0.0888, 0.195, 0.3607], abs=5e-4)


def test_a_tuning_curve_and_its_ends_are_opdas():
    found = best_of(np.array(VALUES), 25)
    assert found.middle.tolist() == MIDDLE
    assert found.high.tolist() == HIGH
    assert found.low.tolist() == LOW


@pytest.mark.parametrize("count", [1, 7, 25])
def test_bands_hold_a_whole_distribution_in_95_percent_of_samples(count):
    below, above = distribution_band(count)
    drawn = np.sort(np.random.default_rng(0).random((20_000, count)), axis=1)
    held = ((drawn >= below[1:]) & (drawn <= above[:-1])).all(axis=1).mean()
    assert held == pytest.approx(0.95, abs=0.006)


def test_failures_are_the_worst_and_stay_so():
    found = best_of(np.array([np.inf] * 24 + [-1.0]), 25)
    assert found.middle[0] == np.inf
    assert found.middle[-1] == -1
    assert np.isinf(best_of(np.full(5, np.inf), 3).middle).all()

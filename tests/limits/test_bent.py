import math

import numpy as np
import pytest

from quantbench.limits import bent, kmeans, shannon
from quantbench.limits.points import POINTS

STRAIGHT = bent.Bent(3.0, 0.5, 0.0)


@pytest.mark.parametrize("slope", [0.5, 1.5, 6.0, 12.0])
def test_a_banana_that_is_not_bent_is_filled_with_water(slope):
    found = bent.point(STRAIGHT, slope)
    variances = np.array([9.0, 0.25]) / STRAIGHT.scale**2
    assert shannon.water_filling(variances, found.bits) == pytest.approx(found.mse, rel=2 * bent.TOLERANCE)
    assert found.error <= bent.TOLERANCE


def test_the_density_has_the_variance_and_the_entropy_that_are_said():
    far, low, high = bent.BANANA.edges
    x, y = np.arange(0.005, far, 0.01), np.arange(low, high, 0.01)
    weight = bent.BANANA.pdf(x, y)
    weight /= weight.sum()
    assert float((weight * (np.square(x)[:, None] + np.square(y))).sum()) / 2 == pytest.approx(1, abs=2e-5)
    assert float((weight * y).sum()) == pytest.approx(0, abs=1e-4)
    density = weight / 1e-4 / 2  # the half that is mirrored
    entropy = -float((weight * np.log2(np.maximum(density, 1e-300))).sum())
    assert entropy == pytest.approx(bent.BANANA.entropy, abs=1e-3)


@pytest.mark.parametrize("slope", [0.33, 1.1, 3.1])
def test_the_table_agrees_with_points_it_does_not_hold(slope):
    found = bent.point(bent.BANANA, slope)
    assert all(abs(row[2] / found.slope - 1) > 1e-4 for row in POINTS["banana"])
    assert shannon.banana(found.bits) == pytest.approx(found.mse, rel=shannon.BANANA_ERROR)


def test_the_function_is_convex_between_its_bounds_and_meets_shannons():
    bits = np.arange(0, 12, 0.02)
    mse = np.array([shannon.banana(rate) for rate in bits])
    lowest = np.array([shannon.shannon_lower_bound(bent.BANANA.entropy, 2, rate) for rate in bits])
    assert mse[0] == 1
    assert np.all(np.diff(mse) < 0)
    assert np.all(np.diff(mse, 2) >= -2 * shannon.BANANA_ERROR * mse[1:-1])
    assert np.all(mse >= lowest * (1 - 1e-4))
    # Of all densities with this covariance the normal one is the hardest: its variances are those of the two axes.
    axes = np.array([9.0, 0.25 + 2 * 0.9**2]) / bent.BANANA.scale**2
    assert np.all(mse <= [shannon.water_filling(axes, rate) * (1 + shannon.BANANA_ERROR) for rate in bits])
    assert mse[bits > 5] == pytest.approx(lowest[bits > 5], rel=1e-3)


@pytest.mark.parametrize("codes", [2, 4, 16, 64])
def test_no_vector_quantizer_is_below(codes):
    draw = np.random.default_rng(0)
    a = 3 * draw.standard_normal(40_000)
    x = np.stack([a, 0.5 * draw.standard_normal(40_000) - 0.1 * (a * a - 9)], axis=-1) / bent.BANANA.scale
    codebook = kmeans.kmeans(x.astype(np.float32), codes, 0)
    squares = np.square(x[:, None] - codebook).sum(-1)
    share = np.bincount(squares.argmin(1)) / len(x)
    entropy = -float(share[share > 0] @ np.log2(share[share > 0]))
    mse = squares.min(1).mean() / 2
    assert mse >= shannon.banana(entropy) * 0.98  # a sample's error
    assert mse <= shannon.banana(math.log2(codes)) * 2.2


def test_a_solver_that_cannot_come_near_says_so(monkeypatch):
    monkeypatch.setattr(bent, "LONGEST", 3)
    with pytest.raises(ArithmeticError, match="nats apart after 3 steps"):
        bent.point(bent.BANANA, 1.0)

import math

import numpy as np
import pytest

from quantbench.limits import shannon
from quantbench.limits.blahut_arimoto import TOLERANCE, point
from quantbench.limits.densities import GAUSSIAN, LAPLACE, UNIFORM
from quantbench.limits.points import POINTS

GRID = np.arange(0.01, 12, 0.01)


@pytest.mark.parametrize("slope", [0.51, 0.7, 2.0, 32.0])
def test_blahut_arimoto_finds_the_gaussian_in_closed_form(slope):
    found = point(GAUSSIAN, slope)
    assert found.error < 1e-4
    assert found.mse == pytest.approx(2 ** (-2 * found.bits), rel=5e-5)


@pytest.mark.parametrize(
    ("density", "slope"),
    [(LAPLACE, 0.3), (LAPLACE, 0.9), *((UNIFORM, slope) for slope in (0.559, 0.8, 0.928, 1.407, 3.0, 40.0))],
)
def test_the_table_agrees_with_points_it_does_not_hold(density, slope):
    found = point(density, slope)
    assert found.error < 1e-4
    assert all(abs(row[2] / slope - 1) > 1e-6 for row in POINTS[density.name])
    assert shannon.memoryless(density, found.bits) == pytest.approx(found.mse, rel=shannon.TABLE_ERROR)


def test_a_solver_that_cannot_come_near_says_so(monkeypatch):
    monkeypatch.setattr("quantbench.limits.blahut_arimoto.LONGEST", 3)
    with pytest.raises(ArithmeticError, match="nats apart after 3 steps"):
        point(UNIFORM, 3.0, TOLERANCE)


@pytest.mark.parametrize("density", [GAUSSIAN, LAPLACE, UNIFORM], ids=lambda d: d.name)
def test_rate_distortion_functions_are_convex_and_between_their_bounds(density):
    mse = np.array([shannon.memoryless(density, bits) for bits in GRID])
    gaussian = 2.0 ** (-2 * GRID)
    assert shannon.memoryless(density, 0) == 1
    assert np.all(mse <= gaussian * (1 + 2e-4))  # of all densities of one variance the Gaussian is the hardest
    assert np.all(mse >= [density.shannon_lower_bound(bits) * (1 - 2e-4) for bits in GRID])
    assert np.all(np.diff(mse) < 0)
    # Convex, up to the table's error.
    assert np.all(np.diff(mse, 2) >= -2e-4 * mse[1:-1])


@pytest.mark.parametrize(("bits", "decibel"), [(1, 6.62), (2, 12.66), (3, 18.68)])
def test_laplace_in_the_textbook(bits, decibel):
    # Jayant & Noll (1984), Digital Coding of Waveforms, table D.1 (of Noll & Zelinski 1979).
    assert -10 * math.log10(shannon.memoryless(LAPLACE, bits)) == pytest.approx(decibel, abs=0.015)


def test_water_filling():
    variances = np.array([4.0, 1.0, 0.25])
    assert shannon.water_filling(variances, 0) == pytest.approx(variances.mean())
    # A level of 1 leaves the second as it is and gives the first one bit.
    assert shannon.water_filling(variances, 1) == pytest.approx((1 + 1 + 0.25) / 3)
    # All wet: the geometric mean, and 2 bits a component.
    assert shannon.water_filling(variances, 6) == pytest.approx(2.0**-4)
    for bits in (0.3, 1.7, 3.3):  # by definition: bits = sum of 0.5 log2(variance / min(variance, level))
        mse = shannon.water_filling(variances, bits) * 3
        levels = np.linspace(1e-4, 4, 2_000_001)
        errors = np.minimum(variances[:, None], levels)
        level = np.abs(0.5 * np.log2(variances[:, None] / errors).sum(0) - bits).argmin()
        assert mse == pytest.approx(errors[:, level].sum(), rel=1e-4)


def test_equal_variances_are_the_memoryless_gaussian():
    assert shannon.water_filling(np.ones(5), 7.5) == pytest.approx(shannon.memoryless(GAUSSIAN, 1.5))


def test_gauss_markov_variances_reach_the_spectrum_of_the_process():
    correlation = 0.8
    variances = shannon.gauss_markov_variances(400, correlation)
    assert variances.mean() == pytest.approx(1)
    # The geometric mean tends to that of the spectrum, the innovation's variance (Szego).
    assert math.exp(np.log(variances).mean()) == pytest.approx(1 - correlation**2, rel=5e-3)


def test_shannon_lower_bound_of_a_gaussian_vector_is_its_function():
    entropy = 3 * GAUSSIAN.entropy
    assert shannon.shannon_lower_bound(entropy, 3, 6.0) == pytest.approx(2.0**-4)


@pytest.mark.parametrize("correlation", [0.3, 0.9, -0.7, 0.99])
def test_the_process_in_closed_form_at_a_high_rate_and_without_memory(correlation):
    for bits in (1.0, 2.5, 7.0):  # the innovation's variance is 1 - r**2
        expected = (1 - correlation**2) * 2.0 ** (-2 * bits)
        assert shannon.gauss_markov_process(correlation, bits) == pytest.approx(expected, rel=1e-12)
    assert shannon.gauss_markov_process(correlation, 0) == 1
    assert shannon.gauss_markov_process(0.0, 0.7) == pytest.approx(2.0**-1.4)


@pytest.mark.parametrize("correlation", [0.3, 0.9, -0.7, 0.99])
def test_the_process_is_filled_with_water_frequency_by_frequency(correlation):
    frequency = (np.arange(2**18) + 0.5) * math.pi / 2**18
    spectrum = (1 - correlation**2) / (1 + correlation**2 - 2 * correlation * np.cos(frequency))
    for level in np.geomspace(spectrum.min() * 0.5, spectrum.max() * 0.98, 12):
        bits = float(np.maximum(0.5 * np.log2(spectrum / level), 0).mean())
        mse = float(np.minimum(spectrum, level).mean())
        assert shannon.gauss_markov_process(correlation, bits) == pytest.approx(mse, rel=1e-5)


def test_long_blocks_reach_the_process_from_above():
    for bits in (0.02, 0.2, 1.0, 3.0):
        process = shannon.gauss_markov_process(0.9, bits)
        blocks = [shannon.water_filling(shannon.gauss_markov_variances(dim, 0.9), dim * bits) for dim in (4, 64, 1000)]
        assert blocks[0] > blocks[1] > blocks[2] > process
        assert blocks[2] == pytest.approx(process, rel=5e-3)

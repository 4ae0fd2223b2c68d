import math

import numpy as np
import pytest

from quantbench.limits.densities import GAUSSIAN, LAPLACE, UNIFORM, Density
from quantbench.limits.scalar_quantizers import entropy_coded, lloyd_max

DENSITIES = [GAUSSIAN, LAPLACE, UNIFORM]


def integrated(density: Density, values, edges) -> tuple[float, float]:
    """Mean square error and entropy by summing over a fine grid."""
    reach = density.reach * (1 - 1e-12)
    x = np.linspace(-reach, reach, 2_000_001)
    weight = density.pdf(x)
    weight[[0, -1]] /= 2
    weight *= x[1] - x[0]
    cell = np.searchsorted(edges, x)
    share = np.bincount(cell, weight, len(values))
    share = share[share > 0]
    return float(weight @ np.square(x - values[cell])), float(-share @ np.log2(share))


@pytest.mark.parametrize(("levels", "mse"), [(2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497)])
def test_lloyd_max_gives_the_table_of_max(levels, mse):
    # Max (1960), table I, computed by hand in its last digits: 4e-4 of the value off at 16 levels.
    assert lloyd_max(GAUSSIAN, levels).mse == pytest.approx(mse, rel=5e-4)


@pytest.mark.parametrize(("levels", "mse"), [(2, 0.5), (4, 0.1762), (8, 0.0545), (16, 0.0154)])
def test_lloyd_max_of_the_laplace_density(levels, mse):
    # Adams & Giesler (1978), IEEE Trans. Inf. Theory 24(5).
    assert lloyd_max(LAPLACE, levels).mse == pytest.approx(mse, abs=6e-5)


@pytest.mark.parametrize("levels", [2, 3, 7, 64])
def test_lloyd_max_of_the_uniform_density(levels):
    found = lloyd_max(UNIFORM, levels)
    assert found.mse == pytest.approx(levels**-2)
    assert np.diff(found.values) == pytest.approx(np.full(levels - 1, 2 * math.sqrt(3) / levels))


@pytest.mark.parametrize("density", DENSITIES, ids=lambda d: d.name)
@pytest.mark.parametrize("levels", [1, 2, 3, 8, 33])
def test_lloyd_max_is_what_it_says(density, levels):
    found = lloyd_max(density, levels)
    assert (len(found.values), len(found.edges)) == (levels, levels - 1)
    mse, entropy = integrated(density, found.values, found.edges)
    assert found.mse == pytest.approx(mse, rel=1e-4)
    assert found.entropy == pytest.approx(entropy, abs=1e-4)
    if levels > 1:
        assert found.edges == pytest.approx((found.values[1:] + found.values[:-1]) / 2, abs=1e-8)


@pytest.mark.parametrize("density", DENSITIES, ids=lambda d: d.name)
@pytest.mark.parametrize("bits", [0.2, 1.0, 2.5, 4.0])
def test_entropy_coded_is_what_it_says_and_beats_fixed_rate(density, bits):
    found = entropy_coded(density, bits)
    mse, entropy = integrated(density, found.values, found.edges)
    assert found.mse == pytest.approx(mse, rel=3e-4)
    assert entropy == pytest.approx(bits, abs=2e-4)
    if bits.is_integer() and bits >= 2:
        assert found.mse <= lloyd_max(density, 2 ** int(bits)).mse * (1 + 1e-9)


@pytest.mark.parametrize("density", [GAUSSIAN, LAPLACE], ids=lambda d: d.name)
@pytest.mark.parametrize("bits", [0.5, 1.0, 3.0])
def test_no_uniform_thresholds_are_better(density, bits):
    # Sullivan (1996), IEEE Trans. Inf. Theory 42(5): uniform thresholds with a dead zone, optimal for Laplace.
    def best(dead: float) -> float:
        low, high = 1e-3, 20.0
        for _ in range(50):
            step = math.sqrt(low * high)
            edges = step * (dead + np.arange(math.ceil(14 / step)))
            probability, moment = density.cells(np.append(edges, np.inf))
            share = np.append(np.repeat(probability, 2), 1 - 2 * probability.sum())
            entropy = -float(share[share > 0] @ np.log2(share[share > 0]))
            low, high = (step, high) if entropy > bits else (low, step)
        inside = probability > 1e-300
        return 1 - 2 * float(np.sum(moment[inside] ** 2 / probability[inside]))

    thresholds = min(best(dead) for dead in np.linspace(0.4, 0.9, 26))
    ours = entropy_coded(density, bits).mse
    assert ours <= thresholds * (1 + 1e-5)
    assert ours == pytest.approx(thresholds, rel=2e-3)


@pytest.mark.parametrize(("density", "factor"), [(GAUSSIAN, math.sqrt(3) * math.pi / 2), (LAPLACE, 4.5), (UNIFORM, 1.0)])
def test_lloyd_max_at_a_high_rate(density, factor):
    # Panter & Dite (1951), Proc. IRE 39(1): (1/12) (integral of p**(1/3))**3 2**(-2 bits).
    assert lloyd_max(density, 1024).mse == pytest.approx(factor * 2**-20, rel=5e-3)


@pytest.mark.parametrize("density", DENSITIES, ids=lambda d: d.name)
def test_entropy_coding_is_153_db_from_shannon_at_a_high_rate(density):
    # Gish & Pierce (1968), IEEE Trans. Inf. Theory 14(5).
    loss = entropy_coded(density, 5.0).mse / density.shannon_lower_bound(5)
    assert loss == pytest.approx(math.pi * math.e / 6, rel=2e-3)


def test_bounds_of_the_arguments_are_said():
    with pytest.raises(ValueError, match="levels=0: must lie between 1 and 4096"):
        lloyd_max(GAUSSIAN, 0)
    with pytest.raises(ValueError, match=r"bits=9: must lie between 0\.1 and 6"):
        entropy_coded(GAUSSIAN, 9)

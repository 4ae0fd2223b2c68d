import math

import numpy as np
import pytest
import torch

from quantbench.limits import high_rate, kmeans
from quantbench.limits.densities import GAUSSIAN, LAPLACE, UNIFORM
from quantbench.limits.scalar_quantizers import entropy_coded, lloyd_max
from quantbench.quantizers.lattice_points import DIMENSIONS, generator, nearest_point


@pytest.mark.parametrize(("density", "factor"), [(GAUSSIAN, math.sqrt(3) * math.pi / 2), (LAPLACE, 4.5), (UNIFORM, 1.0)])
def test_panter_dite(density, factor):
    assert high_rate.panter_dite(density, 3) == pytest.approx(factor / 64)
    assert lloyd_max(density, 1024).mse == pytest.approx(high_rate.panter_dite(density, 10), rel=5e-3)


@pytest.mark.parametrize("density", [GAUSSIAN, LAPLACE, UNIFORM], ids=lambda d: d.name)
def test_entropy_coding_is_153_db_from_shannon_at_a_high_rate(density):
    loss = high_rate.entropy_coded_high_rate(density, 5) / density.shannon_lower_bound(5)
    assert 10 * math.log10(loss) == pytest.approx(1.53, abs=0.005)
    assert entropy_coded(density, 5.0).mse == pytest.approx(high_rate.entropy_coded_high_rate(density, 5), rel=2e-3)


def test_zador_in_one_dimension_is_panter_dite():
    assert high_rate.zador_gaussian(1, 4) == pytest.approx(high_rate.panter_dite(GAUSSIAN, 4))


def test_zador_in_two_dimensions_is_what_kmeans_comes_near():
    frames = np.random.default_rng(0).standard_normal((40_000, 2)).astype(np.float32)
    reached = kmeans.distortion(frames, kmeans.kmeans(frames, 256))
    assert 0.75 < reached / high_rate.zador_gaussian(2, 4) < 1.05  # the formula holds for many codes; there are 256


@pytest.mark.parametrize("dim", high_rate.LATTICE_CONSTANTS)
def test_no_lattice_is_rounder_than_a_ball(dim):
    assert high_rate.sphere_bound(dim) <= high_rate.lattice_constant(dim) * (1 + 1e-12)
    assert high_rate.lattice_constant(dim) <= 1 / 12


@pytest.mark.parametrize("lattice", ["Z", "A2", "D4", "E8"])
def test_lattice_constants_are_those_of_the_lattices_that_quantize(lattice):
    dim = DIMENSIONS[lattice]
    basis = generator(lattice)
    random = torch.Generator().manual_seed(0)
    x = torch.rand(100_000, dim, dtype=torch.float64, generator=random) @ basis
    square = (x - nearest_point(lattice, x)).square().mean().item()
    volume = float(torch.linalg.det(basis).abs())
    assert square / volume ** (2 / dim) == pytest.approx(high_rate.lattice_constant(dim), rel=5e-3)


def test_unlisted_dimensions_are_refused():
    with pytest.raises(ValueError, match="dim=10: constants are known here for 1, 2"):
        high_rate.lattice_constant(10)

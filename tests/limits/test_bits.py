"""R(D), the inverse of every source's limit."""

import math

import numpy as np
import pytest

from quantbench.limits import Limit, finite
from quantbench.simulators import Banana, Codeword, Gaussian, GaussMarkov, Laplace, Rotation, Sawbridge, Uniform
from quantbench.streams import Streams

CONTINUOUS = [Gaussian(frame_dim=3), Laplace(frame_dim=2), Uniform(frame_dim=5), GaussMarkov(frame_dim=6), Banana()]
FINITE = [
    Sawbridge(frame_dim=31),
    Codeword(bits=1, frame_dim=2),
    Codeword(bits=5, frame_dim=4),
    Codeword(bits=8, frame_dim=16),
    Rotation(bits=2, frame_dim=2),
    Rotation(bits=3, frame_dim=3),
]


def limit_of(simulator) -> Limit:
    found = simulator.limit(simulator.world(Streams([0])), 0)
    assert isinstance(found, Limit)
    return found


@pytest.mark.parametrize("simulator", CONTINUOUS, ids=lambda one: type(one).__name__)
def test_bits_are_the_inverse_of_the_mean_square_error(simulator):
    limit = limit_of(simulator)
    for bits in (1e-3, 0.1, 0.7, 1.5, 3.0, 8.3, 21.0, 60.0):
        assert limit.bits(limit.mse(bits)) == pytest.approx(bits, rel=1e-6, abs=1e-6)
    for mse in (0.99, 0.5, 0.03, 1e-6):
        assert limit.mse(limit.bits(mse)) == pytest.approx(mse, rel=1e-6)
    assert limit.bits(limit.mse(0)) == limit.bits(1.5) == 0
    assert limit.bits(0.0) == math.inf


@pytest.mark.parametrize("simulator", FINITE, ids=lambda one: f"{type(one).__name__} {one.source_bits:g}")
def test_a_finite_alphabet_needs_at_most_its_own_bits(simulator):
    limit = limit_of(simulator)
    source = simulator.source_bits
    for share in (0.02, 0.2, 0.5, 0.8, 0.95, 0.999):
        bits = share * source
        # Both lie below the function by up to ERROR; what that is in bits, the function's slope says.
        near = limit.mse(bits) * (1 + 2 * finite.ERROR)
        assert limit.bits(near) <= bits + 1e-9
        assert bits - limit.bits(limit.mse(bits)) <= 0.02 + 1e-9
        assert limit.bits(limit.mse(bits)) - bits <= 0.02
    assert limit.bits(0.0) == pytest.approx(source)
    assert limit.bits(1e-12) == pytest.approx(source, abs=1e-3)
    assert limit.bits(limit.mse(0)) == limit.bits(2.0) == 0
    rates = [limit.bits(mse) for mse in np.geomspace(1e-8, 1.2, 25)]
    assert np.all(np.diff(rates) <= 1e-3)
    assert all(0 <= rate <= source for rate in rates)


def test_two_points_in_closed_form():
    limit = Limit("", (known := finite.FiniteAlphabet(np.array([[[-1.0], [1.0]]]))).mse, inverse=known.bits)
    for m in (0.2, 0.5, 0.9, 0.99):  # the decoder's value is -m or m: bits = 1 - h((1 + m)/2), mse = 1 - m**2
        p = (1 + m) / 2
        bits = 1 + p * math.log2(p) + (1 - p) * math.log2(1 - p)
        assert limit.bits(1 - m * m) == pytest.approx(bits, abs=4e-3)
        assert limit.bits(1 - m * m) <= bits + 1e-9


def test_gaussian_bits_are_those_of_the_textbook():
    assert limit_of(Gaussian(frame_dim=4)).bits(0.01) == pytest.approx(2 * math.log2(100))


def test_what_is_found_for_a_distortion_depends_on_no_other():
    points = np.random.default_rng(0).standard_normal((1, 20, 4))
    asked = finite.FiniteAlphabet(points)
    for mse in (0.5, 0.9, 0.02):
        asked.bits(mse)
    asked.mse(2.0)
    assert asked.bits(0.3) == finite.FiniteAlphabet(points).bits(0.3)

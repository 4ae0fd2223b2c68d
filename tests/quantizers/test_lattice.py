import itertools
import math

import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.quantizers import Lattice, Moment
from quantbench.quantizers.lattice import VoronoiCode, voronoi_code
from quantbench.quantizers.lattice_points import DIMENSIONS, generator, golay_codewords, nearest_point
from quantbench.streams import Streams
from tests.conformance import checks

SECOND_MOMENT = {"Z": 1 / 12, "A2": 0.0801875, "D4": 0.0766032, "E8": 0.0716821, "Leech": 0.0657709}
"""Normalised second moments, Conway & Sloane, Sphere Packings, Lattices and Groups, table 2.3."""
KISSING = {"Z": 2, "A2": 6, "D4": 24, "E8": 240}
NAMES = list(DIMENSIONS)


def draw(name, count, seed=0):
    """Points uniform over many cells of a lattice."""
    whole = torch.randint(-20, 20, (count, DIMENSIONS[name]), generator=torch.Generator().manual_seed(seed)).double()
    part = torch.rand(count, DIMENSIONS[name], generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return (whole + part) @ generator(name)


def fitted(name, levels, latents):
    quantizer = Lattice(lattice=name, levels=levels)
    state = quantizer.init(Streams(range(len(latents))), latents.shape[-1])
    quantizer.fit(state, latents, Streams([0]))
    return quantizer, state


@checks("lattice")
@pytest.mark.parametrize("name", NAMES)
def test_nearest_points_are_lattice_points_and_of_the_published_second_moment(name):
    """Published second moments of Z, A2, D4, E8 and Leech (Conway & Sloane, table 2.3)."""
    x = draw(name, 4000 if name == "Leech" else 40000)
    point = nearest_point(name, x)
    coordinates = point @ torch.linalg.inv(generator(name))
    assert torch.allclose(coordinates, coordinates.round(), atol=1e-6)
    volume = torch.linalg.det(generator(name)).abs().item()
    moment = (x - point).square().mean().item() / volume ** (2 / DIMENSIONS[name])
    assert moment == pytest.approx(SECOND_MOMENT[name], rel=0.01)


@pytest.mark.parametrize("name", ["Z", "A2", "D4", "E8"])
def test_nearest_is_nearest_among_all_points_around(name):
    basis = generator(name)
    dim = DIMENSIONS[name]
    near = torch.tensor(list(itertools.product(range(-1, 2), repeat=dim))).double() @ basis
    x = draw(name, 200)
    point = nearest_point(name, x)
    others = (point.unsqueeze(1) + near - x.unsqueeze(1)).square().sum(-1).min(1).values
    assert torch.allclose((point - x).square().sum(-1), others)


@checks("lattice")
@pytest.mark.parametrize("name", list(KISSING))
def test_kissing_numbers(name):
    """Kissing numbers 2, 6, 24, 240.

    Around the origin the code of many levels has as many points of least length as the lattice has."""
    dim = DIMENSIONS[name]
    number = torch.tensor(list(itertools.product(range(3), repeat=dim)))
    points = VoronoiCode(name, 3)._points(number).double() if dim > 1 else torch.tensor([[-1.0], [0], [1]]).double()
    lengths = points.square().sum(-1)
    least = lengths[lengths > 1e-6].min()
    assert (lengths < least + 1e-6).sum().item() - 1 == KISSING[name]


def test_leech_lattice():
    words = golay_codewords()
    weights = words.sum(1).bincount(minlength=25)
    assert {w: int(n) for w, n in enumerate(weights) if n} == {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1}
    basis = generator("Leech")
    assert torch.linalg.det(basis).abs().item() == pytest.approx(1)
    gram = basis @ basis.T
    assert torch.allclose(gram, gram.round(), atol=1e-9)  # integral
    assert torch.all(gram.diagonal().round() % 2 == 0)  # even, of determinant 1 ...
    # ... and without vectors of length 2: the shape of the 196560 shortest ones, 4 = (4^2 + 4^2)/8 = 8 * 2^2/8 = (9 + 23)/8.
    minimal = torch.zeros(3, 24, dtype=torch.float64)
    minimal[0, :2] = 4
    minimal[1] = 2 * words[(words.sum(1) == 8).nonzero()[0, 0]]
    minimal[2] = torch.tensor([-3.0] + [1.0] * 23)
    minimal = minimal / math.sqrt(8)
    assert torch.allclose(nearest_point("Leech", minimal), minimal)
    assert torch.allclose(minimal.square().sum(1), torch.full((3,), 4.0, dtype=torch.float64))
    assert torch.allclose(nearest_point("Leech", 0.499 * minimal), torch.zeros_like(minimal))
    assert torch.allclose(nearest_point("Leech", 0.501 * minimal), minimal)


def test_leech_search_is_exact(monkeypatch):
    """The search among a few candidates, certified, agrees with the search among all 4096 codewords."""
    x = draw("Leech", 300)
    fast = nearest_point("Leech", x)
    monkeypatch.setattr("quantbench.quantizers.lattice_points.CANDIDATES", 4096)
    monkeypatch.setattr("quantbench.quantizers.lattice_points._leech_class.__defaults__", (4096,))
    full = nearest_point("Leech", x)
    assert torch.allclose((fast - x).square().sum(1), (full - x).square().sum(1))


@pytest.mark.parametrize(("name", "levels"), [("Z", 2), ("Z", 5), ("A2", 4), ("D4", 4), ("E8", 2), ("D4", 12), ("E8", 4)])
def test_every_code_is_distinct_and_decodes_to_itself(name, levels):
    code = voronoi_code(name, levels)
    if code.table is not None:
        numbers, points = code.numbers, code.table
    else:
        numbers = torch.randint(levels, (3000, code.dim), generator=torch.Generator().manual_seed(1)).unique(dim=0)
        points = code.decode(numbers)
    assert len(points.mul(16).round().unique(dim=0)) == len(numbers)
    assert torch.equal(code.encode(points.unsqueeze(0))[0], numbers)
    # All codes lie in the same region, a cell times levels: none is nearer to another region's centre.
    shifted = (points.double() - code.offset) / levels
    assert torch.allclose(nearest_point(name, shifted), torch.zeros_like(shifted))


@pytest.mark.parametrize(("name", "levels", "dim"), [("Z", 4, 3), ("A2", 4, 4), ("D4", 4, 8), ("E8", 2, 8), ("E8", 4, 8)])
def test_quantize_decodes_from_indices_and_far_latents_become_codes(name, levels, dim):
    latents = Streams([0, 1]).normal("x", 300, dim) * torch.tensor([1.0, 30.0])[:, None, None]
    quantizer, state = fitted(name, levels, latents)
    code = quantizer.quantize(state, latents)
    assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert code.indices.min() >= 0
    assert code.indices.max() < levels
    error = (code.values - latents).square().mean((1, 2)) / latents.square().mean((1, 2))
    assert torch.all(error < 2 ** (-2 * math.log2(levels)) * 2.2)  # within 3.4 dB of Shannon's bound for the Gaussian
    far = quantizer.quantize(state, 50 * latents)
    again = quantizer.quantize(state, far.values)
    assert torch.equal(again.indices, far.indices)
    assert ((far.values * latents).sum(-1) > 0).float().mean() > 0.95  # on the side where the latent is


def test_a_better_lattice_is_better_at_a_high_rate():
    latents = Streams([0]).normal("x", 4000, 8)
    errors = []
    for name in ("Z", "A2", "D4", "E8"):
        quantizer, state = fitted(name, 32, latents)
        errors.append((quantizer.quantize(state, latents).values - latents).square().mean().item())
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("name", ["Z", "A2", "D4", "E8"])
def test_codes_of_one_trial_do_not_depend_on_the_others(name):
    latents = Streams([0, 1, 2]).normal("x", 100, 8)
    quantizer, state = fitted(name, 8, latents)
    together = quantizer.quantize(state, latents)
    alone = quantizer.quantize({"step": state["step"][1:2]}, latents[1:2])
    assert torch.equal(together.values[1:2], alone.values)


@pytest.mark.parametrize("name", ["Z", "A2", "D4", "E8"])
def test_dither_fills_the_cell(name):
    streams = Streams([0, 1])
    latents = streams.normal("x", 4000, 8)
    quantizer, state = fitted(name, 8, latents)
    dither = quantizer.dither(state, latents, Moment(0.0, streams))
    expected = SECOND_MOMENT[name] * state["step"].flatten().square()
    assert torch.allclose(dither.square().mean((1, 2)), expected, rtol=0.03)


def test_leech_quantizes_24_dimensions():
    latents = Streams([0]).normal("x", 200, 24)
    quantizer, state = fitted("Leech", 4, latents)
    code = quantizer.quantize(state, latents)
    assert torch.equal(quantizer.decode(state, code.indices), code.values)
    assert (code.values - latents).square().mean() < 0.11


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"quantizer\.lattice=E8: codec\.latent_dim=12 must be a multiple of 8"):
        Lattice(lattice="E8").check_dim(12)
    with pytest.raises(ConfigError, match=r"quantizer\.levels=1"):
        Lattice(levels=1).check()

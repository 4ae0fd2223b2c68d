import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from quantbench.limits import finite, mixtures, particles, samples, sandwich, shannon
from quantbench.limits.bent import BANANA
from quantbench.limits.densities import LAPLACE, UNIFORM
from quantbench.limits.mixtures import Mixture, channel, fit
from quantbench.limits.samples import Point, Sandwich, Tangent

ROOT = Path(__file__).parents[2]


def gaussian(random, frames, dim):
    return random.standard_normal((frames, dim)), lambda bits: 2 ** (-2 * bits / dim)


def scalar(density):
    def draw(random, frames, dim):
        x = random.laplace(0, math.sqrt(0.5), (frames, dim)) if density is LAPLACE else random.uniform(-1, 1, (frames, dim))
        return x * (1 if density is LAPLACE else math.sqrt(3)), lambda bits: shannon.memoryless(density, bits / dim)

    return draw


def gauss_markov(random, frames, dim):
    variances = shannon.gauss_markov_variances(dim, 0.9)
    axes = stats.ortho_group.rvs(dim, random_state=random) if dim > 1 else np.eye(1)
    return (random.standard_normal((frames, dim)) * np.sqrt(variances)) @ axes, lambda b: shannon.water_filling(variances, b)


def banana(random, frames, dim):
    a, b = random.normal(0, BANANA.long, frames), random.normal(0, BANANA.short, frames)
    return np.stack([a, b - BANANA.bend * (a * a - BANANA.long**2)], axis=1) / BANANA.scale, shannon.banana


def letters(random, frames, dim):
    points = random.standard_normal((16, dim))
    known = finite.alphabet(points[None])
    return points[random.integers(16, size=frames)], lambda bits: known.mse(bits)


SOURCES = {"gaussian": gaussian, "laplace": scalar(LAPLACE), "uniform": scalar(UNIFORM), "gauss_markov": gauss_markov}
SOURCES |= {"banana": banana, "letters": letters}
NUMERICAL = 6e-3
"""Relative error of the limits that bounds are compared with, and a little."""


@pytest.fixture
def quick(monkeypatch):
    """Bounds from few tangents and points."""
    monkeypatch.setattr(samples, "BITS", (0.5, 1.0, 2.0, 4.0))
    monkeypatch.setattr(samples, "FIRST_STEPS", 8)
    monkeypatch.setattr(samples, "PARTS", 12)


def holds(name, dim, frames, rates, seed=0):
    """The bounds at all rates, which must lie on their sides of the truth."""
    drawn, truth = SOURCES[name](np.random.default_rng(seed), frames, dim)
    bounds = sandwich(drawn)
    for bits in rates:
        least = truth(bits)
        assert bounds.lower(bits) <= least * (1 + NUMERICAL) + 1e-9, (name, dim, bits)
        assert bounds.upper(bits) >= least * (1 - NUMERICAL) - 1e-9, (name, dim, bits)
    return bounds, truth


@pytest.mark.parametrize(("name", "dim", "bits"), [("gaussian", 1, 1), ("laplace", 2, 2), ("banana", 2, 2), ("letters", 3, 2)])
def test_the_known_function_lies_between_bounds_that_are_near(quick, name, dim, bits):
    """1024 frames, of which 256 bound from below: with many more the two are near each other, as the slow test asks."""
    bounds, truth = holds(name, dim, 1024, (0.1, 0.5, 1, 2, 3, 6))
    assert bounds.frames == (256, 256)
    assert 10 * math.log10(truth(bits) / bounds.lower(bits)) < 2.6
    assert 10 * math.log10(bounds.upper(bits) / truth(bits)) < 2.6


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dim", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("name", SOURCES)
def test_the_known_function_lies_between_bounds(name, dim, seed):
    if name == "banana" and dim != 2:
        pytest.skip("a banana lies in a plane")
    bounds, _ = holds(name, dim, 24576, (0.05, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 14), seed)
    if dim <= 2:
        assert 10 * math.log10(bounds.upper(2) / bounds.lower(2)) < 2.0


def autoregressive(random, frames, dim, correlation):
    white = random.standard_normal((frames, dim))
    series = [white[0]]
    for innovation in white[1:]:
        series.append(correlation * series[-1] + math.sqrt(1 - correlation**2) * innovation)
    return np.array(series)


def test_frames_that_are_like_their_neighbours_do_not_bring_the_upper_bound_below_the_truth(quick):
    """Were particles on neighbours of the frames that judge them, they would seem to cost next to nothing."""
    random = np.random.default_rng(0)
    bounds = sandwich(*(autoregressive(random, frames, 8, 0.95) for frames in (2048, 4096)))
    for bits in (2, 6, 8):
        assert bounds.lower(bits) <= 2 ** (-2 * bits / 8) <= bounds.upper(bits)


def test_standard_errors_of_frames_in_a_row_are_those_of_their_blocks():
    """Against how much the means of many series differ; those of independent frames would be a sixth of that."""
    random = np.random.default_rng(0)
    series = autoregressive(random, 4096, 200, 0.95).T
    found = np.mean([particles.standard_error(one, samples.BLOCKS) for one in series])
    assert found == pytest.approx(series.mean(1).std(), rel=0.2)
    assert np.mean([particles.standard_error(one, None) for one in series]) < found / 5


def test_halves_meet_between_two_runs():
    frames = np.arange(2000.0)[:, None] % 1000
    for runs, middle in ((None, 1000), ((700, 1300), 700), ((100, 1900), 1000), ((450, 150, 500, 900), 1100)):
        _, first, second = samples._parts(frames, frames, np.random.default_rng(0), runs)
        assert np.array_equal(np.concatenate([first, second]), frames)
        assert len(first) == middle


def test_runs_of_another_number_of_frames_are_refused():
    frames = np.random.default_rng(0).standard_normal((600, 1))
    with pytest.raises(ValueError, match="runs of 599 frames: held_out has 600"):
        sandwich(frames, frames, runs=(300, 299))
    with pytest.raises(ValueError, match="runs of 600 frames: held_out has 0"):
        sandwich(np.concatenate([frames] * 2), runs=(600,))


def test_the_upper_curve_is_the_best_of_sharing_time_and_of_coding_what_is_left():
    nothing, point = Point(0, 2.0, 0, 0), Point(2 * math.log(2), 0.5, 0, 0)
    bounds = Sandwich(2, (nothing, point), (), (0, 0))
    assert bounds.upper(0) == 1.0
    assert bounds.upper(1) == pytest.approx(min(0.5 * (1 + 0.25), 2**-1))  # both are mean square errors a component
    assert bounds.upper(4) == pytest.approx(0.25 / 4)
    far = Sandwich(20, (nothing, point), (), (0, 0))
    assert far.upper(1) == pytest.approx((2 + 0.5) / 2 / 20)  # in many dimensions white noise costs more than time shared
    unsure = Sandwich(2, (Point(0, 2.0, 0, 0.1), Point(2 * math.log(2), 0.5, 0.1, 0.01)), (), (0, 0))
    assert unsure.upper(0, sigmas=2) == pytest.approx(1.1)
    assert unsure.upper(0, sigmas=0) == 1.0
    assert Sandwich(2, (Point(0.1, 2.0, 0, 0),), (), (0, 0)).upper(0) == 1.0


@pytest.mark.parametrize("dim", [1, 5])
def test_the_lower_curve_of_a_gaussians_tangents_is_its_function(dim):
    """The tangent at a water level ``noise`` has a height of ``dim / 2 (1 - log noise)``; one bounds fewer bits, too."""
    tangents = tuple(Tangent(0.5 / noise, dim / 2 * (1 - math.log(noise)), 0.0) for noise in (0.1, 0.02))
    bounds = Sandwich(dim, (), tangents, (0, 0))
    lowest = -dim / 2 * math.log2(0.02)
    for bits in (0.01, 0.5, lowest / 2, lowest):
        assert bounds.lower(bits) == pytest.approx(2 ** (-2 * bits / dim))
    assert bounds.lower(lowest + 0.2) < 2 ** (-2 * (lowest + 0.2) / dim)
    assert bounds.lower(40 * dim) == 0
    unsure = Sandwich(dim, (), (Tangent(5, tangents[0].height, 0.1),), (0, 0))
    assert unsure.lower(0.1) == pytest.approx(2 ** (-2 * 0.1 / dim) * math.exp(-2 * 0.3 / dim))


def test_one_part_is_reverse_water_filling():
    variances, noise = np.array([3.0, 1.0, 0.2]), 0.5
    random = np.random.default_rng(0)
    frames = random.standard_normal((200_000, 3)) * np.sqrt(variances) + 5
    mixture = fit(frames, mixtures.start(frames[:500], 1, noise, 0), noise, 1)
    found = channel(frames, mixture, noise)
    nats = (found.height - found.distance / (2 * noise)).mean()
    assert nats == pytest.approx(0.5 * np.log(variances[:2] / noise).sum(), rel=0.01)
    assert found.distance.mean() == pytest.approx(2 * noise + 0.2, rel=0.01)


def test_a_mixtures_channel_is_the_posterior_of_its_reproductions():
    """Against reproductions drawn from the mixture: the mean of exp(-|x - y|**2 / (2 noise)), and distances weighted by it."""
    random, noise = np.random.default_rng(1), 0.3
    share, mean, spread = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([[0.5, 0.3], [1.5, 0.8]])
    angle = np.array([[[0.8, -0.6], [0.6, 0.8]], np.eye(2)])
    x = random.standard_normal((3, 2))
    found = channel(x, Mixture(share, mean, angle, spread), noise)
    part = random.choice(2, p=share, size=400_000)
    deviation = random.standard_normal((len(part), 2)) * np.sqrt(np.maximum(spread[part] - noise, 0))
    y = mean[part] + np.einsum("nij,nj->ni", angle[part], deviation)
    for i in range(3):
        squares = np.square(x[i] - y).sum(1)
        weight = np.exp(-squares / (2 * noise))
        assert found.height[i] == pytest.approx(-math.log(weight.mean()), abs=0.02)
        assert found.distance[i] == pytest.approx((weight * squares).sum() / weight.sum(), rel=0.02)


def test_a_step_never_makes_a_mixture_worse():
    frames = np.random.default_rng(0).laplace(size=(600, 3))
    mixture = mixtures.start(frames, 4, 0.2, 0)
    heights = []
    for _ in range(6):
        heights.append(channel(frames, mixture, 0.2).height.mean())
        mixture = fit(frames, mixture, 0.2, 1)
    assert np.all(np.diff(heights) < 1e-8)


def test_a_samples_optimum_is_that_of_the_finite_alphabet():
    """Against the solver for alphabets, and Csiszar's condition on a grid of a plane."""
    random = np.random.default_rng(3)
    frames, noise = random.standard_normal((300, 2)), 0.15
    found = particles.optimum(frames, noise, random)
    tangent = finite.FiniteAlphabet(frames[None])._tangent(0.5 / noise)
    assert found.height <= tangent.nats + tangent.distance * tangent.slope + 1e-6  # no channel is below a lower bound
    assert found.height == pytest.approx(tangent.height, abs=0.03)
    log = special.logsumexp(
        -np.square(frames[:, None] - found.place).sum(-1) / (2 * noise), axis=1, b=found.share / found.share.sum()
    )
    grid = np.stack(np.meshgrid(*[np.linspace(-4, 4, 81)] * 2), -1).reshape(-1, 2)
    squares = np.square(grid[:, None] - frames).sum(-1)
    highest = np.exp(special.logsumexp(-squares / (2 * noise) - log, axis=1)).max() / len(frames)
    assert found.height <= -log.mean() - math.log(highest) + 1e-4
    height, distance = particles.costs(frames, found, noise)
    assert height == pytest.approx(-log)
    assert distance.mean() == pytest.approx(tangent.distance, rel=0.1)


def test_the_lower_bound_of_few_frames_is_lower():
    """In the mean: what more frames rule out, fewer do not."""
    random, noise = np.random.default_rng(0), 0.1
    few, many = ([particles.optimum(random.standard_normal((n, 1)), noise, random).height for _ in range(6)] for n in (64, 512))
    truth = 0.5 * (1 - math.log(noise))
    assert np.mean(few) < np.mean(many) < truth


def test_bounds_do_not_depend_on_scale_or_place_and_hold_for_what_is_held_out(quick):
    random = np.random.default_rng(0)
    frames = random.laplace(size=(1024, 2))
    first, second = sandwich(frames), sandwich(1000 + 0.01 * frames)
    for bits in (0.5, 2):
        assert second.upper(bits) == pytest.approx(1e-4 * first.upper(bits), rel=1e-3)
        assert second.lower(bits) == pytest.approx(1e-4 * first.lower(bits), rel=1e-3)
    wider = sandwich(frames[:512], 3 * frames[512:])
    assert wider.lower(0) > 4 * first.lower(0)


@pytest.mark.parametrize(
    ("given", "held_out", "message"),
    [
        (np.zeros(9), None, r"samples of shape \(9,\): must be \(frames, dim\)"),
        (np.full((2000, 2), np.nan), None, "samples: a number is not finite"),
        (np.ones((2000, 2)), None, "all frames are the same"),
        (np.ones((2000, 2)), np.ones((2000, 3)), "held_out has 3 components, samples have 2"),
        (np.ones((600, 2)), None, "300 frames to fit and 300 to judge: at least 256 and 512"),
    ],
)
def test_what_cannot_be_bounded_is_refused(given, held_out, message):
    with pytest.raises(ValueError, match=message):
        sandwich(given, held_out)


def test_the_example_of_the_page_works(quick, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "limits.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    np.save("latents.npy", np.random.default_rng(0).laplace(size=(5200, 3)).astype(np.float16))
    exec(compile(example, "docs/limits.md", "exec"), {})
    lines = re.findall(r"(\d) bits a frame: .* from ([\d.e-]+) to ([\d.e-]+)", capsys.readouterr().out)
    assert [bits for bits, _, _ in lines] == ["1", "2", "4"]
    assert all(0 < float(lower) < float(upper) < 2.2 for _, lower, upper in lines)


def test_the_table_of_the_page_is_that_of_the_data():
    spec = importlib.util.spec_from_file_location("sandwich_table", ROOT / "scripts" / "sandwich_table.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    data = pd.read_csv(script.DATA)
    assert script.page(data) == script.PAGE.read_text(), "run python scripts/sandwich_table.py"
    assert set(data["source"]) == set(script.SOURCES)
    assert (data["lower_mse"] <= data["mse"] * (1 + NUMERICAL) + 1e-9).all()
    assert (data["upper_mse"] >= data["mse"] * (1 - NUMERICAL) - 1e-9).all()

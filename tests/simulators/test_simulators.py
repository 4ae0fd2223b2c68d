import math

import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.limits import Limit
from quantbench.simulators import (
    Banana,
    Codeword,
    Gaussian,
    GaussMarkov,
    Laplace,
    Rotation,
    Sawbridge,
    Simulator,
    Uniform,
)
from quantbench.streams import Streams

ALL: list[Simulator] = [
    Codeword(bits=3, frame_dim=5),
    Rotation(bits=2, frame_dim=3),
    Gaussian(),
    Laplace(),
    Uniform(),
    GaussMarkov(),
    Banana(),
    Sawbridge(frame_dim=31),
]


@pytest.mark.parametrize("simulator", ALL, ids=lambda s: type(s).__name__)
def test_frames_have_the_declared_shapes_and_unit_variance(simulator):
    streams = Streams([0, 1])
    world = simulator.world(streams)
    frames = simulator.draw(world, streams, 20000)
    assert frames.input.shape == (2, 20000, simulator.input_dim)
    assert frames.target.shape == (2, 20000, simulator.target_dim)
    assert (frames.side is None) == (simulator.side_dim == 0)
    if not isinstance(simulator, Codeword):  # whose few codewords have the variance that they happen to have
        assert torch.allclose(frames.target.var(dim=(1, 2)), torch.ones(2), rtol=0.03)


@pytest.mark.parametrize("simulator", ALL, ids=lambda s: type(s).__name__)
def test_evaluation_does_not_depend_on_what_training_drew(simulator):
    def evaluation(draws: int) -> torch.Tensor:
        streams = Streams([4])
        world = simulator.world(streams)
        for _ in range(draws):
            simulator.draw(world, streams, 10)
        return simulator.evaluation(world, streams).input

    assert torch.equal(evaluation(0), evaluation(3))


def test_codeword_needs_exactly_its_bits():
    simulator, streams = Codeword(bits=5, frame_dim=6), Streams([0, 1])
    world = simulator.world(streams)
    seen = simulator.draw(world, streams, 2000).input
    assert all(len(trial.unique(dim=0)) == 2**5 for trial in seen)
    every = simulator.evaluation(world, streams)
    assert every.input.shape == (2, 32, 6)
    assert torch.equal(every.input, world["codewords"])
    assert simulator.source_bits == 5


def test_codeword_target_is_one_rotation_of_the_codeword():
    simulator, streams = Codeword(bits=4, frame_dim=6), Streams([0])
    frames = simulator.evaluation(simulator.world(streams), streams)
    rotation = torch.linalg.lstsq(frames.input[0].double(), frames.target[0].double()).solution
    assert torch.allclose(rotation @ rotation.T, torch.eye(6).double(), atol=1e-4)


def test_nuisance_is_on_the_input_alone():
    clean, noisy = Codeword(bits=3), Codeword(bits=3, nuisance=0.5)
    streams = Streams([0])
    world = noisy.world(streams)
    frames = noisy.evaluation(world, streams)
    reference = clean.evaluation(world, streams)
    repeats = frames.input.shape[1] // 8
    assert torch.equal(frames.target, reference.target.repeat(1, repeats, 1))
    noise = frames.input - reference.input.repeat(1, repeats, 1)
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)


def test_rotation_copy_follows_from_side_information_and_the_index():
    simulator, streams = Rotation(bits=2, frame_dim=3), Streams([0, 1])
    world = simulator.world(streams)
    frames = simulator.draw(world, streams, 50)
    assert frames.side is not None
    candidates = torch.einsum("trij,tnj->tnri", world["rotations"], frames.side)
    distance = (candidates - frames.target.unsqueeze(2)).norm(dim=-1)
    assert torch.all(distance.amin(-1) < 1e-5)
    assert all(len(best.unique()) == 4 for best in distance.argmin(-1))
    assert torch.equal(frames.input, torch.cat([frames.side, frames.target], dim=-1))


def test_distributions_by_their_fourth_moment():
    for simulator, kurtosis in ((Gaussian(), 3.0), (Laplace(), 6.0), (Uniform(), 1.8)):
        samples = simulator.draw({}, Streams([0]), 100000).input.double()
        assert samples.pow(4).mean().item() == pytest.approx(kurtosis, rel=0.03)


def test_gauss_markov_correlation_falls_geometrically():
    samples = GaussMarkov(frame_dim=6, correlation=0.8).draw({}, Streams([0]), 100000).input[0]
    found = torch.corrcoef(samples.T)[0]
    assert torch.allclose(found, 0.8 ** torch.arange(6), atol=0.02)


def test_blocks_in_a_row_are_one_stretch_of_the_process():
    simulator = GaussMarkov(frame_dim=4, correlation=0.8, in_a_row=48)
    streams = Streams([0, 1])
    found = simulator.evaluation({}, streams)
    assert found.runs == (48,) * (found.input.shape[1] // 48)
    assert sum(found.runs) == found.input.shape[1] >= simulator.held_out_frames
    samples = found.input[0].view(len(found.runs), -1)  # a stretch a row
    for distance in (1, 4, 5):  # over the blocks' ends as within
        product = (samples[:, :-distance] * samples[:, distance:]).mean()
        assert product.item() == pytest.approx(0.8**distance, abs=0.02)
    ends = found.input[0]
    assert (ends[47:-1:48, -1] * ends[48::48, 0]).mean().item() == pytest.approx(0, abs=0.15)
    alone = GaussMarkov(frame_dim=4, correlation=0.8)
    assert alone.evaluation({}, streams).runs is None
    assert torch.equal(simulator.draw({}, Streams([3]), 50).input, alone.draw({}, Streams([3]), 50).input)


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (Codeword(bits=0), "simulator.bits=0: must be at least 1"),
        (Codeword(bits=60), "simulator.bits=60: its alphabet would take .* allows at most simulator.bits="),
        (Rotation(bits=50), "allows at most simulator.bits="),
        (Codeword(nuisance=-1.0), "simulator.nuisance"),
        (GaussMarkov(correlation=1.0), "simulator.correlation=1.0: must lie between"),
        (GaussMarkov(in_a_row=0), "simulator.in_a_row=0: must lie between 1 and 16384"),
        (Gaussian(frame_dim=0), "simulator.frame_dim=0: must be at least 1"),
    ],
)
def test_bad_settings_are_named(simulator, message):
    with pytest.raises(ConfigError, match=message):
        simulator.check()


def test_the_largest_alphabet_that_the_message_names_is_accepted():
    with pytest.raises(ConfigError) as refused:
        Codeword(bits=60).check()
    largest = int(str(refused.value).rpartition("simulator.bits=")[2].split()[0])
    Codeword(bits=largest).check()
    with pytest.raises(ConfigError):
        Codeword(bits=largest + 1).check()
    assert Codeword(bits=largest).bytes_per_trial > 2**20


def test_banana_is_a_normal_density_bent_along_a_parabola():
    streams = Streams([0])
    x = Banana().draw({}, streams, 50000).input[0].double() * Banana().scale
    angle = math.radians(240)
    along = math.cos(angle) * x[:, 0] - math.sin(angle) * x[:, 1]
    across = math.sin(angle) * x[:, 0] + math.cos(angle) * x[:, 1]
    unbent = across + 0.1 * along.square()
    assert along.std().item() == pytest.approx(3, rel=0.02)
    assert unbent.std().item() == pytest.approx(0.5, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([along, unbent]))[0, 1]) < 0.02


def test_limit_of_the_banana_is_its_variance_at_0_bits_and_shannons_lower_bound_at_many():
    limit = Banana().limit({}, 0)
    assert isinstance(limit, Limit)
    assert limit.mse(0) == 1
    # Bending keeps areas: the geometric mean of the unbent variances, 2**-bits for two dimensions.
    assert limit.mse(10) == pytest.approx(3 * 0.5 / Banana().scale ** 2 * 2.0**-10, rel=1e-3)
    # Where the banana is still bent for the noise, the bound is loose.
    assert limit.mse(1) > 1.9 * 3 * 0.5 / Banana().scale ** 2 * 2.0**-1


def test_sawbridge_is_a_ramp_with_one_jump():
    simulator, streams = Sawbridge(frame_dim=7), Streams([0])
    frames = simulator.evaluation({}, streams).input[0]
    assert frames.shape == (8, 7)
    assert simulator.source_bits == 3
    raw = frames / math.sqrt(6 * 8 / 9)
    t = torch.arange(1, 8) / 8
    for jump, frame in enumerate(raw):
        assert torch.allclose(frame, t - (torch.arange(7) >= jump).float(), atol=1e-6)
    drawn = simulator.draw({}, streams, 4000).input[0]
    assert len(drawn.unique(dim=0)) == 8
    assert frames.mean(0).abs().max() < 1e-6


def test_every_held_out_set_is_large_enough():
    for simulator in ALL:
        streams = Streams([0])
        frames = simulator.evaluation(simulator.world(streams), streams).target
        assert simulator.exact or frames.numel() > 2**17 - simulator.target_dim

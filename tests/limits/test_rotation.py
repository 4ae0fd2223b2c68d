"""The rotation's limit against a computation that shares nothing with it: in the plane, where only a frame's length counts."""

import numpy as np
import pytest
import torch

from quantbench.simulators import Rotation
from quantbench.streams import Streams


def circle(angles: np.ndarray, slope: float) -> tuple[float, float]:
    """Rate in bits and mean square error per feature of points at ``angles`` on circles with a normal frame's lengths.

    Blahut and Arimoto with reproductions on a grid. Half a squared length has an exponential distribution; equal steps of its
    logarithm reach the short frames, on which the error lies at a high slope.
    """
    nodes = np.geomspace(1e-4, 25, 45)
    weights = nodes * np.exp(-nodes)
    weights /= weights.sum()
    side = np.linspace(-1.02, 1.02, 69)
    y = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    y = y[np.hypot(*y.T) <= 1.02]
    points = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    y = np.concatenate([points, y])
    squares = np.square(points[:, None] - y).sum(-1)
    nats = distance = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        kernel = np.exp(-slope * 2 * node * squares)
        share = np.full(len(y), 1 / len(y))
        for _ in range(800):
            mixture = kernel @ share
            share = share * (kernel / mixture[:, None]).mean(0)
        channel = kernel * share / (kernel @ share)[:, None]
        mean = float((channel * squares).sum(1).mean())
        nats += weight * (-float(np.log(kernel @ share).mean()) - slope * 2 * node * mean)
        distance += weight * 2 * node * mean
    return nats / np.log(2), distance / 2


@pytest.mark.parametrize("slope", [1.0, 4.0, 20.0, 100.0])
def test_rotations_of_the_plane(slope):
    simulator = Rotation(bits=2, frame_dim=2)
    world = simulator.world(Streams([3]))
    limit = simulator.limit(world, 0)
    turns = world["rotations"][0].double()
    angles = torch.atan2(turns[:, 1, 0], turns[:, 0, 0]).numpy()
    bits, mse = circle(angles, slope)
    assert limit.mse(bits + limit.error_bits) * (1 - limit.error) <= mse
    assert limit.mse(bits - limit.error_bits) * (1 + limit.error) >= mse
    assert limit.bits(mse) == pytest.approx(bits, abs=0.02)

"""Distances to the nearest of many samples."""

from __future__ import annotations

from torch import Tensor

from quantbench.kernels.library import call


def ranked_distances(points: Tensor, samples: Tensor, near: int, far: int) -> Tensor:
    """Distances (trials, points, 2) from each point to its samples (trials, number, dim) of rank ``near`` and of rank ``far``.

    Ranks are 1 for the nearest, ``near <= far <= number``. NaN where a point is not finite.
    """
    trials, count, dim = points.shape
    number = samples.shape[1]
    if samples.shape[0] != trials or samples.shape[2] != dim or not 1 <= near <= far <= number:
        raise ValueError(f"ranks {near}, {far} of samples {tuple(samples.shape)} do not fit points {tuple(points.shape)}")
    found = points.new_empty(trials, count, 2)
    call("ranked_distances", trials, count, number, dim, near, far, points.contiguous(), samples.contiguous(), found)
    return found

"""Mixtures of normal densities as reproductions: channels whose rate and distortion have a closed form.

A reproduction is drawn from a mixture, and the frame is the reproduction with white noise of variance ``noise`` a component,
as in the test channel of a Gaussian source. A part of the mixture is kept with that noise: no eigenvalue of its covariance is
below ``noise``. One part is reverse water-filling; parts as narrow as the noise are codewords.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from quantbench.limits.densities import Array
from quantbench.limits.kmeans import kmeans

START_FRAMES = 4096
"""Frames of the k-means that a mixture starts from."""
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Normal densities of frames: of reproductions, noise included.

    Attributes:
        share: probabilities, (parts,).
        mean: (parts, dim).
        axes: eigenvectors of the covariances, in columns, (parts, dim, dim).
        spread: their eigenvalues, (parts, dim); not below the noise.
    """

    share: Array
    mean: Array
    axes: Array
    spread: Array

    def at(self, noise: float) -> Mixture:
        """The same with more noise: narrower directions than it are widened."""
        return Mixture(self.share, self.mean, self.axes, np.maximum(self.spread, noise))

    def logs(self, frames: Array, noise: float) -> Array:
        """Logarithms of what each part adds to the mean of ``exp(-|x - y|**2 / (2 noise))`` over y, (frames, parts)."""
        logs = np.empty((len(frames), len(self.share)))
        for part, (share, mean, axes, spread) in enumerate(zip(self.share, self.mean, self.axes, self.spread, strict=True)):
            square = np.square((frames - mean) @ axes) @ (1 / spread)
            logs[:, part] = math.log(share + LEAST_SHARE) - 0.5 * square + 0.5 * np.log(noise / spread).sum()
        return logs


@dataclass(frozen=True)
class Channel:
    """What a channel from frames to reproductions costs, frame by frame, (frames,) each.

    Attributes:
        height: ``nats + distance / (2 noise)``.
        distance: mean squared distance of the reproductions to the frame.
    """

    height: Array
    distance: Array


def start(frames: Array, parts: int, noise: float, seed: int) -> Mixture:
    """A mixture around the codewords of k-means."""
    part = frames[:START_FRAMES].astype(np.float32)
    codebook = kmeans(part, min(parts, len(part)), seed, restarts=1).astype(np.float64)
    squares = np.square(frames[:, None] - codebook).sum(-1)
    return _refitted(frames, np.eye(len(codebook))[squares.argmin(1)], noise)


def fit(frames: Array, mixture: Mixture, noise: float, steps: int) -> Mixture:
    """Expectation maximization: every step lowers the mean ``height`` of the frames (frames, dim), or leaves it."""
    mixture = mixture.at(noise)
    for _ in range(steps):
        logs = mixture.logs(frames, noise)
        mixture = _refitted(frames, np.exp(logs - special.logsumexp(logs, axis=1, keepdims=True)), noise)
    return mixture


def _refitted(frames: Array, posterior: Array, noise: float) -> Mixture:
    """The likeliest mixture of parts with these posterior probabilities (frames, parts) and this noise.

    With the noise as a floor the best covariance has the sample's eigenvectors, and its eigenvalues or the floor.
    """
    weight = posterior.sum(0) + LEAST_SHARE
    mean = posterior.T @ frames / weight[:, None]
    axes, spread = [], []
    for part in range(len(weight)):
        centred = frames - mean[part]
        values, vectors = np.linalg.eigh((centred * posterior[:, part : part + 1]).T @ centred / weight[part])
        axes.append(vectors)
        spread.append(np.maximum(values, noise))
    return Mixture(weight / weight.sum(), mean, np.array(axes), np.array(spread))


def channel(frames: Array, mixture: Mixture, noise: float) -> Channel:
    """The best channel from frames (frames, dim) to reproductions of the mixture: the posterior of reproductions.

    Given a part, a reproduction is normal: the frame's distance to the mean, shrunk by ``noise / spread`` in each direction, is
    the error's mean, and ``noise (1 - noise / spread)`` its variance.
    """
    mixture = mixture.at(noise)
    logs = mixture.logs(frames, noise)
    log = special.logsumexp(logs, axis=1)
    distance = np.zeros(len(frames))
    for part, (mean, axes, spread) in enumerate(zip(mixture.mean, mixture.axes, mixture.spread, strict=True)):
        kept = noise / spread
        error = np.square((frames - mean) @ axes) @ np.square(kept) + noise * (1 - kept).sum()
        distance += np.exp(logs[:, part] - log) * error
    return Channel(-log, distance)

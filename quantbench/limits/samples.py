"""Bounds on the rate-distortion function of a source of which there are samples alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from quantbench.limits import mixtures, particles
from quantbench.limits.densities import Array

BITS = (0.25, 0.5, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0, 11.0)
"""Rates, bits a frame, about which bounds are looked for; between and beyond them they follow from these."""
FIT, JUDGED, SAMPLE = 8192, 8192, 2048
"""Most frames that mixtures are fitted to, that judge them, and whose own optimum bounds from below."""
FEWEST = 256
"""Frames without which there is no bound."""
PARTS, WORK = 32, 512
"""Most parts of a mixture; fewer where parts times dimensions are more than the second."""
FIRST_STEPS, STEPS = 20, 6
LEAST_NOISE = 1e-4
"""Least noise, in mean variances."""
SIGMAS = 3.0
"""Standard errors that are allowed for."""
BLOCKS = 32
"""Blocks of frames in a row whose means give the standard errors of frames that follow each other in time."""


@dataclass(frozen=True)
class Point:
    """A channel's rate and distortion: the source's function is not above it.

    Attributes:
        nats: a frame.
        distance: mean squared distance of a frame, all components together.
        nats_error, distance_error: standard errors.
    """

    nats: float
    distance: float
    nats_error: float
    distance_error: float

    def allowed(self, sigmas: float) -> tuple[float, float]:
        """Nats and distance with so many standard errors added."""
        return self.nats + sigmas * self.nats_error, self.distance + sigmas * self.distance_error


@dataclass(frozen=True)
class Tangent:
    """A line under the source's function: ``nats + slope * distance`` is at least ``height``.

    Attributes:
        slope: nats per unit of squared distance.
        height: as estimated; in the mean over samples it is below the truth.
        error: its standard error.
    """

    slope: float
    height: float
    error: float


@dataclass(frozen=True)
class Sandwich:
    """What samples say of a source's rate-distortion function: it lies between two curves.

    Attributes:
        dim: components of a frame.
        points: of channels; the upper curve.
        tangents: the lower curve.
        frames: that judged the channels, and that bounded from below.
    """

    dim: int
    points: tuple[Point, ...]
    tangents: tuple[Tangent, ...]
    frames: tuple[int, int]

    def upper(self, bits: float, sigmas: float = SIGMAS) -> float:
        """A mean square error a component that some code of many frames together reaches with ``bits`` a frame.

        Between two points by sharing time. Beyond one, with r more nats, by coding what is left of each frame as if it were
        white and Gaussian: the distance falls by ``exp(-2 r / dim)`` at least.
        """
        nats = bits * math.log(2)
        known = sorted(point.allowed(sigmas) for point in self.points)
        found = [distance * math.exp(2 * (own - nats) / self.dim) for own, distance in known if own <= nats]
        for own, distance in known:
            for more, less in known:
                if own <= nats < more and less < distance:
                    found.append(distance + (less - distance) * (nats - own) / (more - own))
        return min(found, default=known[0][1]) / self.dim

    def lower(self, bits: float, sigmas: float = SIGMAS) -> float:
        """A mean square error a component below which no code of ``bits`` a frame comes; 0 where the samples bound nothing.

        Under the tangents; and for fewer nats than where a tangent meets a distance of ``dim / (2 slope)``, by what was said
        of ``upper``, turned about: were the distance less, more nats would bring it below the tangent.
        """
        nats, best = bits * math.log(2), 0.0
        for tangent in self.tangents:
            height, turn = tangent.height - sigmas * tangent.error, self.dim / (2 * tangent.slope)
            spare = height - nats
            best = max(best, turn * math.exp(2 * spare / self.dim - 1) if spare > self.dim / 2 else spare / tangent.slope)
        return best / self.dim


def sandwich(
    samples: ArrayLike, held_out: ArrayLike | None = None, seed: int = 0, runs: Sequence[int] | None = None
) -> Sandwich:
    """Upper and lower bounds on the rate-distortion function of a source, from samples of it.

    Formula: with ``z(x) = E_q exp(-s |x - y|**2)`` for reproductions y drawn by q, ``R(D) <= E[-log z] - s D`` at the D of the
        best channel to them; and ``R(D) + s D >= E[-log z] - log sup_y E[exp(-s |x - y|**2) / z]`` for any positive z.
    Source: Yang & Mandt 2022, "Towards empirical sandwich bounds on the rate-distortion function", arXiv 2111.12166; Yang,
        Eckstein, Nutz & Mandt 2023, arXiv 2310.18908 (particles). Both bounds are found otherwise than there: q is a Gaussian
        mixture by expectation maximization, or particles, in the place of networks by gradients; and z is the optimum of the
        sample that judges it, which is too low in the mean, as in Mak, Morton & Wood 1999, Oper. Res. Lett. 24(1), and far
        less so than a network's z on frames that it has not seen.
    Recommended: thousands of frames. The lower bound reaches no rate above 11 bits, ``log2`` of the 2048 frames that it sees,
        and lies far below the truth where more than about ten dimensions matter.
    Compared with: rate-distortion functions that are known; the authors' code, read.

    What is assumed: ``held_out`` are frames of a stationary source, in order of time, that have nothing to do with ``samples``.
    Neighbours may be alike, but not frames further apart than a 32nd of half of them: one half bounds from below, the other
    judges channels, and standard errors come from the means of ``BLOCKS`` blocks in a row of each. Without ``held_out`` all
    frames are taken to be independent.

    Args:
        samples: (frames, dim); what is known of the source, finite numbers.
        held_out: likewise, frames that the bounds are judged on and hold for. Without them half of the samples, drawn at
            random: where neighbouring frames are alike (a recording's), give others, lest what was fitted is judged by itself,
            and the upper bound falls below the truth.
        seed: of what is drawn.
        runs: how many frames of ``held_out`` in a row follow each other, run by run; its halves meet between two runs, then.

    Raises:
        ValueError: not two dimensions, other numbers of components, a number that is not finite, frames that are all the
            same, fewer than 256 to fit or 512 to judge, or runs of another number of frames.
    """
    random = np.random.default_rng(seed)
    known = None if held_out is None else _frames("held_out", held_out)
    fitted, sample, judged = _parts(_frames("samples", samples), known, random, runs)
    blocks = None if known is None else BLOCKS
    centre = fitted.mean(0)
    scale = math.sqrt(float(np.square(fitted - centre).mean()))
    if not scale:
        raise ValueError("samples: all frames are the same")
    fitted, sample, judged = ((frames - centre) / scale for frames in (fitted[:FIT], sample, judged))
    few = judged[:SAMPLE] if known is None else _thinned(judged, SAMPLE)
    points, tangents = [_silent(judged, blocks)], []
    one, many = (
        mixtures.fit(fitted, mixtures.start(fitted, parts, LEAST_NOISE, seed), LEAST_NOISE, FIRST_STEPS)
        for parts in (1, max(2, min(PARTS, WORK // fitted.shape[1])))
    )
    for noise in reversed(
        _noises(sample[:1024] if known is None else _thinned(sample, 1024), many)
    ):  # parts grow together as the noise grows
        many = mixtures.fit(fitted, many, noise, STEPS)
        found = particles.optimum(sample, noise, random, blocks)
        tangents.append(Tangent(0.5 / (noise * scale**2), found.height, found.error))
        for mixture in (one, many):
            channel = mixtures.channel(judged, mixture, noise)
            points.append(_point(channel.height, channel.distance, noise, blocks))
        points.append(_point(*particles.costs(few, found, noise), noise, blocks))
    return Sandwich(fitted.shape[1], tuple(_scaled(p, scale) for p in points), tuple(tangents), (len(judged), len(sample)))


def _frames(name: str, given: ArrayLike) -> Array:
    frames = np.asarray(given, dtype=np.float64)
    if frames.ndim != 2 or not frames.shape[1]:
        raise ValueError(f"{name} of shape {frames.shape}: must be (frames, dim)")
    if not np.isfinite(frames).all():
        raise ValueError(f"{name}: a number is not finite")
    return frames


def _parts(
    samples: Array, held_out: Array | None, random: np.random.Generator, runs: Sequence[int] | None
) -> tuple[Array, Array, Array]:
    """Frames to fit, in random order, frames that bound from below, frames to judge; these two in the order of ``held_out``."""
    samples = samples[random.permutation(len(samples))]
    fitted, known = (samples[: len(samples) // 2], samples[len(samples) // 2 :]) if held_out is None else (samples, held_out)
    if fitted.shape[1] != known.shape[1]:
        raise ValueError(f"held_out has {known.shape[1]} components, samples have {fitted.shape[1]}")
    if len(fitted) < FEWEST or len(known) < 2 * FEWEST:
        raise ValueError(
            f"{len(fitted)} frames to fit and {len(known)} to judge: at least {FEWEST} and {2 * FEWEST} are needed"
        )
    if runs is not None and (held_out is None or sum(runs) != len(held_out)):
        raise ValueError(f"runs of {sum(runs)} frames: held_out has {0 if held_out is None else len(held_out)}")
    if held_out is None:
        sample = min(SAMPLE, len(known) // 2)
        return fitted, known[:sample], known[sample:][:JUDGED]
    # Neighbours may be alike: no frame that bounds from below, and places particles, may sit among those that judge these.
    middle = _middle(len(known), runs)
    return fitted, _thinned(known[:middle], SAMPLE), _thinned(known[middle:], JUDGED)


def _middle(count: int, runs: Sequence[int] | None) -> int:
    """Where the second half of the frames begins: between two runs, if some meet in the middle two quarters."""
    ends = np.cumsum(runs or [0])
    least = max(FEWEST, count // 4)
    ends = ends[(ends >= least) & (ends <= count - least)]
    return int(ends[np.abs(2 * ends - count).argmin()]) if len(ends) else count // 2


def _thinned(frames: Array, most: int) -> Array:
    """At most so many of the frames, in order and evenly spaced."""
    return frames if len(frames) <= most else frames[np.linspace(0, len(frames) - 1, most).astype(int)]


def _noises(frames: Array, mixture: mixtures.Mixture) -> list[float]:
    """Noises, descending, with which the mixture's channels have the rates ``BITS``; the least for those too high."""

    def excess(log: float, bits: float) -> float:
        channel = mixtures.channel(frames, mixture, math.exp(log))
        return float((channel.height - channel.distance / (2 * math.exp(log))).mean()) / math.log(2) - bits

    low, high = math.log(LEAST_NOISE), math.log(10.0 * frames.shape[1])
    reached = excess(low, 0.0)
    rates = [bits for bits in BITS if excess(high, bits) < 0 < reached - bits]
    found = [math.exp(optimize.brentq(excess, low, high, (bits,), xtol=1e-3)) for bits in rates]
    return found if reached > BITS[-1] else [*found, LEAST_NOISE]


def _point(height: Array, distance: Array, noise: float, blocks: int | None) -> Point:
    nats = height - distance / (2 * noise)
    errors = (particles.standard_error(values, blocks) for values in (nats, distance))
    return Point(float(nats.mean()), float(distance.mean()), *errors)


def _silent(frames: Array, blocks: int | None) -> Point:
    """No rate at all, and the mean for a reproduction."""
    return _point(np.zeros(len(frames)), np.square(frames).sum(1), math.inf, blocks)


def _scaled(point: Point, scale: float) -> Point:
    return Point(point.nats, point.distance * scale**2, point.nats_error, point.distance_error * scale**2)

"""The trained reference: k-means with restarts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]

RESTARTS = 3
START_FRAMES = 64
"""Frames a code for the starts; the best of them goes on with all frames."""
START_STEPS = 100
LLOYD_STEPS = 100
STEADY = 2e-5
OFTEN_STEPS = 0.5
"""Share of the steps allowed that is taken before the error is steady: 0.4 to 0.8, measured with 16 to 1024 codes."""
UNITS_A_SECOND = 2e10
"""Of ``frames (codes + 50) (dim + 40)``, a step's work with what comes beside the products, on one core (measured, within a
factor of two)."""
CHUNK = 8192
MOST_CODES = 1024
PASSES = 4
"""Of ``minibatch`` over its frames, at most."""
FRAMES_A_BATCH = 2
"""Frames a code of its batches."""
KEPT = 0.25
"""What counts for at most so much of a pass's frames a code when the next pass begins, so that codewords still move."""
FEWEST_A_CODE = 4
"""Frames a code; with fewer, codewords are hardly more than frames."""


def kmeans(frames: Frames, codes: int, seed: int = 0, restarts: int = RESTARTS) -> Frames:
    """The codebook (codes, dim) that Lloyd's algorithm finds for ``frames`` (frames, dim).

    It starts several times by k-means++ (Arthur & Vassilvitskii 2007) on a part of the frames, and goes on from the best start
    with all of them until the error falls by less than 2e-5 of itself a step. A codeword without frames moves to a frame that
    is far from its own.

    Raises:
        ValueError: fewer frames than codes, or more than 1024 codes.
    """
    if not 1 <= codes <= min(len(frames), MOST_CODES):
        raise ValueError(f"codes={codes}: must lie between 1 and {min(len(frames), MOST_CODES)}")
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    random = np.random.default_rng(seed)
    part = frames[random.permutation(len(frames))[: _start_frames(codes)]]
    starts = [_lloyd(part, _plus_plus(part, codes, random), START_STEPS) for _ in range(restarts)]
    return _lloyd(frames, min(starts, key=lambda start: start[1])[0], LLOYD_STEPS)[0]


def minibatch(frames: Frames, codes: int, seed: int = 0, passes: int = PASSES) -> Frames:
    """The codebook (codes, dim) that a few passes over ``frames`` (frames, dim) find, batch by batch; for many codes.

    Sculley (2010), WWW: each codeword is the mean of all frames that it was given, and moves with every batch. It starts from
    frames drawn at random. On further frames of Gauss-Markov sources, with 256 and 512 codes and 128 to 512 frames a code, four
    passes came within 0.02 to 0.09 dB of ``kmeans`` and one within 0.07 to 0.13 dB, in a twentieth of the time or less.

    Raises:
        ValueError: fewer than ``FEWEST_A_CODE`` frames a code.
    """
    if not 1 <= codes <= len(frames) // FEWEST_A_CODE:
        raise ValueError(f"codes={codes}: must lie between 1 and {len(frames) // FEWEST_A_CODE}, {FEWEST_A_CODE} frames a code")
    random = np.random.default_rng(seed)
    frames = np.ascontiguousarray(frames, dtype=np.float32)[random.permutation(len(frames))]
    codebook, counts = frames[:codes].copy(), np.zeros(codes)
    for _ in range(passes):
        for batch in np.array_split(frames, -(-len(frames) // (FRAMES_A_BATCH * codes))):
            index = np.concatenate([_nearest(part, codebook)[0] for part in _chunks(batch)])
            new, sums = _members(batch, index, codes)
            sums += counts[:, None] * codebook
            counts += new
            used = new > 0
            codebook[used] = sums[used] / counts[used, None]
        counts = np.minimum(counts, KEPT * len(frames) / codes)
    return codebook


def minibatch_seconds(frames: int, dim: int, codes: int) -> float:
    """About how long one pass of ``minibatch`` takes, as ``seconds``."""
    return frames * (codes + 50) * (dim + 40) / UNITS_A_SECOND


def seconds(frames: int, dim: int, codes: int, restarts: int = RESTARTS) -> float:
    """About how long ``kmeans`` takes on one core of 2020. From sizes alone: equal on every machine."""
    seen = restarts * START_STEPS * min(frames, _start_frames(codes)) + LLOYD_STEPS * frames
    return OFTEN_STEPS * seen * (codes + 50) * (dim + 40) / UNITS_A_SECOND


def _start_frames(codes: int) -> int:
    return max(START_FRAMES * codes, 2048)


def distortion(frames: Frames, codebook: Frames) -> float:
    """Mean square error per feature when every frame takes its nearest codeword."""
    distances = [_nearest(part, codebook)[1] for part in _chunks(frames)]
    return float(np.concatenate(distances).mean(dtype=np.float64) / frames.shape[1])


def _chunks(frames: Frames) -> list[Frames]:
    """Parts of nearly equal size."""
    return np.array_split(frames, -(-len(frames) // CHUNK))


def _nearest(frames: Frames, codebook: Frames) -> tuple[NDArray[np.int64], Frames]:
    """Index of the nearest codeword and the squared distance to it, (frames,) each."""
    scores = frames @ codebook.T
    scores -= 0.5 * np.square(codebook).sum(1)
    index = scores.argmax(1)
    return index, np.square(frames - codebook[index]).sum(1)


def _members(frames: Frames, index: NDArray[np.int64], codes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many frames each code has, (codes,), and their sum, (codes, dim)."""
    sums = np.stack([np.bincount(index, column, codes) for column in frames.T], axis=1, dtype=np.float64)
    return np.bincount(index, minlength=codes), sums


def _plus_plus(frames: Frames, codes: int, random: np.random.Generator) -> Frames:
    """Frames chosen one after the other with probability proportional to the squared distance to the nearest so far."""
    chosen = [frames[random.integers(len(frames))]]
    distance = np.square(frames - chosen[0]).sum(1)
    for _ in range(codes - 1):
        total = distance.cumsum(dtype=np.float64)
        pick = int(np.searchsorted(total, random.random() * total[-1])) if total[-1] > 0 else 0
        chosen.append(frames[min(pick, len(frames) - 1)])
        distance = np.minimum(distance, np.square(frames - chosen[-1]).sum(1))
    return np.stack(chosen)


def _lloyd(frames: Frames, codebook: Frames, steps: int) -> tuple[Frames, float]:
    """Lloyd's algorithm; the codebook and its mean squared distance."""
    previous = np.inf
    for _ in range(steps):
        found = [_nearest(part, codebook) for part in _chunks(frames)]
        index, distance = (np.concatenate([one[i] for one in found]) for i in (0, 1))
        error = float(distance.mean(dtype=np.float64))
        if previous - error <= STEADY * error:
            break
        previous = error
        counts, sums = _members(frames, index, len(codebook))
        codebook = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        empty = np.flatnonzero(counts == 0)
        codebook[empty] = frames[np.argsort(distance)[::-1][: len(empty)]]
    return codebook, error

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantbench.limits import finite, kmeans


def random_points(count: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, count, dim))


def test_the_ends_are_known():
    points = random_points(32, 6)
    known = finite.FiniteAlphabet(points)
    assert known.mse(0) == pytest.approx(points[0].var(0).mean())
    assert known.mse(5) == 0
    assert known.mse(7) == 0
    mse = [known.mse(bits) for bits in np.linspace(0, 5, 26)]
    assert np.all(np.diff(mse) < 0)


@pytest.mark.parametrize("bits", [0.1, 0.4, 0.7, 0.95])
def test_two_points_in_closed_form(bits):
    # Points -1 and 1: the best posterior is (1 + tanh)/2; with m the decoder's value, bits = 1 - h((1 + m)/2), mse = 1 - m**2.
    known = finite.FiniteAlphabet(np.array([[[-1.0], [1.0]]]))
    m = np.linspace(1e-6, 1 - 1e-9, 1_000_001)
    p = (1 + m) / 2
    spent = 1 + p * np.log2(p) + (1 - p) * np.log2(1 - p)
    # Convex from 0 to 1, and below the straight line; so this posterior is optimal.
    assert known.mse(bits) == pytest.approx(float(np.interp(bits, spent, 1 - m**2)), rel=finite.ERROR)


@given(st.integers(2, 40), st.integers(1, 8), st.floats(0.02, 0.98), st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_no_grouping_is_below_the_limit(count, dim, share, seed):
    points = random_points(count, dim, seed)
    known = finite.FiniteAlphabet(points)
    codes = max(1, round(count**share))
    symbols = points[0].astype(np.float32)
    codebook = kmeans.kmeans(symbols, codes, seed)
    index = np.square(symbols[:, None] - codebook).sum(-1).argmin(1)
    share_of = np.bincount(index) / count
    entropy = -sum(p * math.log2(p) for p in share_of if p)
    assert known.mse(entropy) <= kmeans.distortion(symbols, codebook) * (1 + finite.ERROR) + 1e-9


def test_several_alphabets_are_averaged_at_one_slope():
    small = random_points(8, 3)
    both = finite.FiniteAlphabet(np.concatenate([small, 3 * small]))
    alone = finite.FiniteAlphabet(small)
    # Bits go where they save most, so the mean over both is at least as good as half the bits' worth for each.
    assert both.mse(2) <= (alone.mse(2) + 9 * alone.mse(2)) / 2 * (1 + finite.ERROR)
    twice = finite.FiniteAlphabet(np.concatenate([small, small]))
    assert twice.mse(1.5) == pytest.approx(alone.mse(1.5), rel=2 * finite.ERROR)


def test_one_alphabet_is_solved_once():
    points = random_points(8, 3)
    assert finite.alphabet(points) is finite.alphabet(points.copy())
    with pytest.raises(ValueError, match="at most 1024"):
        finite.FiniteAlphabet(random_points(1025, 1))


def bridges(symbols: int) -> np.ndarray:
    """Frames of a sawbridge of unit variance by its definition."""
    t = np.arange(1, symbols) / symbols
    frames = t - (np.arange(symbols - 1) >= np.arange(symbols)[:, None])
    return frames / math.sqrt(np.mean(np.square(frames)))


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 4])
def test_sawbridge_is_exact_for_equal_cells(bits):
    frames = bridges(16)
    cells = frames.reshape(2**bits, -1, 15)
    mse = np.square(cells - cells.mean(1, keepdims=True)).mean()
    assert finite.sawbridge(16, bits) == pytest.approx(mse, abs=1e-12)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=6), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_no_partition_of_a_sawbridge_is_below_its_limit(cuts, shuffled, seed):
    frames = bridges(16)
    if shuffled:  # cells that are no intervals
        frames = frames[np.random.default_rng(seed).permutation(16)]
    parts = [part for part in np.split(frames, sorted(cuts)) if len(part)]
    mse = sum(np.square(part - part.mean(0)).sum() for part in parts) / frames.size
    entropy = -sum(len(part) / 16 * math.log2(len(part) / 16) for part in parts)
    assert finite.sawbridge(16, entropy) <= mse + 1e-12


def test_sawbridge_with_many_samples_is_that_of_wagner_and_balle():
    # 2**-bits / 6, with a variance of 1/6.
    assert finite.sawbridge(2**20, 5) == pytest.approx(2**-5, rel=1e-4)


def test_what_is_found_for_a_rate_depends_on_no_other_rate():
    points = random_points(20, 4)
    asked = finite.FiniteAlphabet(points)
    for bits in (0.5, 3.9, 2.2):
        asked.mse(bits)
    assert asked.mse(1.7) == finite.FiniteAlphabet(points).mse(1.7)

import numpy as np
import pytest

from quantbench.limits import kmeans
from quantbench.limits.densities import GAUSSIAN
from quantbench.limits.scalar_quantizers import lloyd_max

NORMAL = np.random.default_rng(0).standard_normal((60_000, 1)).astype(np.float32)


@pytest.mark.parametrize("codes", [2, 4, 16])
def test_in_one_dimension_it_is_lloyd_max(codes):
    codebook = kmeans.kmeans(NORMAL, codes)
    best = lloyd_max(GAUSSIAN, codes).values.astype(np.float32)[:, None]
    # On this sample, which has its own best codebook: a little better than that of the density.
    reached = kmeans.distortion(NORMAL, codebook) / kmeans.distortion(NORMAL, best)
    assert 0.99 < reached < 1.002


def test_as_many_codes_as_points_leave_no_error():
    points = NORMAL[:64].reshape(16, 4)
    assert kmeans.distortion(points, kmeans.kmeans(points, 16)) == pytest.approx(0, abs=1e-9)


def test_two_dimensions_at_a_high_rate():
    # Zador (1982), IEEE Trans. Inf. Theory 28(2), G of hexagons: G 2 pi ((dim + 2) / dim)**((dim + 2) / 2) 2**(-2 bits).
    frames = np.random.default_rng(0).standard_normal((40_000, 2)).astype(np.float32)
    expected = 5 / (36 * np.sqrt(3)) * 2 * np.pi * 4 * 2**-8
    assert 0.75 < kmeans.distortion(frames, kmeans.kmeans(frames, 256)) / expected < 1.05  # it holds for many codes


def test_equal_points_are_no_trouble():
    points = np.zeros((50, 3), dtype=np.float32)
    assert kmeans.distortion(points, kmeans.kmeans(points, 8)) == 0


def test_codewords_are_centroids_of_what_is_nearest():
    points = NORMAL[:8000].reshape(4000, 2)
    codebook = kmeans.kmeans(points, 10)
    index = np.square(points[:, None] - codebook).sum(-1).argmin(1)
    centroids = np.stack([points[index == code].mean(0) for code in range(10)])
    assert codebook == pytest.approx(centroids, abs=0.05)


def test_starts_are_far_apart():
    """A point that is far from all others is among the starts; were they drawn evenly, it would be 3 times in 1000."""
    points = np.concatenate([NORMAL[:999], [[1000.0]]]).astype(np.float32)
    for seed in range(20):
        starts = kmeans._plus_plus(points, 3, np.random.default_rng(seed))
        assert starts.max() == 1000


def test_starts_are_drawn_by_the_square_of_the_distance():
    """The second of two starts, where the first is at 0: at 1, 2 and 3 with shares 1, 4 and 9 of 14."""
    points = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    random = np.random.default_rng(0)
    drawn = [kmeans._plus_plus(points, 2, random).ravel() for _ in range(8000)]
    second = [int(two) for one, two in drawn if one == 0]
    shares = np.bincount(second, minlength=4) / len(second)
    assert shares == pytest.approx([0, 1 / 14, 4 / 14, 9 / 14], abs=0.04)


def test_the_number_of_codes_is_checked():
    with pytest.raises(ValueError, match="codes=5: must lie between 1 and 4"):
        kmeans.kmeans(NORMAL[:4], 5)


def test_mini_batches_come_close_to_k_means():
    """Within 0.2 dB on frames that neither saw, with 128 frames a code; frames as codewords are 2 dB behind."""
    random = np.random.default_rng(1)
    frames, further = random.standard_normal((2, 4096, 4)).astype(np.float32)
    full, few = kmeans.kmeans(frames, 32), kmeans.minibatch(frames, 32)
    behind = [10 * np.log10(kmeans.distortion(further, one) / kmeans.distortion(further, full)) for one in (few, frames[:32])]
    assert behind[0] < 0.2
    assert behind[1] > 1


def test_a_codeword_of_mini_batches_is_the_mean_of_all_frames_it_was_given():
    """In plain loops, one pass."""
    frames, codes = np.random.default_rng(2).standard_normal((64, 2)).astype(np.float32), 5
    shuffled = frames[np.random.default_rng(0).permutation(64)]
    codebook, given = shuffled[:codes].copy(), [[] for _ in range(codes)]
    for batch in np.array_split(shuffled, 7):  # 2 frames a code: 64 / 10, rounded up
        nearest = [min(range(codes), key=lambda k: np.square(frame - codebook[k]).sum()) for frame in batch]
        for frame, code in zip(batch, nearest, strict=True):
            given[code].append(frame)
        codebook = np.stack([np.mean(mine, axis=0) if mine else old for mine, old in zip(given, codebook, strict=True)])
    assert kmeans.minibatch(frames, codes, passes=1) == pytest.approx(codebook, abs=1e-5)


def test_too_few_frames_for_mini_batches_are_refused():
    with pytest.raises(ValueError, match="between 1 and 4, 4 frames a code"):
        kmeans.minibatch(np.zeros((16, 2), dtype=np.float32), 5)

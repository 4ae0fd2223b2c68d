"""Counter-based random numbers against the known answers of Random123, an implementation in plain integers, and statistics."""

import contextlib
import math

import numpy as np
import pytest
import torch
from scipy import stats

from quantbench import kernels, philox

MASK = 2**32 - 1
KEYS = [0, -1, 12345678901234567890 - 2**64, 3]
POSITIONS = [0, 2**28 - 1, 2**40 + 3]
"""Of groups of 16 blocks: at the second of these the counter's first word overflows."""

with_kernels = pytest.param(contextlib.nullcontext, marks=pytest.mark.skipif(kernels.ready() is not None, reason="no kernels"))
either = pytest.mark.parametrize("way", [with_kernels, kernels.without], ids=["kernel", "torch"])


def block(counter, key):
    """A block of Philox4x32-10 in Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & MASK, (p >> 32) ^ c[3] ^ k[1], p & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def words(key, position, groups):
    """The words of groups of 16 blocks, in the order in which numbers are made of them."""
    found = []
    for group in range(position, position + groups):
        numbers = [16 * group + i for i in range(16)]
        blocks = [block([n & MASK, n >> 32, 0, 0], [key & MASK, key >> 32 & MASK]) for n in numbers]
        found += [blocks[i][word] for word in range(4) for i in range(16)]
    return np.array(found, dtype=np.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([MASK] * 4, [MASK] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    assert philox.philox(torch.tensor(counter), torch.tensor(key)).tolist() == expected
    assert block(counter, key) == expected


@either
@pytest.mark.parametrize("position", POSITIONS)
def test_numbers_are_made_of_the_words(way, position):
    with way():
        uniform, integers, normal = (
            make(torch.tensor(KEYS), position, 128).numpy()
            for make in (philox.uniform, lambda *a: philox.integers(*a, 1000003), philox.normal)
        )
    for row, key in enumerate(KEYS):
        every = words(key, position, 4)
        assert np.array_equal(uniform[row], (every[:128] >> np.uint64(8)) / 2**24)
        pairs = every.reshape(-1, 2, 2, 16).astype(object)  # (groups, pairs of words, words, blocks)
        whole = ((pairs[:, :, 0] << 32 | pairs[:, :, 1]) * 1000003) >> 64
        assert np.array_equal(integers[row], whole.ravel().astype(int))
        a, b = every[:128].reshape(-1, 2, 2, 16).transpose(2, 0, 1, 3).astype(np.float64) + 0.5
        eighths = (b % 2**30 - 2**29) / 2**30 * np.pi / 2
        cosine = np.where(b < 2**31, 1, -1) * np.cos(eighths)
        swapped = b // 2**30 % 2 == 1
        shape = [np.where(swapped, np.sin(eighths), cosine), np.where(swapped, cosine, np.sin(eighths))]
        expected = np.sqrt(-2 * np.log(a / 2**32)) * np.array(shape)
        assert np.allclose(normal[row], expected.transpose(1, 2, 0, 3).ravel(), rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(kernels.ready() is not None, reason="no kernels")
@pytest.mark.parametrize("numbers", [0, 1, 15, 63, 64, 65, 1000, 20_000])
def test_kernel_and_torch_give_the_same_bits(numbers):
    keys = torch.tensor(KEYS)
    for position in POSITIONS:
        for make in (
            philox.uniform,
            philox.normal,
            lambda *a: philox.integers(*a, 1),
            lambda *a: philox.integers(*a, 1000003),
            lambda *a: philox.integers(*a, 2**31),
        ):
            compiled = make(keys, position, numbers)
            with kernels.without():
                assert torch.equal(make(keys, position, numbers), compiled)
                assert compiled.shape == (4, numbers)
                if numbers < 2000:  # as a tensor the position can be moved within a captured graph
                    assert torch.equal(make(keys, torch.tensor(position), numbers), compiled)


@either
@pytest.mark.parametrize("make", [philox.uniform, philox.normal, lambda *a: philox.integers(*a, 77)])
def test_a_number_depends_neither_on_other_keys_nor_on_how_many_are_drawn(way, make):
    with way():
        together = make(torch.tensor(KEYS), 5, 9000)
        for numbers in (1, 7, 100, 8999):
            assert torch.equal(make(torch.tensor(KEYS[2:3]), 5, numbers)[0], together[2, :numbers])
        assert torch.equal(make(torch.tensor(KEYS[::-1]), 5, 9000).flip(0), together)


def test_normal_numbers_of_the_extreme_words():
    edges = [0, 1, 2**29, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 3037000499, 3037000500, 3037000600, 2**32 - 256, 2**32 - 2, MASK]
    a, b = torch.cartesian_prod(torch.tensor(edges), torch.tensor(edges)).unbind(1)
    found = torch.stack(philox._pair(a, b)).double()
    assert found.isfinite().all()
    assert (found != 0).all()
    radius = found.square().sum(0).sqrt()
    exact = torch.where(a < 2**31, ((a + 0.5) / 2**32).log(), torch.log1p(-(MASK - a + 0.5).double() / 2**32))
    assert torch.allclose(radius, (-2 * exact.double()).sqrt(), rtol=1e-6, atol=0)
    assert radius.max() == pytest.approx(math.sqrt(2 * math.log(2**33)), rel=1e-6)


def test_normal_numbers_are_normal():
    z = philox.normal(torch.arange(16), 0, 2**15).double().flatten()
    count = len(z)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((z**power).mean()) - expected) < 3 * math.sqrt(variance / count)
    assert stats.kstest(z.numpy(), "norm").pvalue > 0.01
    for beyond in (3, 4):
        expected = count * 2 * stats.norm.sf(beyond)
        assert abs(int((z.abs() > beyond).sum()) - expected) < 3 * math.sqrt(expected)


def test_uniform_numbers_and_integers_are_uniform():
    u = philox.uniform(torch.arange(16), 0, 2**15).double().flatten().numpy()
    assert stats.kstest(u, "uniform").pvalue > 0.01
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    for high in (2, 10, 4097):
        whole = philox.integers(torch.arange(16), 0, 2**14, high).flatten()
        assert stats.chisquare(torch.bincount(whole, minlength=high).numpy()).pvalue > 0.01
    large = philox.integers(torch.arange(16), 0, 2**14, 2**31 - 1).double() / (2**31 - 1)
    assert stats.kstest(large.flatten().numpy(), "uniform").pvalue > 0.01


def test_neighbours_are_independent():
    """Of keys that differ in one bit, of draws that follow each other, of numbers of a pair, a block and a group."""
    count = 2**15
    keys = torch.tensor([0, 1, 2, 2**32, 2**62, -(2**63)])
    z = philox.normal(keys, 0, count).double()
    later = philox.normal(keys, philox.groups(count, philox.UNIFORM), count).double()
    limit = 4 / math.sqrt(count)
    for every in (torch.cat([z, later]), torch.cat([z, later]).square()):
        among = torch.corrcoef(every) - torch.eye(12)
        assert float(among.abs().max()) < limit
        assert float(among.square().sum() / (12 * 11)) * count == pytest.approx(1, abs=0.6)  # 3.5 standard deviations
    for apart in (1, 2, 16, 17, 32, 48, 64, 1024):
        for values in (z, (z.square() - 1) / math.sqrt(2)):
            lagged = (values[:, apart:] * values[:, :-apart]).mean(1)
            assert float(lagged.abs().max()) < limit


def test_a_bound_that_is_too_large_is_refused():
    assert philox.integers(torch.tensor([5]), 0, 2000, 2**31).max() > 2**31 - 2**23
    for high in (0, 2**31 + 1):
        with pytest.raises(ValueError, match=rf"high={high}: must lie between 1 and 2147483648"):
            philox.integers(torch.tensor([5]), 0, 2, high)

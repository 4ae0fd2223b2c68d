import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantbench.entropy import _tail, entropy, joint, tuple_counts
from quantbench.training.rates import Codes


def shares(kind: str, values: int) -> np.ndarray:
    i = np.arange(1, values + 1)
    share = {
        "uniform": np.ones(values),
        "zipf": 1 / i,
        "zipf squared": 1 / i**2,
        "bell": np.exp(-0.5 * np.linspace(-3, 3, values) ** 2),
    }
    return share[kind] / share[kind].sum()


def bits(share: np.ndarray) -> float:
    share = share[share > 0]
    return -float(share @ np.log2(share))


def test_shares_of_the_source_itself_are_exact():
    assert entropy(np.array([50.0, 50, 0, 0]), 2, exact=True) == (1.0, 0.0)
    assert joint([np.array([0, 1, 2, 3])], [], 5, exact=True) == (2.0, 0.0)


def test_a_large_sample_is_corrected_as_by_miller():
    # Miller (1955): (values - 1) / (2 observations) nats more than the plug-in; what the estimator becomes in a large sample.
    assert entropy(np.array([500.0, 500]), 2).bits == pytest.approx(1 + 1 / (2000 * math.log(2)), abs=1e-6)


def test_no_entropy_is_above_its_alphabet_and_one_value_has_none():
    assert entropy(np.ones(64), 6).bits == 6
    assert entropy(np.array([1000.0]), 6).bits == 0
    assert entropy(np.array([1.0]), 6).bits <= 6


@pytest.mark.parametrize(("decay", "size"), [(1e-9, 100), (2e-4, 1000), (9e-4, 20000), (0.5, 50), (3.0, 4096), (2e-3, 512)])
def test_the_tail_is_the_sum_that_it_stands_for(decay, size):
    # By an integral: the sum over j of x**(j + 1) / (size + j) is that of x t**(size - 1) / (1 - x t) from 0 to 1.
    x, t = math.exp(-decay), 1 - np.geomspace(1e-12, 1, 400_001)
    values = x * t ** (size - 1) / (1 - x * t)
    integral = np.trapezoid(values[::-1], t[::-1]) if hasattr(np, "trapezoid") else np.trapz(values[::-1], t[::-1])
    assert _tail(decay, size) == pytest.approx(integral, rel=2e-3)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "zipf squared", "bell"])
@pytest.mark.parametrize(("values", "size"), [(64, 512), (1024, 512), (1024, 4096), (16384, 4096)])
def test_the_error_holds_the_truth(kind, values, size):
    draw, share = np.random.default_rng(0), shares(kind, values)
    found = [entropy(draw.multinomial(size, share).astype(float), math.log2(values)) for _ in range(20)]
    assert sum(abs(one.bits - bits(share)) <= one.error + 1e-9 for one in found) >= 18
    if size >= 4 * values:
        assert abs(np.mean([one.bits for one in found]) - bits(share)) < 0.1
        assert all(one.error < 0.5 for one in found)


@given(st.integers(64, 400), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_one_observation_more_makes_no_jump(values, seed):
    # At 8 observations a value in use, an earlier rule went to the nominal bits at once: a jump of 4 bits.
    draw = np.random.default_rng(seed)
    sample = draw.choice(2**10, size=8 * values, p=shares("zipf", 2**10))
    found = [entropy(np.bincount(sample[:size]).astype(float), 10).bits for size in range(8 * values - 4, 8 * values + 1)]
    assert np.abs(np.diff(found)).max() < 0.5


def chain(length: int, slots: int, kind: str, copy: float, shape: tuple[int, int], seed: int):
    """Codes whose slots are copies of the slot before with probability ``copy``; and the entropy of a code."""
    draw, share = np.random.default_rng(seed), shares(kind, length)
    codes = np.empty((*shape, slots), dtype=np.int64)
    codes[..., 0] = draw.choice(length, shape, p=share)
    for slot in range(1, slots):
        fresh = draw.choice(length, shape, p=share)
        codes[..., slot] = np.where(draw.random(shape) < copy, codes[..., slot - 1], fresh)
    change = (1 - copy) * share + copy * np.eye(length)
    step = -float((share[:, None] * change * np.log2(np.maximum(change, 1e-300))).sum())
    return torch.from_numpy(codes), bits(share) + (slots - 1) * step


@pytest.mark.parametrize("kind", ["uniform", "zipf", "zipf squared"])
@pytest.mark.parametrize("copy", [0.0, 0.5, 0.95])
@pytest.mark.parametrize(("length", "slots", "frames"), [(4, 4, 4096), (8, 4, 512), (4, 16, 512), (64, 8, 4096), (2, 12, 4096)])
def test_the_joint_error_holds_the_truth_even_where_every_code_occurs_once(kind, copy, length, slots, frames):
    codes, truth = chain(length, slots, kind, copy, (20, frames), seed=1)
    collected = Codes([length] * slots)
    for part in codes.split(1024, dim=1):
        collected.add(part)
    found = [whole for _, whole in collected.entropies(exact=False)]
    assert sum(abs(one.bits - truth) <= one.error + 1e-9 for one in found) >= 18
    if slots * math.log2(length) <= 8:
        assert all(one.error < 0.3 for one in found)


def test_a_stated_error_is_large_where_every_code_occurs_once():
    codes, _ = chain(64, 8, "uniform", 0.0, (1, 512), seed=0)
    collected = Codes([64] * 8)
    collected.add(codes)
    assert collected.entropies(exact=False)[0][1].error > 20


@given(st.lists(st.integers(2, 2**20), min_size=1, max_size=12), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_codes_are_alike_where_all_slots_are(alphabet, seed):
    draw = np.random.default_rng(seed)
    few = np.stack([draw.integers(codes, size=6) for codes in alphabet], axis=-1)
    indices = few[draw.integers(6, size=(2, 50))]
    collected = Codes(alphabet)
    collected.add(torch.from_numpy(indices[:, :20]))
    collected.add(torch.from_numpy(indices[:, 20:]))
    for trial, words in enumerate(torch.cat(collected.parts, dim=2)):
        expected = np.unique(indices[trial], axis=0, return_counts=True)[1]
        assert sorted(tuple_counts(list(words.numpy()))) == sorted(expected)
    for trial, (total, whole) in enumerate(collected.entropies(exact=True)):
        slots = [bits(np.bincount(slot) / 50) for slot in indices[trial].T]
        assert total.bits == pytest.approx(sum(slots))
        assert whole.bits <= total.bits + 1e-9

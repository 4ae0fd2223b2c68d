import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from quantbench.training.sequences import first_of_runs, given_previous, learned_bits


def chain(table, runs, rng):
    """Codes of a Markov chain, run by run, the entropy of a code, and that given the one before."""
    size = len(table)
    values, vectors = np.linalg.eig(table.T)
    still = np.real(vectors[:, np.argmax(np.real(values))])
    still /= still.sum()
    codes = []
    for length in runs:
        codes.append(rng.choice(size, p=still))
        for _ in range(length - 1):
            codes.append(rng.choice(size, p=table[codes[-1]]))
    rate = -(still[:, None] * table * np.log2(table)).sum()
    return np.array(codes), -(still * np.log2(still)).sum(), rate


def learned_one_by_one(codes, runs, alphabet):
    """The mixture as its formula has it: a share for every code of the alphabet, counts in dictionaries."""
    counts = [defaultdict(Counter) for _ in range(3)]
    lengths, place = [0.0] * 3, 0
    for run in runs:
        past = ["none", "none"]
        for x in codes[place : place + run].tolist():
            contexts = [(), (past[1],), (past[0], past[1])]
            shares = [1 / alphabet] * alphabet
            for order, context in enumerate(contexts):
                seen = counts[order][context]
                kinds, total = len(seen), sum(seen.values())
                if total:
                    shares = [(seen[one] + kinds * shares[one]) / (total + kinds) for one in range(alphabet)]
                assert math.isclose(sum(shares), 1)
                lengths[order] -= math.log2(shares[x])
            for order, context in enumerate(contexts):
                counts[order][context][x] += 1
            past = [past[1], x]
        place += run
    return -math.log2(sum(2.0**-length / 3 for length in lengths)) / len(codes)


@pytest.mark.parametrize("runs", [[60], [7, 1, 1, 30, 2, 19], [1] * 40])
def test_the_learning_model_is_its_formula(runs):
    rng = np.random.default_rng(len(runs))
    codes = rng.choice(5, size=sum(runs), p=[0.5, 0.2, 0.2, 0.1, 0])
    expected = learned_one_by_one(codes, runs, 5)
    assert learned_bits(codes, first_of_runs(runs), 5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("size", "allowed"), [(2, 0.03), (16, 0.04)])
def test_chains_with_a_known_entropy_rate(size, allowed):
    rng = np.random.default_rng(size)
    table = rng.dirichlet(np.full(size, 0.3), size) * 0.98 + 0.02 / size
    runs = [50] * 120
    codes, entropy, rate = chain(table, runs, rng)
    first = first_of_runs(runs)
    found = given_previous(codes, first, size)
    assert abs(found.bits - rate) < min(found.error, allowed)
    assert rate - 0.02 < learned_bits(codes, first, size) < rate + 0.2
    assert rate < entropy - 0.1  # else nothing was tested


def test_independent_codes_have_nothing_to_say_of_each_other():
    codes = np.random.default_rng(0).integers(16, size=8192)
    first = first_of_runs([64] * 128)
    found = given_previous(codes, first, 16)
    assert found.bits == pytest.approx(4, abs=0.01)
    assert found.bits + found.error >= 4
    assert 4 <= learned_bits(codes, first, 16) < 4.02


def test_pairs_do_not_reach_over_the_end_of_a_run():
    """Within a run codes stand still; what follows at its end cannot be foreseen."""
    runs = [8] * 500
    codes = np.repeat(np.random.default_rng(1).integers(4, size=500), 8)
    found = given_previous(codes, first_of_runs(runs), 4)
    assert found.bits == 0
    assert given_previous(codes, first_of_runs([4000]), 4).bits > 0.2
    assert 2 / 8 <= learned_bits(codes, first_of_runs(runs), 4) < 2 / 8 + 0.03


def test_codes_of_a_fixed_order_cost_nothing():
    codes = np.tile(np.arange(32), 100)
    found = given_previous(codes, first_of_runs([3200]), 32)
    assert found.bits == pytest.approx(0, abs=0.01)
    assert learned_bits(codes, first_of_runs([3200]), 32) < 0.25
    assert learned_bits(np.zeros(1, int), first_of_runs([1]), 32) == pytest.approx(5)

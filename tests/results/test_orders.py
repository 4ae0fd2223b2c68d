"""Two orders of methods, against scipy and loops."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr

from quantbench.errors import ConfigError
from quantbench.results.load import Results, metrics_of
from quantbench.results.orders import compare_orders, ranks_in_blocks, render_orders
from quantbench.results.tables import results_table
from tests.results.tables import trial

METHODS = ("ste", "mste", "diveq", "rotation", "nsvq")


def search(levels, tasks, seeds=(0, 1), noise=0.0, failed=()):
    """Scores of a search: of each method its level, in each task times another factor."""
    generator = np.random.default_rng(len(tasks))
    rows = []
    for bits in tasks:
        for gradient, level in zip(METHODS, levels, strict=False):
            for seed in seeds:
                bad = (gradient, bits) in failed
                value = None if bad else level * bits + noise * generator.normal()
                row = trial(gradient, seed, value, bits, 64, "diverged" if bad else "completed")
                labels = {"phase": "score", "track": "tuned", "study": 1, "setting": 1, "moved": "", "train.lr": 0.1}
                rows.append(row | labels | {"trial": f"{bits}-{gradient}-{seed}"})
    found = results_table(rows, ["simulator.bits", "quantizer.codes", "train.lr"])
    return Results(found, metrics=metrics_of(found, {}), tuned=["train.lr"], sizes=["quantizer.codes"])


def test_ranks_are_those_of_scipy_with_failures_last():
    values = np.random.default_rng(0).normal(size=(6, 3, 4)).round(1)
    values[2, 1, 3] = values[4, 1, 3] = np.inf
    expected = np.stack([rankdata(values[:, :, block], axis=0).mean(axis=1) for block in range(4)], axis=1)
    assert ranks_in_blocks(values) == pytest.approx(expected)


@pytest.mark.parametrize("over", ["tasks", "seeds"])
def test_tau_is_that_of_the_mean_ranks(over):
    one = search((0, 1, 2, 3, 4), (2, 4, 6), noise=8)
    other = search((1, 0, 2, 3, 4), (3, 5), noise=8, failed={("diveq", 5)})
    found = compare_orders(one, other, over=over)
    assert sorted(found.names) == sorted(f"vq {name}" for name in METHODS)
    assert found.blocks == ((3, 2) if over == "tasks" else (2, 2))
    assert found.tau.mean == pytest.approx(kendalltau(*found.ranks).statistic)
    assert found.rho == pytest.approx(spearmanr(*found.ranks).statistic)
    assert found.tau.low <= found.tau.mean <= found.tau.high
    assert found.ranks[1][found.names.index("vq diveq")] > 3  # last where it failed
    text = render_orders(found)
    assert "Kendall's tau-b" in text
    assert "first: track tuned" in text


def test_what_is_told_apart_is_told_the_same_way_or_not():
    tasks = tuple(range(2, 14))
    one, other = search((0, 3, 6), tasks, noise=0.1), search((6, 3, 0), tasks, noise=0.1)
    same, turned = compare_orders(one, one), compare_orders(one, other)
    pairs = len(list(combinations(range(3), 2)))
    assert (same.same, same.opposite, same.alone, same.tau.mean) == (pairs, 0, (0, 0), 1)
    assert (turned.same, turned.opposite, turned.alone, turned.tau.mean) == (0, pairs, (0, 0), -1)
    few = compare_orders(one, search((0, 3, 6), (3, 4)))  # two tasks tell nothing apart
    assert (few.same, few.opposite, few.alone) == (0, 0, (pairs, 0))


def test_a_single_task_has_no_interval_and_two_methods_no_order():
    found = compare_orders(search((0, 1, 2), (2, 3)), search((0, 1, 2), (5,)))
    assert np.isnan(found.tau.low)
    assert "no interval of tau: one of the two has a single task" in found.notes
    with pytest.raises(ConfigError, match="2 methods are in both"):
        compare_orders(search((0, 1), (2, 3)), search((0, 1, 2), (2, 3)))

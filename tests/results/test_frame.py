"""One frame: which metric, what makes a cell, and what failures do."""

import numpy as np
import pytest

from quantbench.errors import ConfigError
from quantbench.metrics import MORE, Metric
from quantbench.results.frame import find_metric, frame
from quantbench.results.load import Results, of_table
from tests.results.tables import framed, grid, table, trial


def cells(trials, failures, **options):
    (found,) = framed(trials, **options).cells(failures)
    return found


def test_what_a_failure_does_to_a_cell():
    trials = [trial(name, seed, float(seed)) for name in ("ste", "mste") for seed in range(3)]
    trials[1]["status"] = "diverged"
    assert cells(trials, "worst") == pytest.approx(np.array([[0, np.inf, 2], [0, 1, 2]]))
    assert cells(trials, "drop") == pytest.approx(np.array([[0, np.nan, 2], [0, 1, 2]]), nan_ok=True)
    assert cells(trials, "whole-seed") == pytest.approx(np.array([[0, np.nan, 2], [0, np.nan, 2]]), nan_ok=True)


def test_less_is_better_in_all_cells():
    trials = [trial("ste", seed, 0.0) | {"usage": 0.5 + seed} for seed in range(2)]
    assert cells(trials, "worst", metric="usage") == pytest.approx(np.array([[-0.5, -1.5]]))
    assert framed(trials, "usage").means()["vq ste", ""][0].mean == 1.0


def test_a_seed_counts_with_all_its_trials_only():
    """Two learning rates are averaged; where one of them failed or is missing, the other alone would be another thing."""
    rows = [
        trial("ste", seed, seed + 10 * rate) | {"train.lr": rate, "trial": f"{seed}-{rate}"}
        for seed in range(4)
        for rate in (0, 1)
    ]
    rows[3]["status"] = "failed"
    found = frame(of_table(table(rows[:-1], ("train.lr",))), "nmse_db", within=[])
    assert found.cells("worst")[0] == pytest.approx(np.array([[5, np.inf, 7, np.nan]]), nan_ok=True)
    assert "means over train.lr, which neither --by nor --within names" in found.notes


def test_counts_tell_diverged_from_failed():
    trials = [trial("ste", seed, 0.0) for seed in range(5)]
    for row, status in zip(trials, ("diverged", "failed", "failed"), strict=False):
        row["status"] = status
    counts = framed(trials).counts()["vq ste"]
    assert (counts.trials, counts.diverged, counts.failed, counts.bad) == (5, 1, 2, 3)
    assert str(counts) == "1 diverged, 2 failed of 5"


def test_a_status_that_nobody_knows_is_no_success():
    trials = [trial("ste", seed, 0.0) for seed in range(3)]
    trials[0]["status"] = "splendid"
    assert framed(trials).counts()["vq ste"].failed == 1
    assert cells(trials, "worst")[0, 0] == np.inf


def test_the_metric_is_what_was_trained_for():
    trials = grid({"ste": -9})
    assert find_metric(of_table(table(trials)), None).name == "nmse_db"
    assert find_metric(of_table(table([row | {"mel_distance_db": 3.0} for row in trials])), None).name == "mel_distance_db"


def test_a_metric_of_a_users_own_class_has_its_direction():
    rows = table(grid({"ste": -9, "mste": -5})).assign(charm=[float(place) for place in range(20)])
    unknown = of_table(rows)
    assert find_metric(unknown, "charm").better == ""
    with pytest.raises(
        ConfigError, match="--metric charm: whether more of it is better is not known; it is for nmse_db, usage"
    ):
        find_metric(unknown, "charm", goal=True)
    known = Results(rows, metrics=unknown.metrics | {"charm": Metric("charm", "how charming it is", better=MORE)})
    assert frame(known, "charm", goal=True).sign == -1


def test_values_by_seed_keep_the_metrics_own_direction():
    trials = [trial("ste", seed, 0.0) | {"usage": 0.1 * seed} for seed in range(3)]
    trials[2]["status"] = "failed"
    found = framed(trials, "usage").by_seed()
    assert found["seed"].tolist() == [0, 1]
    assert found["value"].tolist() == pytest.approx([0, 0.1])

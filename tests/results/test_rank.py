import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import rliable.metrics
import scikit_posthocs

from quantbench.errors import ConfigError
from quantbench.results.groups import MOST_GROUPS, cliques, groups, letters, neighbours
from quantbench.results.rank import improvement
from quantbench.results.tables import write
from tests.results.tables import framed, grid, ranking, rankings, rate_trials, table, trial

RANDOM = np.random.default_rng(7)


# Against other implementations


def test_probability_of_improvement_is_that_of_rliable():
    x, y = RANDOM.normal(size=(6, 3)).round(1), RANDOM.normal(0.3, size=(6, 3)).round(1)  # rounded: there are ties
    ours = improvement([np.stack([x[:, task], y[:, task]]) for task in range(3)], 0, 1)
    # Less is better for us, more for rliable.
    assert ours == pytest.approx(rliable.metrics.probability_of_improvement(-x, -y), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_all_largest_sets_without_a_difference(seed):
    alike = np.random.default_rng(seed).random((7, 7)) < 0.6
    alike = alike & alike.T | np.eye(7, dtype=bool)

    def is_alike(group):
        return all(alike[i, j] for i, j in combinations(group, 2))

    every = [set(group) for size in range(1, 8) for group in combinations(range(7), size) if is_alike(group)]
    largest = [group for group in every if not any(group < other for other in every)]
    assert sorted(map(sorted, largest)) == cliques(alike)
    assert groups(alike) == (cliques(alike), True)
    frame = pd.DataFrame(alike.astype(int)).mask(np.eye(7, dtype=bool), 1)
    assert sorted(map(sorted, scikit_posthocs._plotting._find_maximal_cliques(frame))) == cliques(alike)


def test_groups_that_are_too_many_are_of_neighbours():
    size = 60  # unlike in pairs: 2**30 largest sets
    alike = np.ones((size, size), bool)
    for place in range(0, size, 2):
        alike[place, place + 1] = alike[place + 1, place] = False
    assert cliques(alike) is None
    found, complete = groups(alike)
    assert not complete
    assert len(found) <= MOST_GROUPS
    assert found == neighbours(alike) == [[0], *([place, place + 1] for place in range(1, size - 1, 2)), [size - 1]]
    assert all(alike[i, j] for group in found for i in group for j in group if i != j)


def test_a_large_clique_needs_no_recursion():
    assert cliques(np.ones((1200, 1200), bool)) == [list(range(1200))]


def test_letters():
    assert [letters(number) for number in (0, 25, 26, 51, 52)] == ["a", "z", "aa", "az", "ba"]


# Rankings


def test_the_best_comes_first_with_its_group():
    found = ranking(grid({"ste": -5, "mste": -9, "noise": -5.02}, tasks=(4, 6, 8), seeds=8))
    assert found.standings[0].method == "vq mste"
    assert found.groups == [[0], [1, 2]]
    assert found.significant(0, 1)
    assert not found.significant(1, 2)
    assert found.standings[0].improves > 0.9
    assert (found.blocks, found.units) == (8, "seeds")
    assert found.standings[0].mean_rank == 1


def test_for_some_metrics_more_is_better():
    rows = [row | {"usage": 0.9 if row["gradient"] == "ste" else 0.2} for row in grid({"ste": 0, "mste": -9})]
    found = ranking(rows, "usage")
    assert found.standings[0].method == "vq ste"
    assert found.standings[0].center.mean == pytest.approx(0.9)


def test_trials_that_failed_before_their_rate_was_known_count_in_its_task():
    trials = [trial(name, seed, -6.0 * bits, codes=2**bits) for name in ("ste", "mste") for bits in (4, 6) for seed in range(3)]
    trials += [trial("noise", seed, None, codes=2**bits, status="failed") for bits in (4, 6) for seed in range(3)]
    found = ranking(trials)
    assert found.tasks == ["rate=4", "rate=6"]
    assert found.standings[-1].method == "vq noise"
    assert (found.standings[-1].failed, found.standings[-1].mean_rank, found.blocks) == (6, 3.0, 3)


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_failure_is_worst_whatever_it_reached(status):
    trials = grid({"ste": -9, "mste": -5})
    for row in trials[:4]:  # of the ten of ste
        row |= {"status": status, "nmse_db": -100.0}
    found = ranking(trials)
    assert [one.method for one in found.standings] == ["vq mste", "vq ste"]
    last = found.standings[1]
    assert (last.center.mean, getattr(last, status), last.trials) == (np.inf, 4, 10)


def test_a_few_failures_do_not_hide_behind_the_trimming_of_the_interval():
    trials = grid({"ste": -9, "mste": -5}, tasks=(6,), seeds=8)
    for row in trials[:2]:  # a quarter of ste's eight: trimmed from the mean, but another eight may fail more often
        row["status"] = "diverged"
    best = ranking(trials).standings[0]
    assert best.method == "vq ste"
    assert np.isfinite(best.center.mean)
    assert np.isfinite(best.center.low)
    assert best.center.high == np.inf


def test_what_failures_do_is_a_choice():
    trials = grid({"ste": -9, "mste": -5, "noise": -4}, tasks=(6,), seeds=6)
    for row in trials[:3]:
        row["status"] = "diverged"
    found = {policy: ranking(trials, failures=policy) for policy in ("worst", "drop", "whole-seed")}
    assert found["worst"].standings[-1].method == "vq ste"
    assert found["drop"].standings[0].method == "vq ste"
    assert {policy: one.blocks for policy, one in found.items()} == {"worst": 6, "drop": 3, "whole-seed": 3}
    mste = {policy: next(one for one in each.standings if one.method == "vq mste") for policy, each in found.items()}
    later = [row["nmse_db"] for row in trials[9:12]]
    assert mste["whole-seed"].center.mean == pytest.approx(np.mean(later))
    assert mste["drop"].center.mean == mste["worst"].center.mean != mste["whole-seed"].center.mean
    assert all(next(one for one in each.standings if one.method == "vq ste").diverged == 3 for each in found.values())


def test_methods_of_other_rates_are_ranked_rate_by_rate():
    """A quantizer with ten bits more wins whatever it is worth: it is told apart."""
    trials = grid({"ste": -9, "mste": -5}, tasks=(6,))
    trials += [
        row | {"trial": f"f{row['trial']}", "quantizer": "fsq", "rate_bits": 18.6, "nmse_db": -40.0} for row in trials[:5]
    ]
    found = {one.rate: one for one in rankings(trials)}
    assert [one.method for one in found["6"].standings] == ["vq ste", "vq mste"]
    assert [(one.method, one.rate) for one in found["18.6"].standings] == [("fsq ste", pytest.approx(18.6))]


def test_methods_without_a_nominal_rate_are_ranked_by_the_setting_that_decides_it():
    trials = [
        trial(gradient, seed, value - weight, quantizer="entropy_scalar")
        | {
            "rate_bits": None,
            "spent_bits": 3.0 / weight,
            "quantizer.rate_weight": weight,
            "trial": f"{gradient}{weight}-{seed}",
        }
        for gradient, value in (("ste", -5.0), ("noise", -4.0))
        for weight in (0.1, 1.0)
        for seed in range(3)
    ]
    trials += [trial("ste", seed, -3.0) for seed in range(3)]
    trials += [trial("ste", seed, -30.0, quantizer="none") | {"rate_bits": None, "spent_bits": None} for seed in range(3)]
    found = {one.rate: one for one in rankings(trials, settings=("quantizer.rate_weight",), sizes=["quantizer.rate_weight"])}
    assert set(found) == {"rate_weight=0.1", "rate_weight=1", "6", ""}
    assert [(one.method, one.rate) for one in found["rate_weight=1"].standings] == [
        ("entropy_scalar ste", 3.0),
        ("entropy_scalar noise", 3.0),
    ]
    assert [one.method for one in found[""].standings] == ["none ste"]


def test_letters_speak_of_these_tasks_or_of_others():
    """Each of two methods is better in half of the tasks, by far more than seeds differ."""
    trials = [
        trial(name, seed, sign * side + 0.01 * seed, bits=task)
        for name, sign in (("ste", 1), ("mste", -1))
        for task, side in zip(range(8), (1, 1, 1, 1, 1, 1, -1, -1), strict=True)
        for seed in range(6)
    ]
    seeds, tasks = (ranking(trials, over=over) for over in ("seeds", "tasks"))
    assert (seeds.blocks, tasks.blocks) == (6, 8)
    assert seeds.significant(0, 1)  # of these tasks there is no doubt
    assert not tasks.significant(0, 1)
    assert seeds.standings[0].center.high - seeds.standings[0].center.low < 0.1
    assert tasks.standings[0].center.high - tasks.standings[0].center.low > 1


# Faults that would be seen


def test_seeds_are_paired_not_ranks_of_values():
    """The second method is better by 0.1 at every seed, and its seeds come in another order: sorted values would hide that."""
    hard = [0.0, 5, 1, 7, 3, 9, 2, 8]
    first = [trial("ste", seed, value) for seed, value in enumerate(hard)]
    second = [trial("mste", seed, value - 0.1) for seed, value in enumerate(hard)]
    assert ranking([*first, *second[::-1]]).significant(0, 1)
    shifted = [row | {"seed": (row["seed"] + 1) % 8} for row in second]
    assert not ranking([*first, *shifted]).significant(0, 1)


def test_skipped_trials_are_said_and_not_ranked():
    found = ranking([*grid({"ste": -9, "mste": -5}), trial("soft_round", 0, None, status="skipped")])
    assert len(found.standings) == 2
    assert "1 trials were skipped, for their quantizer and gradient do not fit" in found.notes


def test_what_is_unmatched_is_said_and_means_are_over_common_tasks():
    trials = grid({"ste": -9, "mste": -5})
    found = ranking([row for row in trials if not (row["gradient"] == "ste" and row["simulator.bits"] == 8)])
    assert found.tasks == ["bits=6"]
    assert "unmatched: vq ste has no trial in bits=8" in found.notes
    found = ranking([row for row in trials if not (row["gradient"] == "ste" and row["seed"] == 1)])
    assert "unmatched: vq ste lacks 2 seeds that others have in the same task" in found.notes
    assert found.blocks == 4


def test_a_single_seed_gives_no_interval_and_a_note():
    found = ranking(grid({"ste": -9, "mste": -5}, seeds=1))
    assert "a single seed: no intervals" in found.notes
    assert np.isnan(found.standings[0].center.low)


def test_too_few_blocks_to_separate_anything_are_said():
    found = ranking(grid({"ste": -9, "mste": -5}, tasks=(6,), seeds=3))
    assert any("cannot separate 2 methods" in note and "groups need at least 6" in note for note in found.notes)
    assert not found.groups
    assert not found.separable


# The command


@pytest.fixture
def results(tmp_path):
    def save(trials, name="results.csv"):
        write(table(trials), tmp_path / name)
        return str(tmp_path / name)

    return save


def test_command(quantbench, results):
    path = results(rate_trials(1.0))
    code, out, err = quantbench("rank", path, "--against", "vq ste")
    assert (code, err) == (0, "")
    assert "vq mste" in out
    assert "Pareto set" in out
    assert "Bjøntegaard" in out
    code, out, _ = quantbench("rank", path, "--against", "vq ste", "--format", "json")
    found = json.loads(out)
    assert [row["method"] for row in found["ranking"]] == ["vq ste", "vq mste"]
    assert {row["method"] for row in found["pareto"]} == {"vq ste"}
    assert found["bd"][0]["nmse_db"] == pytest.approx(1.0)
    code, out, _ = quantbench("rank", path, "--format", "csv")
    assert out.splitlines()[0].startswith("place,method,nmse_db,nmse_db_low,nmse_db_high,better")
    code, out, _ = quantbench("rank", path, "--format", "csv", "--table", "pareto")
    assert len(out.splitlines()) == 5


def test_several_runs_are_one_table(quantbench, results):
    a = results([row for row in grid({"ste": -9, "mste": -5}) if row["gradient"] == "ste"], "a.csv")
    b = results([row for row in grid({"ste": -9, "mste": -5}) if row["gradient"] == "mste"], "b.csv")
    code, out, _ = quantbench("rank", a, b)
    assert code == 0
    assert "vq ste" in out
    assert "vq mste" in out
    code, out, _ = quantbench("rank", a, a, b)
    assert "note: 10 trials are there more than once; the last one counts" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "beauty"], "--metric beauty: no such metric; there are nmse_db, usage"),
        (["--over", "moons"], "invalid choice: 'moons'"),
        (["--metric", "rate_bits"], "--metric rate_bits: whether more of it is better is not known"),
        (["--by", "colour"], "--by colour: no such setting; there are simulator, codec, quantizer"),
        (["--within", "colour"], "--within colour: no such setting"),
        (["--within", "quantizer"], "--within quantizer: makes a method already"),
        (["--against", "nobody"], "--against nobody: no such method; there are vq ste, vq mste"),
        (["--against", "vq ste"], "has fewer than 4 rates"),
        (["--rate", "coded_bits"], "--rate coded_bits: no such column, or it is empty"),
    ],
)
def test_bad_input(quantbench, results, words, message):
    code, out, err = quantbench("rank", results(grid({"ste": -9, "mste": -5})), *words)
    assert code == 2
    assert message in err
    assert not out


def test_nothing_completed(quantbench, results):
    code, _, err = quantbench("rank", results([trial("ste", 0, None, status="failed")]))
    assert code == 2
    assert "no completed trial has a metric to compare by" in err


def test_no_rank_without_a_metric_of_a_direction():
    with pytest.raises(ConfigError, match="the column is empty"):
        framed(grid({"ste": -9}), "pesq")


def test_the_distance_that_rewards_collapse_is_no_goal(quantbench, results):
    path = results([row | {"gap_db": 1.0} for row in grid({"ste": -9, "mste": -5})])
    code, _, err = quantbench("rank", path, "--metric", "gap_db")
    assert code == 2
    assert "--metric gap_db: nothing is ranked by it, for it is small for a collapsed codec" in err


def test_waveforms_are_ranked_by_what_is_heard(quantbench, results):
    trials = [row | {"mel_distance_db": -row["nmse_db"]} for row in grid({"ste": -9, "mste": -5})]
    code, out, _ = quantbench("rank", results(trials))
    assert code == 0
    assert out.startswith("mel_distance_db (lower is better)")
    assert out.index("vq mste") < out.index("vq ste")


def test_ends_of_an_interval_stand_in_the_metrics_own_direction():
    trials = [
        trial(name, seed, 0.0) | {"usage": mean + 0.01 * seed}
        for name, mean in (("ste", 0.5), ("mste", 0.2))
        for seed in range(5)
    ]
    for row in trials[:1]:
        row["status"] = "diverged"
    best = ranking(trials, "usage").standings[0]
    assert best.method == "vq ste"
    assert best.center.low == -np.inf  # of failures among so few
    assert best.center.mean < best.center.high < 1


def test_one_seed_of_many_tasks_decides_nothing():
    """What a seed does to one task it may do to all: ten tasks of one seed are one observation."""
    found = ranking(grid({"ste": -9, "mste": -5}, tasks=range(10), seeds=1))
    assert not found.separable
    assert found.blocks == 1


def test_a_seed_that_moves_all_tasks_is_one_observation():
    """Alike on average; each seed favours one method in all twelve tasks alike. Pairs of task and seed would be 84."""
    generator = np.random.default_rng(5)
    told = 0
    for _ in range(40):
        own = generator.normal(size=(2, 7))
        trials = [
            trial(name, seed, own[place, seed] + 0.1 * generator.normal(), bits=task)
            for place, name in enumerate(("ste", "mste"))
            for task in range(12)
            for seed in range(7)
        ]
        told += ranking(trials).significant(0, 1)
    assert told <= 6  # of 40; by pairs of task and seed it would be thirty


def test_a_method_without_a_value_is_told_all_the_same():
    trials = grid({"ste": -9, "mste": -5, "noise": -3}, tasks=(6,), seeds=6)
    for row in trials[-6:]:
        row["status"] = "failed"
    found = ranking(trials, failures="drop")
    assert [(one.method, one.failed) for one in found.standings] == [("vq ste", 0), ("vq mste", 0), ("vq noise", 6)]
    assert found.significant(0, 1)  # the others are compared as if it were not there
    assert not found.significant(0, 2)
    assert np.isnan(found.standings[2].center.mean)


def test_a_perfect_codec_is_the_best_and_not_unmeasured():
    trials = grid({"ste": -9, "mste": -5}, tasks=(6,), seeds=6)
    for row in trials[6:]:
        row["nmse_db"] = -np.inf
    found = ranking(trials)
    assert [one.method for one in found.standings] == ["vq mste", "vq ste"]
    assert found.standings[0].center.mean == -np.inf
    assert found.significant(0, 1)


def test_differences_of_ninths_are_tied_whatever_their_last_digit():
    """The probability is counted out over all signs, with middle ranks."""
    ninths = {"fsq": [7, 1, 6, 9, 7, 4, 7, 8], "vq": [4, 0, 4, 9, 8, 2, 6, 7]}
    trials = [
        trial("ste", seed, -1.0, quantizer=name) | {"usage": one / 9}
        for name, own in ninths.items()
        for seed, one in enumerate(own)
    ]
    (found,) = rankings(trials, "usage")
    assert found.p_values[0, 1] == 0.078125
    assert len(found.groups) == 1

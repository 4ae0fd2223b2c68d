import json
import warnings
from itertools import combinations

import bjontegaard as reference_bd
import numpy as np
import pandas as pd
import pytest
import rliable.metrics
import scikit_posthocs
from scipy import stats

from quantbench.errors import ConfigError
from quantbench.results.methods import layout
from quantbench.results.rank import cliques, holm, improvement, interquartile_mean, mean_ranks, rank, wilcoxon_holm
from quantbench.results.rates import bd_quality, bd_rate, bjontegaard, pareto, source_layout
from quantbench.results.tables import results_table, write

RANDOM = np.random.default_rng(7)


def trial(gradient, seed, value, bits=6, codes=64, status="completed", quantizer="vq"):
    return {
        "trial": f"{quantizer}-{gradient}-{bits}-{codes}-{seed}",
        "experiment": "test",
        "status": status,
        "seed": seed,
        "simulator": "gaussian",
        "codec": "mlp",
        "quantizer": quantizer,
        "gradient": gradient,
        "simulator.bits": bits,
        "quantizer.codes": codes,
        "nmse_db": value,
        "usage": 0.5,
        "rate_bits": None if status == "failed" else float(np.log2(codes)),
        "spent_bits": None if status == "failed" else 0.9 * float(np.log2(codes)),
    }


def table(trials):
    return results_table(list(trials), ["simulator.bits", "quantizer.codes"])


def ranking(trials, metric="nmse_db", **options):
    rows = table(trials)
    return rank(rows, layout(rows, **options), metric)


def grid(means, tasks=(6, 8), seeds=5, spread=0.1):
    generator = np.random.default_rng(3)
    shared = {(task, seed): generator.normal() for task in tasks for seed in range(seeds)}
    return [
        trial(gradient, seed, mean + shared[task, seed] + spread * generator.normal(), bits=task)
        for gradient, mean in means.items()
        for task in tasks
        for seed in range(seeds)
    ]


# Against other implementations


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 30, 31])
def test_interquartile_mean_is_that_of_rliable_and_scipy(size):
    values = RANDOM.normal(size=(size, 3))
    assert interquartile_mean(values.ravel()) == pytest.approx(rliable.metrics.aggregate_iqm(values), rel=1e-12)
    assert interquartile_mean(values.T) == pytest.approx(stats.trim_mean(values, 0.25, axis=0), rel=1e-12)


def test_interquartile_mean_leaves_out_what_is_missing_and_keeps_what_failed():
    assert interquartile_mean(np.array([1.0, np.nan, 3.0, 2.0, np.nan])) == 2
    assert interquartile_mean(np.array([1.0, 2, 3, np.inf])) == 2.5
    assert interquartile_mean(np.array([1.0, 2, np.inf, np.inf])) == np.inf
    assert np.isnan(interquartile_mean(np.array([np.nan, np.nan])))


def test_probability_of_improvement_is_that_of_rliable():
    x, y = RANDOM.normal(size=(6, 3)).round(1), RANDOM.normal(0.3, size=(6, 3)).round(1)  # rounded: there are ties
    ours = improvement([np.stack([x[:, task], y[:, task]]) for task in range(3)], 0, 1)
    # Less is better for us, more for rliable.
    assert ours.mean == pytest.approx(rliable.metrics.probability_of_improvement(-x, -y), rel=1e-12)
    assert ours.low <= ours.mean <= ours.high


def test_interval_of_the_interquartile_mean_is_scipys_percentile_bootstrap():
    values = RANDOM.normal(size=40)
    found = ranking([trial(name, seed, value + (name == "b")) for name in "ab" for seed, value in enumerate(values)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = stats.bootstrap(
            (values,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), n_resamples=20000, method="percentile", rng=1
        ).confidence_interval
    center = found.standings[0].center
    assert (center.low, center.high) == pytest.approx((other.low, other.high), abs=0.05)


def test_wilcoxon_and_holm_are_those_of_scikit_posthocs():
    values = RANDOM.normal(size=(5, 12)) + np.arange(5)[:, None] * 0.5
    long = pd.DataFrame({"method": np.repeat(list("abcde"), 12), "value": values.ravel()})
    reference = scikit_posthocs.posthoc_wilcoxon(long, val_col="value", group_col="method", p_adjust="holm")
    assert wilcoxon_holm(values) == pytest.approx(reference.to_numpy(), rel=1e-9)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1, 1])


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_all_largest_sets_without_a_difference(seed):
    alike = np.random.default_rng(seed).random((7, 7)) < 0.6
    alike = alike & alike.T | np.eye(7, dtype=bool)

    def is_alike(group):
        return all(alike[i, j] for i, j in combinations(group, 2))

    every = [set(group) for size in range(1, 8) for group in combinations(range(7), size) if is_alike(group)]
    largest = [group for group in every if not any(group < other for other in every)]
    assert sorted(map(sorted, largest)) == cliques(alike)
    frame = pd.DataFrame(alike.astype(int)).mask(np.eye(7, dtype=bool), 1)
    assert sorted(map(sorted, scikit_posthocs._plotting._find_maximal_cliques(frame))) == cliques(alike)


def curves(seed):
    generator = np.random.default_rng(seed)
    rates = np.sort(generator.uniform(1, 8, size=(2, 5)), axis=1)
    return [np.stack([rate, 6.02 * rate + 3 * generator.random() + np.cumsum(generator.random(5))], axis=1) for rate in rates]


@pytest.mark.parametrize("seed", range(5))
def test_bd_is_that_of_bjontegaard(seed):
    anchor, curve = curves(seed)
    given = (anchor[:, 0], anchor[:, 1], curve[:, 0], curve[:, 1])
    percent = 100 * (10 ** bd_rate(anchor, curve) - 1)
    assert percent == pytest.approx(reference_bd.bd_rate(*given, method="pchip", min_overlap=0), rel=1e-9)
    assert bd_quality(anchor, curve) == pytest.approx(reference_bd.bd_psnr(*given, method="pchip", min_overlap=0), rel=1e-9)


def test_bd_of_what_cannot_be_compared():
    anchor, curve = curves(0)
    assert np.isnan(bd_quality(anchor, curve + np.array([100, 0])))
    assert np.isnan(bd_rate(anchor, curve + np.array([0, 100])))
    assert np.isnan(bd_rate(anchor, curve * [1, -1]))  # more rate, less quality


def test_mean_ranks_share_ties():
    assert list(mean_ranks([np.array([[1.0, 1], [1, 2], [3, np.inf]])])) == [1.25, 1.75, 3]


# Rankings


def test_the_best_comes_first_with_its_group():
    found = ranking(grid({"ste": -5, "mste": -9, "noise": -5.02}, tasks=(4, 6, 8)))
    assert found.standings[0].method == "vq mste"
    assert found.groups == [[0], [1, 2]]
    assert found.significant(0, 1)
    assert not found.significant(1, 2)
    assert found.standings[0].improves.mean > 0.9
    assert found.blocks == 15
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
    assert (found.standings[-1].failed, found.standings[-1].mean_rank, found.blocks) == (6, 3.0, 6)


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_failure_is_worst_whatever_it_reached(status):
    trials = grid({"ste": -9, "mste": -5})
    for row in trials[:4]:  # of the ten of ste
        row |= {"status": status, "nmse_db": -100.0}
    found = ranking(trials)
    assert [one.method for one in found.standings] == ["vq mste", "vq ste"]
    last = found.standings[1]
    assert (last.center.mean, last.failed, last.trials) == (np.inf, 4, 10)


def test_a_few_failures_do_not_hide_behind_the_trimming_of_the_interval():
    trials = grid({"ste": -9, "mste": -5}, seeds=8)
    for row in trials[:4]:  # a quarter of ste's sixteen: trimmed from the mean, not from all resamples
        row["status"] = "diverged"
    best = ranking(trials).standings[0]
    assert best.method == "vq ste"
    assert np.isfinite(best.center.mean)
    assert best.center.high == np.inf


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
    assert found.blocks == 8


def test_a_single_seed_gives_no_interval_and_a_note():
    found = ranking(grid({"ste": -9, "mste": -5}, seeds=1))
    assert "a single seed: no intervals" in found.notes
    assert np.isnan(found.standings[0].center.low)


def test_too_few_blocks_to_separate_anything_are_said():
    found = ranking(grid({"ste": -9, "mste": -5}, tasks=(6,), seeds=3))
    assert any("cannot separate 2 methods" in note for note in found.notes)


def test_sizes_make_no_method_and_rates_make_tasks():
    rows = table(trial(name, seed, -1.0, codes=codes) for name in ("ste", "mste") for codes in (16, 64) for seed in (0, 1))
    parts = layout(rows)
    assert parts.names == ["vq ste", "vq mste"]
    assert sorted(set(parts.tasks)) == ["rate=4", "rate=6"]
    assert set(source_layout(rows, None, None).tasks) == {""}


def test_rates_of_frames_of_different_sizes_are_by_dimension():
    rows = table(trial(name, 0, -1.0, codes=codes) for name, codes in (("ste", 16), ("mste", 256)))
    rows["simulator.frame_dim"] = [2, 4]
    assert set(layout(rows).tasks) == {""}  # both have two bits a dimension


def rate_trials(offset, failing=()):
    for name, worse in (("ste", 0.0), ("mste", offset)):
        for codes in (4, 16, 64, 256):
            for seed in range(3):
                status = "failed" if (name, codes, seed) in failing else "completed"
                bits = np.log2(codes)
                yield trial(name, seed, -6.02 * bits + worse + 0.01 * seed, codes=codes, status=status)


def test_bd_of_a_constant_offset_is_that_offset():
    rows = table(rate_trials(6.02))
    (found,) = bjontegaard(rows, source_layout(rows, None, None), "nmse_db", "vq ste")
    assert found.distortion.mean == pytest.approx(6.02)
    assert found.seeds == (3, 3, 3)
    # One bit more at every distortion, over the two of 2..8 bits that both reach; by hand from the logarithms' mean.
    assert 0 < found.rate.mean < 50


def test_bd_leaves_out_seeds_in_which_a_rate_failed_and_says_so():
    rows = table(rate_trials(1.0, failing=[("mste", 64, 1)]))
    (found,) = bjontegaard(rows, source_layout(rows, None, None), "nmse_db", "vq ste")
    assert found.seeds == (2, 2, 3)
    assert found.why == "a rate failed (1)"


def test_pareto_set():
    rows = table(rate_trials(1.0, failing=[("ste", 256, 0), ("ste", 256, 1)]))
    points, label = pareto(rows, source_layout(rows, None, None), "nmse_db")
    best = {(point.method, point.rate) for point in points if point.best}
    assert best == {("vq ste", 2.0), ("vq ste", 4.0), ("vq ste", 6.0), ("vq mste", 8.0)}
    assert label == "rate in bits a frame"
    (failed,) = [point for point in points if point.failed]
    assert (failed.method, failed.rate, failed.trials, failed.failed) == ("vq ste", 8.0, 3, 2)


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
    assert "--metric nmse_db: no such metric" in err


def test_no_rank_without_a_metric_of_a_direction():
    rows = table(grid({"ste": -9}))
    with pytest.raises(ConfigError, match="no such metric"):
        rank(rows, layout(rows), "pesq")

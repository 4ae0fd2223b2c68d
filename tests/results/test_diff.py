import numpy as np
import pandas as pd
import pytest
import yaml

from quantbench.errors import ConfigError
from quantbench.results import diff
from quantbench.results.diff_text import render_comparison
from quantbench.results.load import load, of_table
from quantbench.results.schema import COST, IDENTITY, MEASURED, NOTES
from quantbench.results.tables import read_results, results_table, write

SEEDS = range(8)


def table(values, settings=(), seeds=SEEDS, code="v1", **columns):
    """A results table: ``values`` maps (gradient, *settings) to the mean of nmse_db, with the seeds' own spread."""
    rows = []
    for (gradient, *rest), mean in values.items():
        for seed in seeds:
            rows.append(
                {
                    "trial": f"{code}{gradient}{rest}-{seed}",
                    "experiment": "x",
                    "status": "completed",
                    "seed": seed,
                    "simulator": "codeword",
                    "codec": "mlp",
                    "quantizer": "vq",
                    "gradient": gradient,
                    "nmse_db": mean + np.sin(37 * seed),
                    "usage": 0.5,
                }
                | dict(zip(settings, rest, strict=True))
                | columns
            )
    return results_table(rows, list(settings))


def compare(a, b, metrics, **options):
    return diff.compare(of_table(a), of_table(b), metrics, **options)


def marks(comparison):
    return {(line.method.removeprefix("vq "), line.metric): line.mark for line in comparison.lines}


def test_paired_seeds_see_a_difference_that_their_spread_would_hide():
    a = table({("ste",): -10.0, ("mste",): -10.0, ("noise",): -10.0})
    b = table({("ste",): -10.2, ("mste",): -9.8, ("noise",): -10.0})
    b["nmse_db"] += 0.01 * np.cos(np.arange(24))  # equal differences would speak by their signs alone
    comparison = compare(a, b, ["nmse_db", "usage"])
    found = marks(comparison)
    assert found[("ste", "nmse_db")] == diff.BETTER
    assert found[("mste", "nmse_db")] == diff.WORSE
    assert found[("noise", "nmse_db")] == diff.SAME
    assert found[("ste", "usage")] == diff.IDENTICAL
    assert comparison.tests == 3
    assert comparison.regressions == 1
    line = comparison.lines[0]
    assert line.seeds == 8
    assert line.difference.mean == pytest.approx(-0.2, abs=0.01)


def test_higher_is_better_for_usage():
    a, b = table({("ste",): 0.0}), table({("ste",): 0.0})
    b["usage"] = 0.7 + 0.01 * np.arange(8)
    assert marks(compare(a, b, ["usage"])) == {("ste", "usage"): diff.BETTER}


def test_failures_are_lines_of_their_own_and_never_enter_a_mean():
    a, b = table({("ste",): -10.0, ("mste",): -10.0}), table({("ste",): -10.0, ("mste",): -10.0})
    b.loc[b.index[2], ["status", "nmse_db"]] = ["failed", 1e9]
    a.loc[a.index[9], ["status", "nmse_db"]] = ["failed", np.nan]
    comparison = compare(a, b, ["nmse_db"])
    assert marks(comparison) == {
        ("ste", "nmse_db"): diff.IDENTICAL,
        ("ste", "failed"): diff.NEWLY_FAILING,
        ("mste", "nmse_db"): diff.IDENTICAL,
        ("mste", "failed"): diff.FIXED,
    }
    assert [(line.seeds, line.a, line.b) for line in comparison.lines if line.metric == "failed"] == [(8, 0, 1), (8, 1, 0)]
    assert all(line.seeds == 7 for line in comparison.lines if line.metric == "nmse_db")
    assert comparison.regressions == 1


def test_a_trial_that_fails_in_the_place_of_another_is_a_fault_all_the_same():
    a, b = table({("ste",): -10.0}), table({("ste",): -10.0})
    a.loc[a.index[0], "status"] = b.loc[b.index[1], "status"] = "failed"
    assert marks(compare(a, b, ["nmse_db"]))["ste", "failed"] == diff.NEWLY_FAILING


@pytest.mark.parametrize(("diverging", "mark"), [(1, diff.SAME), (3, diff.SAME), (5, diff.WORSE), (8, diff.WORSE)])
def test_that_more_diverge_is_tested(diverging, mark):
    a, b = table({("ste",): -10.0}), table({("ste",): -10.0})
    b.loc[b.index[:diverging], "status"] = "diverged"
    comparison = compare(a, b, ["nmse_db"])
    assert marks(comparison)["ste", "diverged"] == mark
    assert comparison.regressions == (mark == diff.WORSE)
    turned = marks(compare(b, a, ["nmse_db"]))["ste", "diverged"]
    assert turned == (diff.BETTER if mark == diff.WORSE else mark)


def test_a_fixed_trial_hides_no_regression():
    a, b = table({("ste",): -10.0}), table({("ste",): -9.0})
    b["nmse_db"] += 0.01 * np.cos(np.arange(8))
    a.loc[a.index[0], ["status", "nmse_db"]] = ["failed", np.nan]
    comparison = compare(a, b, ["nmse_db"])
    assert marks(comparison) == {("ste", "nmse_db"): diff.WORSE, ("ste", "failed"): diff.FIXED}
    assert comparison.regressions == 1


def test_one_seed_makes_no_verdict():
    a, b = table({("ste",): -1.0}, seeds=[0]), table({("ste",): -2.0}, seeds=[0])
    comparison = compare(a, b, ["nmse_db"])
    assert comparison.lines[0].mark == diff.FEW
    assert np.isnan(comparison.lines[0].difference.low)
    assert "a single seed decides nothing" in render_comparison(comparison)


def test_marks_hold_for_all_lines_together():
    """One difference at p = 0.03 is none among ten lines."""
    settings = ["quantizer.commitment"]
    names = {("ste", weight): -1.0 for weight in range(10)}
    a, b = table(names, settings), table(names, settings)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(80)
    noise -= np.repeat(noise.reshape(10, 8).mean(axis=1), 8)
    noise[:8] += 0.55
    b["nmse_db"] += noise
    alone = compare(a.iloc[:8], b.iloc[:8], ["nmse_db"])
    together = compare(a, b, ["nmse_db"])
    assert 0.005 < alone.lines[0].p < 0.05
    assert alone.lines[0].mark == diff.WORSE
    assert together.tests == 10
    assert together.lines[0].p == pytest.approx(min(1, 10 * alone.lines[0].p))
    assert together.lines[0].mark == diff.SAME


def test_pairs_are_by_seed_not_by_rank():
    """B is better by a little at every seed; with the seeds of B renamed the differences are noise."""
    hard = np.array([0.0, 5, 1, 7, 3, 9, 2, 8])
    a, b = table({("ste",): 0.0}), table({("ste",): 0.0})
    a["nmse_db"], b["nmse_db"] = hard, hard - 0.1 + 0.01 * np.cos(np.arange(8))
    assert marks(compare(a, b, ["nmse_db"])) == {("ste", "nmse_db"): diff.BETTER}
    moved = b.assign(nmse_db=np.roll(b["nmse_db"], 1))
    assert marks(compare(a, moved, ["nmse_db"])) == {("ste", "nmse_db"): diff.SAME}


def test_identical_is_said_and_rounding_is_no_change():
    a = table({("ste",): -10.0, ("mste",): -3.0})
    same = compare(a, a.assign(seconds=5.0), ["nmse_db", "usage"])
    assert same.identical
    assert render_comparison(same).endswith("identical: every trial of A has the same metrics in B")
    rounded = compare(a, a.assign(nmse_db=a["nmse_db"] * (1 + 1e-8)), ["nmse_db"])
    assert not rounded.identical
    assert set(marks(rounded).values()) == {diff.SAME}
    assert not compare(a, a.assign(mse=0.5), ["nmse_db"]).identical  # what is not shown counts, too


def test_what_stands_in_one_table_only():
    comparison = compare(table({("ste",): -1.0, ("mste",): -2.0}), table({("ste",): -1.0, ("noise",): -3.0}), ["nmse_db"])
    found = {line.method: (line.mark, line.a, line.b) for line in comparison.lines}
    assert found["vq mste"][0] == diff.ONLY_A
    assert found["vq noise"][0] == diff.ONLY_B
    assert np.isnan(found["vq noise"][1])


def test_unmatched_seeds_are_noted():
    comparison = compare(table({("ste",): -1.0}), table({("ste",): -1.0}, seeds=range(6)), ["nmse_db"])
    assert comparison.lines[0].seeds == 6
    assert any("only in A: 2 trials" in note for note in comparison.notes)


def test_identity_matches_where_a_column_is_missing():
    """One sweep varied the commitment weight and has a column for it; the other used one of its values throughout."""
    swept = table({("ste", 0.0): -1.0, ("ste", 1.0): -5.0}, ["quantizer.commitment"])
    fixed = table({("ste",): -5.0})
    fixed["trial"] = swept["trial"][8:].to_numpy()
    comparison = compare(swept, fixed, ["nmse_db"])
    found = marks(comparison)
    assert found[("ste commitment=1", "nmse_db")] == diff.IDENTICAL
    assert found[("ste commitment=0", "nmse_db")] == diff.ONLY_A


def test_settings_match_where_identities_differ():
    a = table({("ste", 0.5): -1.0, ("ste", 1): -5.0}, ["quantizer.commitment"])
    b = table({("ste", 0.5): -1.0, ("ste", 1.0): -5.0}, ["quantizer.commitment"], code="v2")
    b["novel_metric"] = 1.0
    b = b.drop(columns="reference_mse")
    comparison = compare(a, b, ["nmse_db"])
    assert set(marks(comparison).values()) == {diff.IDENTICAL}
    assert any("16 trials have other identities in B" in note for note in comparison.notes)
    assert "columns only in A: reference_mse" in comparison.notes
    assert "columns only in B: novel_metric" in comparison.notes


def test_seeds_are_what_is_resampled():
    """Two settings under one seed share their frames: grouped together they are one observation a seed, not two."""
    a = table({("ste", 0): -1.0, ("ste", 1): -1.0}, ["quantizer.commitment"])
    comparison = compare(a, a, ["nmse_db"], by=["gradient"])
    assert comparison.lines[0].seeds == 8


def test_settings_in_which_runs_differ_are_named(tmp_path):
    for name, lr in (("a", 0.001), ("b", 0.003)):
        (tmp_path / name).mkdir()
        write(table({("ste",): -1.0}, code=name), tmp_path / name / "results.csv")
        config = {"choices": {"gradient": "ste"}, "config": {"train": {"lr": lr, "steps": 5}}}
        content = {"quantbench": "0", "combinations": [config], "axes": {}}
        (tmp_path / name / "sweep.yaml").write_text(yaml.safe_dump(content))
    comparison = diff.compare(load(tmp_path / "a"), load(tmp_path / "b"), ["nmse_db"])
    assert comparison.changed == ["train.lr: 0.001 in A, 0.003 in B"]
    assert comparison.lines[0].seeds == 8  # it is what is compared, and hinders no match
    assert "changed: train.lr: 0.001 in A, 0.003 in B" in render_comparison(comparison)


def test_formats():
    b = table({("ste",): -2.0})
    b["nmse_db"] += 0.01 * np.cos(np.arange(8))
    comparison = compare(table({("ste",): -1.0}), b, ["nmse_db"])
    assert "1 better" in render_comparison(comparison)
    assert render_comparison(comparison, "markdown").startswith("|  | method | metric |")
    rows = render_comparison(comparison, "csv").splitlines()
    assert rows[0] == "method,metric,seeds,A,B,B - A,B - A_low,B - A_high,p,mark"
    assert rows[1].endswith(",better")


def test_unknown_metric_and_setting():
    a = table({("ste",): -1.0})
    with pytest.raises(ConfigError, match="--metric beauty: no such metric; there are"):
        compare(a, a, ["beauty"])
    with pytest.raises(ConfigError, match="--by colour: no such setting; there are simulator"):
        compare(a, a, ["nmse_db"], by=["colour"])


def test_tables_survive_their_file(tmp_path):
    original = table({("ste", "[8, 5]"): -1.0}, ["quantizer.levels"])
    write(original, tmp_path / "results.csv")
    read = read_results(tmp_path)
    assert list(read.columns) == [*IDENTITY, "quantizer.levels", *MEASURED, *NOTES, *COST]
    assert read["nmse_db"].tolist() == original["nmse_db"].tolist()  # not a digit lost


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\x00\xff\xfe\x01", "cannot be read|is no results.csv"),
        (b"a,b\n1,2\n", "has no column trial, status, seed, quantizer, gradient"),
        (b'"a\n', "cannot be read|is no results.csv"),
    ],
)
def test_bad_files_are_clear_errors(tmp_path, content, message):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_results(tmp_path)


def test_skipped_trials_are_not_compared():
    a = table({("ste",): -1.0})
    b = pd.concat([a, table({("mste",): -1.0}, status="skipped")])
    assert len(compare(a, b, ["nmse_db"]).lines) == 1


def test_a_seed_counts_with_all_its_trials_or_not_at_all():
    settings = ["train.lr"]
    a, b = (table({("ste", 1): -1.0, ("ste", 2): -5.0}, settings) for _ in range(2))
    b["nmse_db"] += 0.1 * np.cos(np.arange(16))
    b.loc[b.index[3], "status"] = "diverged"
    line = compare(a, b, ["nmse_db"], within=["simulator"]).lines[0]
    assert line.seeds == 7
    assert line.b - line.a == pytest.approx(line.difference.mean)


def test_a_status_that_nobody_knows_is_a_failure():
    a = table({("ste",): -1.0})
    found = compare(a, a.assign(status="exploded"), ["nmse_db"])
    assert marks(found)["ste", "failed"] == diff.NEWLY_FAILING
    assert found.regressions == 1


def test_what_fails_in_one_table_only_is_counted():
    a, b = table({("ste",): -1.0}), table({("ste",): -1.0, ("mste",): -1.0})
    b.loc[b.index[8:11], "status"] = ["failed", "failed", "diverged"]
    found = {(line.method, line.metric): (line.b, line.mark) for line in compare(a, b, ["nmse_db"]).lines}
    assert found["vq mste", "failed"] == (2, diff.NEWLY_FAILING)
    assert found["vq mste", "diverged"] == (1, diff.ONLY_B)


def test_a_baseline_of_failures_can_be_fixed(quantbench, tmp_path):
    good = table({("ste",): -1.0})
    write(good.assign(status="failed", nmse_db=None, usage=None), tmp_path / "a.csv")
    write(good, tmp_path / "b.csv")
    code, out, _ = quantbench("diff", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    assert code == 0
    assert "fixed" in out


def test_other_rates_are_told_and_a_metric_is_tested_once():
    a = table({("ste",): -1.0}, rate_bits=6.0)
    b = a.assign(rate_bits=8.0, nmse_db=a["nmse_db"] + 0.01 * np.cos(np.arange(8)))
    found = compare(a, b, ["nmse_db", "nmse_db"])
    assert len(found.lines) == found.tests == 1
    assert any("8 pairs take other rates in B" in note for note in found.notes)
    assert not compare(a, a.drop(columns="usage"), ["nmse_db"]).identical


@pytest.mark.parametrize(("one", "other"), [(0.123451, 0.123452), (0.1, 0.1 + 1e-15), (1_000_000_007, 1_000_000_009)])
def test_close_settings_are_two(tmp_path, one, other):
    """In other files too: the trials have other identities there."""
    for name, shift in (("a", [0, 0]), ("b", [-1, 1])):
        values = {("ste", one): -1.0 + shift[0], ("ste", other): -9.0 + shift[1]}
        write(table(values, ["train.lr"], seeds=[0], code=name), tmp_path / f"{name}.csv")
    found = diff.compare(load(tmp_path / "a.csv"), load(tmp_path / "b.csv"), ["nmse_db"])
    assert [round(line.difference.mean, 9) for line in found.lines] == [-1, 1]
    assert len({line.task for line in found.lines}) == 2


def test_a_number_among_texts_is_the_number_it_is_elsewhere(tmp_path):
    for name, others in (("a", [0.5, 1.0]), ("b", [0.5, 1.0, "auto"])):
        values = {("ste", one): -1.0 for one in others}
        write(table(values, ["train.lr"], seeds=[0], code=name), tmp_path / f"{name}.csv")
    found = diff.compare(load(tmp_path / "a.csv"), load(tmp_path / "b.csv"), ["nmse_db"])
    assert sorted(line.mark for line in found.lines) == [diff.IDENTICAL, diff.IDENTICAL, diff.ONLY_B]


def test_names_that_look_like_numbers_are_names(tmp_path):
    for name in ("a", "b"):
        write(table({("007",): -1.0, ("7",): -2.0, ("1e3",): -3.0}, seeds=[0]), tmp_path / f"{name}.csv")
    found = diff.compare(load(tmp_path / "a.csv"), load(tmp_path / "b.csv"), ["nmse_db"])
    assert [line.method for line in found.lines] == ["vq 007", "vq 7", "vq 1e3"]

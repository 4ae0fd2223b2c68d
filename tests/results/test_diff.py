import numpy as np
import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.results import diff
from quantbench.results.diff import compare, render_comparison
from quantbench.results.schema import COST, IDENTITY, METRICS, NOTES
from quantbench.results.statistics import bootstrap_mean
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


def marks(comparison):
    return {(*line.group, line.metric): line.mark for line in comparison.lines}


def test_paired_seeds_see_a_difference_that_their_spread_would_hide():
    a = table({("ste",): -10.0, ("mste",): -10.0, ("noise",): -10.0})
    b = table({("ste",): -10.2, ("mste",): -9.8, ("noise",): -10.0})
    comparison = compare(a, b, ["nmse_db", "usage"])
    assert comparison.by == ["gradient"]
    found = marks(comparison)
    assert found[("ste", "nmse_db")] == diff.BETTER
    assert found[("mste", "nmse_db")] == diff.WORSE
    assert found[("noise", "nmse_db")] == diff.SAME
    assert found[("ste", "usage")] == diff.SAME
    assert comparison.regressions == 1
    line = comparison.lines[0]
    assert line.seeds == 8
    assert line.difference.mean == pytest.approx(-0.2)


def test_higher_is_better_for_usage():
    a, b = table({("ste",): 0.0}), table({("ste",): 0.0})
    b["usage"] = 0.7 + 0.01 * np.arange(8)
    assert marks(compare(a, b, ["usage"])) == {("usage",): diff.BETTER}


def test_failures_are_marks_and_never_enter_a_mean():
    a, b = table({("ste",): -10.0, ("mste",): -10.0}), table({("ste",): -10.0, ("mste",): -10.0})
    b.loc[b.index[2], ["status", "nmse_db"]] = ["diverged", 1e9]
    a.loc[a.index[9], ["status", "nmse_db"]] = ["failed", np.nan]
    comparison = compare(a, b, ["nmse_db"])
    assert marks(comparison) == {("ste", "nmse_db"): diff.NEWLY_FAILING, ("mste", "nmse_db"): diff.FIXED}
    assert all(line.seeds == 7 and abs(line.difference.mean) < 1e-9 for line in comparison.lines)
    assert comparison.regressions == 1


def test_a_fixed_trial_hides_no_regression():
    a, b = table({("ste",): -10.0, ("mste",): -10.0}), table({("ste",): -9.0, ("mste",): -10.0})
    a.loc[a.index[0], ["status", "nmse_db"]] = ["failed", np.nan]
    b.loc[b.index[9], ["status", "nmse_db"]] = ["failed", np.nan]
    a.loc[a.index[10], ["status", "nmse_db"]] = ["failed", np.nan]
    comparison = compare(a, b, ["nmse_db"])
    assert marks(comparison) == {("ste", "nmse_db"): diff.WORSE, ("mste", "nmse_db"): diff.NEWLY_FAILING}
    assert comparison.regressions == 2


def test_few_seeds_make_no_verdict():
    a, b = table({("ste",): -1.0}, seeds=range(4)), table({("ste",): -2.0}, seeds=range(4))
    assert compare(a, b, ["nmse_db"]).lines[0].mark == diff.FEW


def test_what_stands_in_one_table_only():
    comparison = compare(table({("ste",): -1.0, ("mste",): -2.0}), table({("ste",): -1.0, ("noise",): -3.0}), ["nmse_db"])
    found = {line.group: (line.mark, line.a, line.b) for line in comparison.lines}
    assert found[("mste",)][0] == diff.ONLY_A
    assert found[("noise",)][0] == diff.ONLY_B
    assert np.isnan(found[("noise",)][1])


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
    assert found[("1", "nmse_db")] == diff.SAME
    assert found[("0", "nmse_db")] == diff.ONLY_A


def test_settings_match_where_identities_differ():
    a = table({("ste", 0.5): -1.0, ("ste", 1): -5.0}, ["quantizer.commitment"])
    b = table({("ste", 0.5): -1.0, ("ste", 1.0): -5.0}, ["quantizer.commitment"], code="v2")
    b["novel_metric"] = 1.0
    b = b.drop(columns="reference_mse")
    comparison = compare(a, b, ["nmse_db"])
    assert set(marks(comparison).values()) == {diff.SAME}
    assert any("16 trials differ in settings that are no columns" in note for note in comparison.notes)
    assert "columns only in A: reference_mse" in comparison.notes
    assert "columns only in B: novel_metric" in comparison.notes


def test_seeds_are_what_is_resampled():
    """Two settings under one seed share their frames: grouped together they are one observation a seed, not two."""
    a = table({("ste", 0): -1.0, ("ste", 1): -1.0}, ["quantizer.commitment"])
    comparison = compare(a, a, ["nmse_db"], by=["gradient"])
    assert comparison.lines[0].seeds == 8


def test_one_seed_has_no_interval():
    comparison = compare(table({("ste",): -1.0}, seeds=[0]), table({("ste",): -2.0}, seeds=[0]), ["nmse_db"])
    assert comparison.lines[0].mark == diff.FEW
    assert np.isnan(comparison.lines[0].difference.low)


def test_formats():
    comparison = compare(table({("ste",): -1.0}), table({("ste",): -2.0}), ["nmse_db"])
    assert "1 better" in render_comparison(comparison)
    assert render_comparison(comparison, "markdown").startswith("|  | metric |")
    rows = render_comparison(comparison, "csv").splitlines()
    assert rows[0] == "metric,seeds,A,B,B - A,B - A_low,B - A_high,mark"
    assert rows[1].endswith(",better")


def test_unknown_metric_and_setting():
    a = table({("ste",): -1.0})
    with pytest.raises(ConfigError, match="--metric beauty: no such metric; there are"):
        compare(a, a, ["beauty"])
    with pytest.raises(ConfigError, match="--by colour: no such setting; there are simulator"):
        compare(a, a, ["nmse_db"], by=["colour"])


def test_bootstrap_covers_the_mean_of_a_normal():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        estimate = bootstrap_mean(generator.standard_normal(40))
        hits += estimate.low <= 0 <= estimate.high
    assert 0.89 < hits / 300 < 0.99


def test_tables_survive_their_file(tmp_path):
    original = table({("ste", "[8, 5]"): -1.0}, ["quantizer.levels"])
    write(original, tmp_path / "results.csv")
    read = read_results(tmp_path)
    assert list(read.columns) == [*IDENTITY, "quantizer.levels", *METRICS, *NOTES, *COST]
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

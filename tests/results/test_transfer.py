import re
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from quantbench.results import transfer as module
from quantbench.results.kendall import kendall, signs, spearman, tau_interval
from quantbench.results.label_places import label_places
from quantbench.results.load import of_table
from quantbench.results.plots.paper import draw as on_paper
from quantbench.results.scatter import picture, scatter
from quantbench.results.statistics import holm
from quantbench.results.tables import write
from quantbench.results.transfer import filled
from quantbench.results.transfer_text import counts, render_transfer

BOTH = ("nmse_db", "nmse_db")
FIVE = {"ste": -10.0, "mste": -9.0, "noise": -8.0, "rotation": -7.0, "diveq": -6.0}


def table(means, metric="nmse_db", seeds=5, spread=0.1, **columns):
    """A results table: ``means`` by gradient; every seed shifts all items alike, and each a little by itself."""
    generator = np.random.default_rng(7)
    rows = []
    for gradient, mean in means.items():
        for seed in range(seeds):
            value = mean + 3 * np.sin(37 * seed) + spread * generator.standard_normal()
            row = {"trial": f"{gradient}-{seed}", "status": "completed", "error": None, "seed": seed, "quantizer": "vq"}
            rows.append(row | {"gradient": gradient, metric: value} | columns)
    return pd.DataFrame(rows)


def transfer(toy, real, metrics=BOTH, by=None, **options):
    return module.transfer(of_table(toy), of_table(real), metrics, by, **options)


def exactly(values, metric="nmse_db"):
    """A results table of these values, by gradient and seed."""
    result = table(dict.fromkeys(values, 0.0), metric, len(next(iter(values.values()))))
    result[metric] = [float(value) for row in values.values() for value in row]
    return result


def test_equal_tables_agree_in_everything():
    found = transfer(table(FIVE), table(FIVE))
    assert (found.tau.mean, found.rho.mean, found.agreement.mean) == (1, 1, 1)
    assert found.tau.low > 0.5
    assert found.tau.high == 1
    assert len(found.pairs) == len(found.separated) == 10
    assert not found.disagreements
    assert not found.left_out
    assert not found.notes


def test_reversed_order_disagrees_in_everything():
    found = transfer(table(FIVE), table({name: -mean for name, mean in FIVE.items()}))
    assert (found.tau.mean, found.rho.mean, found.agreement.mean) == (-1, -1, 0)
    assert len(found.disagreements) == 10
    largest = found.disagreements[0]
    assert {found.names[largest.first], found.names[largest.second]} == {"vq ste", "vq diveq"}
    assert found.names[largest.first] == "vq diveq"  # the real codec's better one comes first
    assert largest.real.estimate.mean < 0 < largest.toy.estimate.mean


def test_higher_is_better_turns_an_order_round():
    toy, real = table(FIVE), table(FIVE, "stoi")
    assert transfer(toy, real, ("nmse_db", "stoi")).tau.mean == -1
    real["stoi"] *= -1
    assert transfer(toy, real, ("nmse_db", "stoi")).tau.mean == 1


def test_by_hand():
    """Real: a < b < c by 1 and 2 at every seed but for a little, d as good as c. Toy: b < a < c < d."""
    seeds = np.arange(6.0)
    little = 0.01 * np.cos(np.arange(24)).reshape(4, 6)
    toy = exactly(dict(zip("abcd", np.add.outer([2.0, 1, 3, 4], seeds) + little, strict=True)))
    real = exactly(dict(zip("abcd", np.add.outer([1.0, 2, 4, 4], seeds) + little * [[1], [-1], [2], [2]], strict=True)))
    real.loc[real["gradient"] == "d", "nmse_db"] = real.loc[real["gradient"] == "c", "nmse_db"].to_numpy()
    found = transfer(toy, real)
    assert len(found.separated) == 5
    assert found.agreement.mean == 0.8
    assert found.tau.mean == pytest.approx((4 - 1) / np.sqrt(6 * 5))
    (pair,) = found.disagreements
    assert [found.names[pair.first], found.names[pair.second]] == ["vq a", "vq b"]
    assert pair.real.estimate.mean == pytest.approx(-1, abs=0.02)
    said = counts(found)
    assert "separates 5 of 6 pairs (Student, Holm over all pairs); the toy orders 4 of them the same way." in said
    assert "It separates 5 of them itself: 4 the same way, 1 the opposite way." in said


def test_a_tie_of_the_toy_is_not_the_same_order():
    little = 0.001 * np.cos(np.arange(18)).reshape(3, 6)
    toy = exactly({"a": [1, 2, 1, 2, 1, 2], "b": [2, 1, 2, 1, 2, 1], "c": [5] * 6})
    real = exactly(dict(zip("abc", np.array([[1.0], [2], [3]]) + little, strict=True)))
    found = transfer(toy, real)
    assert found.agreement.mean == pytest.approx(2 / 3)
    assert "cannot tell" in render_transfer(found)


def test_a_pair_that_the_means_contradict_is_not_separated():
    """Of the three seeds that a and b share, a is better; against c, on a dozen seeds each, b is better by far."""
    noise = 0.1 * np.cos(np.arange(27))
    a, b, c = noise[::-1].copy(), noise.copy(), np.zeros(27)
    b[:3] += 1
    a[3:15] += 10
    b[15:] -= 10
    real = exactly({"a": a, "b": b, "c": c})
    lacking = {"a": range(15, 27), "b": range(3, 15), "c": range(3)}
    for name, seeds in lacking.items():
        real.loc[(real["gradient"] == name) & real["seed"].isin(seeds), "status"] = "diverged"
    found = transfer(exactly({name: list(range(27)) for name in "abc"}), real)
    (pair,) = [pair for pair in found.pairs if {found.names[pair.first], found.names[pair.second]} == {"vq a", "vq b"}]
    assert found.names[pair.first] == "vq b"  # by the means
    assert pair.real.estimate.low > 0  # by the seeds that both have a is better, all pairs considered
    assert not pair.separated


def test_a_constant_toy_has_no_correlation():
    found = transfer(exactly({name: [1, 1] for name in "abc"}), table({"a": 1.0, "b": 2.0, "c": 3.0}))
    assert np.isnan(found.tau.mean)
    assert np.isnan(found.rho.mean)
    render_transfer(found)


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_are_scipys(ties):
    generator = np.random.default_rng(0)
    a, b = (generator.integers(4, size=(30, 9)).astype(float) if ties else generator.normal(size=(30, 9)) for _ in range(2))
    for ours, theirs in ((kendall, stats.kendalltau), (spearman, stats.spearmanr)):
        expected = [theirs(x, y).statistic for x, y in zip(a, b, strict=True)]
        assert ours(signs(a), signs(b)) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("correlation", "noise", "seeds"), [(0.9, 1.0, 3), (0.9, 0.3, 5), (0.0, 1.0, 5)])
def test_taus_interval_covers_the_order_of_the_true_means(correlation, noise, seeds):
    """Resampling seeds covers 35 to 94 % here. 200 tables: five standard errors below 95 % are 87 %."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        toy, real = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 10).T
        tables = [
            mean[:, None] + noise * generator.normal(size=(10, seeds)) + generator.normal(size=seeds) for mean in (toy, real)
        ]
        low, high = tau_interval(*tables)
        hits += low - 1e-9 <= stats.kendalltau(toy, real).statistic <= high + 1e-9
    assert hits / 200 > 0.87


def test_taus_interval_of_what_does_not_vary():
    assert np.isnan(tau_interval(np.zeros((4, 3)), np.random.default_rng(0).normal(size=(4, 3)))).all()
    same = np.add.outer(np.arange(5.0), np.arange(3.0))  # no noise but what cancels
    assert tau_interval(same, same)[1] == 1


def test_seeds_are_paired():
    """The seeds' own spread is thirty times the difference of two items; the pairs are separated all the same."""
    found = transfer(table(FIVE), table({name: mean / 20 for name, mean in FIVE.items()}, spread=0.001))
    assert len(found.separated) == 10


def test_noise_separates_few_pairs():
    names = [f"g{i}" for i in range(20)]
    found = transfer(table(dict.fromkeys(names, 0.0)), table(dict.fromkeys(names, 0.0), seeds=3))
    assert not found.separated
    assert any("each by itself" in note and "of 190 pairs would be separated" in note for note in found.notes)


def test_output_does_not_change():
    texts = [render_transfer(transfer(table(FIVE, spread=2), table(FIVE, spread=2, seeds=4))) for _ in range(2)]
    assert texts[0] == texts[1]


def test_items_of_one_table_are_left_out_and_named():
    toy, real = table(FIVE | {"sga": 0.0}), table(FIVE | {"ewgs": 0.0})
    found = transfer(toy, real)
    assert found.left_out == {"vq sga": "not in real", "vq ewgs": "not in toy"}
    assert "left out: vq sga: not in real" in render_transfer(found)


def test_diverged_trials_are_counted_and_enter_no_mean():
    toy, real = table(FIVE | {"sga": 0.0}), table(FIVE | {"sga": 0.0})
    real.loc[real["gradient"] == "sga", "status"] = "diverged"
    real.loc[2, ["status", "nmse_db"]] = ["diverged", 1e9]
    found = transfer(toy, real)
    assert found.left_out == {"vq sga": "no seed in real has nmse_db of all its trials (5 diverged)"}
    assert [one.diverged for one in found.real.counts] == [1, 0, 0, 0, 0]
    assert found.tau.mean == 1
    assert found.real.values.shape == (5, 5)
    assert np.isnan(found.real.values).sum() == 1
    assert "real: 1 of 25 values are missing; means are adjusted for the seeds that a method lacks" in found.notes


def test_skipped_trials_are_no_failures():
    real = table(FIVE)
    found = transfer(table(FIVE | {"sga": 0.0}), pd.concat([real, table({"sga": 0.0}, status="skipped")]))
    assert found.left_out == {"vq sga": "skipped in real"}


def test_a_missing_seed_counts_neither_for_nor_against_an_item():
    """Items and seeds add up exactly, so what is missing is known."""
    values = np.add.outer([1.0, 2.0, 4.0], [0.0, 10.0, -3.0, 5.0])
    holes = values.copy()
    holes[0, 1] = holes[2, 2] = holes[2, 3] = np.nan
    assert filled(holes) == pytest.approx(values)
    assert filled(values) is values


def test_a_failed_trial_of_a_hard_seed_does_not_turn_the_order():
    values = {"ste": [0, 10, 20], "mste": [1, 11, 21], "noise": [2, 12, 22]}
    real = exactly(values)
    real.loc[(real["gradient"] == "noise") & (real["seed"] == 2), "status"] = "diverged"
    found = transfer(exactly(values), real)
    assert found.tau.mean == 1
    assert found.real.means[2].mean == pytest.approx(12)


def test_without_common_seeds_means_are_over_each_items_own():
    real = table(FIVE)
    real.loc[real["gradient"] == "ste", "seed"] += 10
    found = transfer(table(FIVE), real)
    assert found.tau.mean == 1
    assert len(found.separated) == 6  # those without ste


def test_one_seed_gives_no_intervals():
    found = transfer(table(FIVE), table(FIVE, seeds=1))
    assert found.tau == pytest.approx((1, np.nan, np.nan), nan_ok=True)
    assert np.isnan(found.agreement.mean)
    text = render_transfer(found)
    assert "no interval of tau: methods with a single seed in real" in text
    assert "The real codec separates none of 10 pairs; 10 have the same order in both." in text


def test_settings_name_items_and_1_is_1_0():
    toy, real = (
        pd.concat([table(FIVE, **{"quantizer.commitment": value}) for value in values]).assign(
            trial=lambda whole: [str(place) for place in range(len(whole))]
        )
        for values in ((0, 1), (0.0, 1.0))
    )
    found = transfer(toy, real, BOTH, ["quantizer", "gradient", "quantizer.commitment"])
    assert len(found.names) == 10
    assert "vq ste commitment=1" in found.names
    assert transfer(toy, real).names == found.names


def test_a_setting_of_one_table_alone_is_averaged_over():
    toy = pd.concat([table(FIVE, **{"quantizer.commitment": value}) for value in (0, 1)])
    toy["trial"] = [str(place) for place in range(len(toy))]
    found = transfer(toy, table(FIVE))
    assert "toy: means over quantizer.commitment, which neither --by nor --within names" in found.notes


def test_only_items_that_need_it_show_what_tells_them_apart():
    one = pd.concat([table(FIVE, **{"quantizer.commitment": 0.25}), table(FIVE, **{"quantizer.commitment": 0}).iloc[:4]])
    one["trial"] = [str(place) for place in range(len(one))]
    names = transfer(one, one).names
    assert {"vq ste commitment=0.25", "vq ste commitment=0"} <= set(names)


def test_a_seed_counts_only_with_all_its_trials():
    toy = pd.concat([table(FIVE, **{"quantizer.commitment": value}) for value in (0, 1)])
    toy["trial"] = [str(place) for place in range(len(toy))]
    toy.iloc[3, toy.columns.get_loc("status")] = "failed"
    assert np.isnan(transfer(toy, table(FIVE)).toy.values).sum() == 1


@pytest.mark.parametrize(
    ("change", "metrics", "by", "message"),
    [
        ({}, ("beauty", "nmse_db"), None, "toy: --metric beauty: no such metric; there are nmse_db"),
        (
            {"entropy_bits": 1.0},
            ("entropy_bits", "nmse_db"),
            None,
            "toy: --metric entropy_bits: whether more .* it is for nmse_db",
        ),
        ({"usage": np.nan}, ("usage", "nmse_db"), None, "toy: --metric usage: the column is empty"),
        ({}, BOTH, ["colour"], "--by colour: no such setting in toy; there are quantizer, gradient"),
        ({}, BOTH, ["seed"], "--by seed: no such setting"),
        ({"status": "diverged"}, BOTH, None, r"toy: no trial completed \(25 diverged\)"),
        ({"quantizer": "fsq"}, BOTH, None, r"--by quantizer,gradient: 0 methods can be compared(?s:.*)fsq ste: not in real"),
    ],
)
def test_bad_input(change, metrics, by, message):
    with pytest.raises(ConfigError, match=message):
        transfer(table(FIVE).assign(**change), table(FIVE), metrics, by)


def test_formats():
    found = transfer(table(FIVE | {"sga": 0.0}), table(FIVE | {"mste": -10.5}))
    rows = [line.split(",") for line in render_transfer(found, "csv").splitlines()]
    assert rows[0] == ["part", "name", "other", "side", "value", "low", "high"]
    assert rows[1][:2] == ["measure", "tau"]
    assert {row[0] for row in rows[1:]} == {"measure", "method", "trials", "separated", "left_out"}
    assert all(len(row) == 7 for row in rows)
    markdown = render_transfer(found, "markdown")
    assert "| measure | value [95 %, these methods] |" in markdown
    assert "- left out: vq sga: not in real" in markdown


@pytest.fixture
def runs(tmp_path):
    """Files of a toy and of a real codec that orders two of five items otherwise."""
    write(table(FIVE), tmp_path / "toy.csv")
    write(table(FIVE | {"mste": -10.5}, "mel_distance_db"), tmp_path / "real.csv")
    return ["transfer", str(tmp_path / "toy.csv"), str(tmp_path / "real.csv")]


def test_the_command_line(quantbench, runs):
    code, out, _ = quantbench(*runs)
    assert code == 0
    assert re.search(r"pairwise agreement +0.9\n", out)
    assert quantbench(*runs, "--fail-below", "0.9")[0] == 0
    code, _, err = quantbench(*runs, "--fail-below", "0.95")
    assert code == 1
    assert "--fail-below 0.95: the pairwise agreement is 0.9" in err


def test_an_unknown_agreement_is_below_any(quantbench, runs, tmp_path):
    write(table(FIVE, "mel_distance_db", seeds=1), tmp_path / "real.csv")
    code, _, err = quantbench(*runs, "--fail-below", "0")
    assert code == 1
    assert "not known, for the real codec separates no pair" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "a:b:c"], "--metric a:b:c: must be one metric"),
        (["--metric", ":mse"], "--metric :mse: must be one metric"),
        (["--metric", "nmse_db"], "real: --metric nmse_db: no such metric; there are mel_distance_db"),
        (["--by", "x"], "--by x: no such setting in toy"),
        (["--fail-below", "7"], "--fail-below 7: must be between 0 and 1"),
        (["--fail-below", "nan"], "argument --fail-below: nan: must be a finite number"),
        (["--plot", "f.jpg"], "--plot f.jpg: must end in one of .svg, .png, .pdf"),
        (["--plot", "nowhere/f.svg"], "--plot nowhere/f.svg: there is no folder nowhere"),
    ],
)
def test_bad_words_are_one_message(quantbench, runs, words, message):
    code, out, err = quantbench(*runs, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_without_matplotlib_the_message_says_how_to_get_it(quantbench, runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = quantbench(*runs, "--plot", "f.svg")
    assert code == 2
    assert f"--plot f.svg: needs matplotlib; install it with {how_to_install('plot')}" in err


def test_the_plot_holds_names_metrics_and_directions(quantbench, runs, tmp_path):
    assert quantbench(*runs, "--plot", "f.svg")[0] == 0
    drawn = (tmp_path / "f.svg").read_text()
    assert "<svg" in drawn
    for text in ("vq mste", "vq diveq", "toy: nmse_db (lower is better)", "real codec: mel_distance_db (lower is better)"):
        assert text in drawn
    quantbench(*runs, "--plot", "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn


def test_points_stand_at_their_values_however_far_away():
    """An item at 9.06 was drawn at 8.456, the end of the others' axis."""
    far = {**FIVE, "diveq": 400.0}
    found = transfer(table(far), table(FIVE))
    figure = on_paper(picture(found))
    every, near = (
        {tuple(one) for line in axes.get_lines() if line.get_marker() in ("o", "D") for one in line.get_xydata().tolist()}
        for axes in figure.axes
    )
    expected = {(x.mean, y.mean) for x, y in zip(found.toy.means, found.real.means, strict=True)}
    assert every == expected
    assert near == {one for one in expected if one[0] < 100}
    for axes, drawn in zip(figure.axes, (every, near), strict=True):
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert all(left < x < right and low < y < high for x, y in drawn)


@pytest.mark.parametrize(("name", "begins"), [("f.png", b"\x89PNG"), ("f.pdf", b"%PDF")])
def test_other_files(tmp_path, name, begins):
    found = transfer(table(FIVE), table(FIVE, seeds=1))
    scatter(found, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_labels_keep_clear_of_each_other_and_of_points():
    generator = np.random.default_rng(0)
    points = generator.uniform(60, 400, (20, 2))
    sizes = np.tile([50.0, 10.0], (20, 1))
    corners = np.array(label_places(points, sizes, [], (0, 0, 460, 460)))
    boxes = np.hstack([corners, corners + sizes])
    for i, (left, bottom, right, top) in enumerate(boxes):
        assert min(left, bottom) >= 0
        assert max(right, top) <= 460
        assert not ((points > [left, bottom]) & (points < [right, top])).all(axis=1).any()
        for other in boxes[:i]:
            assert left >= other[2] or right <= other[0] or bottom >= other[3] or top <= other[1]


def test_what_either_separates_holds_for_all_pairs_together():
    found = transfer(table(FIVE, spread=1.0), table(FIVE, spread=1.0))
    alone = np.array([pair.toy.p for pair in found.pairs])
    assert [pair.separated_by_toy for pair in found.pairs] == (holm(alone) < 0.05).tolist()
    assert sum(pair.separated_by_toy for pair in found.pairs) < (alone < 0.05).sum()

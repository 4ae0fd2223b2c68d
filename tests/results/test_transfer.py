"""Whether one ranking predicts another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quantbench.cli import main
from quantbench.errors import ConfigError
from quantbench.results.items import items, sign_of, split_by
from quantbench.results.ranks import agreement, correlation, pairs_of
from quantbench.results.transfer import Transfer, render_transfer, transfer

BY = ["gradient", "quantizer"]


def table(
    means: dict[str, float], metric: str = "nmse_db", seeds: int = 3, noise: float = 0.01, **columns: object
) -> pd.DataFrame:
    """Results of one strategy a mean, with a little noise between seeds."""
    random = np.random.default_rng(0)
    rows = [
        {
            "trial": f"{name}-{seed}",
            "status": "completed",
            "seed": seed,
            "quantizer": "vq",
            "gradient": name,
            metric: mean + noise * random.normal(),
        }
        | columns
        for name, mean in means.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


MEANS = {"ste": -1.0, "mste": -2.0, "noise": -3.0, "nsvq": -4.0}


def of(toy: pd.DataFrame, real: pd.DataFrame, metrics: tuple[str, str] = ("nmse_db", "nmse_db")) -> Transfer:
    return transfer(toy, real, metrics, BY)


def test_equal_rankings_agree_wholly_and_reversed_ones_not_at_all() -> None:
    same = of(table(MEANS), table({name: 10 * mean for name, mean in MEANS.items()}))
    assert (same.kendall.mean, same.spearman.mean, same.agreement.mean) == (1, 1, 1)
    assert (same.kendall.low, same.agreement.low) == (1, 1)
    assert not same.disagreements
    assert same.names == ["nsvq vq", "noise vq", "mste vq", "ste vq"]
    opposite = of(table(MEANS), table({name: -mean for name, mean in MEANS.items()}))
    assert (opposite.kendall.mean, opposite.spearman.mean, opposite.agreement.mean) == (-1, -1, 0)
    assert len(opposite.disagreements) == 6


def test_more_is_better_for_some_metrics() -> None:
    real = table({name: -mean for name, mean in MEANS.items()}, metric="si_sdr_db")
    assert of(table(MEANS), real, ("nmse_db", "si_sdr_db")).kendall.mean == 1
    assert sign_of("mel_distance_db") == 1
    with pytest.raises(
        ConfigError, match=r"steps: it is not known whether more or less of it is better; there are.*mel_distance_db"
    ):
        sign_of("steps")


def test_one_swapped_pair_by_hand() -> None:
    """Six pairs; one is ordered the other way: tau = (5 - 1) / 6, rho = 1 - 6 * 2 / (4 * 15), agreement 5 / 6."""
    found = of(table(MEANS), table(MEANS | {"ste": -2.0, "mste": -1.0}))
    assert found.kendall.mean == pytest.approx(4 / 6)
    assert found.spearman.mean == pytest.approx(0.8)
    assert found.agreement.mean == pytest.approx(5 / 6)
    (pair,) = found.disagreements
    assert {found.names[pair.first], found.names[pair.second]} == {"ste vq", "mste vq"}
    text = render_transfer(found)
    assert "5 of the 6 pairs" in text
    assert "ste vq before mste vq" in text


def test_pairs_that_the_real_codec_does_not_separate_do_not_count() -> None:
    real = table(MEANS | {"ste": -2.0}, noise=0.05)  # ste and mste alike
    found = of(table(MEANS), real)
    assert len(found.separated) == 5
    assert found.agreement.mean == 1


def test_separation_is_a_paired_student_test() -> None:
    random = np.random.default_rng(1)
    toy, real = random.normal(size=(3, 4)), random.normal(size=(3, 4))
    for pair in pairs_of(toy, real):
        for values, estimate in ((toy, pair.toy), (real, pair.real)):
            known = stats.ttest_rel(values[pair.second], values[pair.first])
            low, high = known.confidence_interval(0.95)
            assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
        assert pair.separated == (stats.ttest_rel(real[pair.second], real[pair.first]).pvalue < 0.05)


def test_correlations_are_scipys_on_means_with_ties() -> None:
    random = np.random.default_rng(2)
    toy, real = random.integers(3, size=(8, 1)).astype(float), random.integers(3, size=(8, 1)).astype(float)
    assert correlation(toy, real, "kendall").mean == stats.kendalltau(toy[:, 0], real[:, 0]).statistic
    assert correlation(toy, real, "spearman").mean == stats.spearmanr(toy[:, 0], real[:, 0]).statistic
    assert np.isnan(correlation(toy, real, "kendall").low)


def test_intervals_widen_with_noise_and_are_the_same_every_time() -> None:
    random = np.random.default_rng(3)
    base = np.arange(6.0)[:, None]
    quiet, loud = (base + scale * random.normal(size=(6, 5)) for scale in (0.1, 3.0))
    narrow, wide = correlation(quiet, quiet, "kendall"), correlation(loud, quiet, "kendall")
    assert narrow.high - narrow.low < wide.high - wide.low
    assert wide == correlation(loud, quiet, "kendall")
    assert np.isnan(agreement(loud, quiet, []).mean)


def test_failed_and_missing_trials_are_counted_and_told() -> None:
    toy, real = table(MEANS), table(MEANS | {"diveq": -5.0})
    real.loc[real["trial"] == "ste-0", "status"] = "diverged"
    real.loc[real["gradient"] == "mste", "status"] = "failed"
    found = of(toy, real)
    assert found.names == ["nsvq vq", "noise vq", "ste vq"]
    assert found.notes == [
        "left out: mste vq, no trial of the real codec's completed",
        "left out: diveq vq, not in the toy's table",
        "real: 1 of 3 trials of ste vq did not complete, and count for nothing",
    ]


def test_settings_that_tell_trials_apart_are_added_and_shown_where_needed() -> None:
    def both(values: dict[str, float]) -> pd.DataFrame:
        one = table(values, **{"quantizer.commitment": 0.25})
        two = table({"ste": 3.0}, **{"quantizer.commitment": 0.0})
        return pd.concat([one, two], ignore_index=True)

    assert split_by(both(MEANS), both(MEANS), BY) == [*BY, "quantizer.commitment"]
    found = of(both(MEANS), both(MEANS))
    assert found.names == ["nsvq vq", "noise vq", "mste vq", "ste vq commitment=0.25", "ste vq commitment=0"]
    assert found.notes == ["items are told apart by quantizer.commitment too"]


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="only 2 items in both tables"):
        of(table({"ste": 1.0, "mste": 2.0}), table(MEANS))
    with pytest.raises(ConfigError, match="mse: the toy's table has no values of it; it has nmse_db"):
        of(table(MEANS), table(MEANS), ("mse", "nmse_db"))
    with pytest.raises(ConfigError, match="--by colour: must be a setting in both tables, which are quantizer, gradient"):
        transfer(table(MEANS), table(MEANS), ("nmse_db", "nmse_db"), ["colour"])
    doubled = pd.concat([table(MEANS), table(MEANS)], ignore_index=True)
    with pytest.raises(ConfigError, match="several trials of ste vq with seed 0"):
        items(doubled, "nmse_db", BY, "it")


def test_one_seed_gives_no_intervals() -> None:
    found = of(table(MEANS, seeds=1), table(MEANS, seeds=1))
    assert found.kendall.mean == 1
    assert np.isnan(found.kendall.low)
    assert not found.separated
    assert "toy: one seed, so no intervals" in found.notes
    assert "none" in render_transfer(found)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy, real = tmp_path / "toy.csv", tmp_path / "real.csv"
    table(MEANS).to_csv(toy, index=False)
    table(MEANS | {"ste": -2.0, "mste": -1.0}, metric="mel_distance_db").to_csv(real, index=False)
    assert main(["transfer", str(toy), str(real), "--fail-below", "0.8"]) == 0
    assert "Kendall's tau" in capsys.readouterr().out
    assert main(["transfer", str(toy), str(real), "--fail-below", "0.9", "--format", "csv"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "item,toy nmse_db,real mel_distance_db,toy rank,real rank"
    assert main(["transfer", str(toy), str(real), "--metric", "mse"]) == 2
    assert "--metric mse" in capsys.readouterr().err


def test_the_picture_names_every_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    toy = tmp_path / "toy.csv"
    table(MEANS).to_csv(toy, index=False)
    command = ["transfer", str(toy), str(toy), "--metric", "nmse_db", "--plot"]
    assert main([*command, str(tmp_path / "plot.svg")]) == 0
    drawn = (tmp_path / "plot.svg").read_text()
    assert all(f"{name} vq" in drawn for name in MEANS)
    assert "toy: nmse_db (less is better)" in drawn
    assert main([*command, str(tmp_path / "again.svg")]) == 0
    assert drawn == (tmp_path / "again.svg").read_text()
    assert main([*command, str(tmp_path / "plot.gif")]) == 2
    assert ".svg, .png, .pdf" in capsys.readouterr().err

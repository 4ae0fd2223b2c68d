"""Pareto sets and Bjøntegaard's differences."""

import bjontegaard as reference_bd
import numpy as np
import pytest

from quantbench.results.rank_text import render_ranking
from quantbench.results.rate_distortion import bd_quality, bd_rate, bjontegaard, pareto, share
from tests.results.tables import framed, rankings, rate_trials, trial


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


def test_bd_of_a_constant_offset_is_that_offset():
    (found,) = bjontegaard(framed(rate_trials(6.02), over_rates=True), "vq ste")
    assert found.distortion.mean == pytest.approx(6.02)
    assert found.seeds == (3, 3, 3)
    # One bit more at every distortion, over the two of 2..8 bits that both reach; by hand from the logarithms' mean.
    assert 0 < found.rate.mean < 50


def test_bd_leaves_out_seeds_in_which_a_rate_failed_and_says_so():
    (found,) = bjontegaard(framed(rate_trials(1.0, failing=[("mste", 64, 1)]), over_rates=True), "vq ste")
    assert found.seeds == (2, 2, 3)
    assert found.why == "a rate failed (1)"


def test_pareto_set():
    found = framed(rate_trials(1.0, failing=[("ste", 256, 0), ("ste", 256, 1)]), over_rates=True)
    points = pareto(found)
    best = {(point.method, point.rate) for point in points if point.best}
    assert best == {("vq ste", 2.0), ("vq ste", 4.0), ("vq ste", 6.0), ("vq mste", 8.0)}
    assert found.rate == "rate in bits a frame"
    (failed,) = [point for point in points if point.failed]
    assert (failed.method, failed.rate, failed.trials, failed.failed) == ("vq ste", 8.0, 3, 2)


def entropy_coded(spent=lambda weight, seed: 2.0 - np.log2(weight) + 0.1 * seed):
    """An entropy-coded quantizer at four weights of the rate, better than vq by a bit at the same rate."""
    for weight in (0.125, 0.25, 0.5, 1.0):
        for seed in range(3):
            bits = spent(weight, seed)
            yield trial("ste", seed, -6.02 * (bits + 1) + 0.01 * seed, quantizer="entropy_scalar") | {
                "trial": f"e{weight}-{seed}",
                "rate_bits": None,
                "spent_bits": bits,
                "quantizer.rate_weight": weight,
            }


def over_rates(trials, rate=None):
    settings = ("quantizer.codes", "quantizer.rate_weight")
    return framed(trials, settings=settings, sizes=list(settings), over_rates=True, rate=rate)


def test_quantizers_without_a_nominal_rate_stand_at_the_bits_that_they_spend():
    trials = [row | {"quantizer.rate_weight": None} for row in rate_trials(0.0) if row["gradient"] == "ste"]
    found = over_rates([*trials, *({**row, "quantizer.codes": None} for row in entropy_coded())])
    points = [(point.method, round(point.rate, 2)) for point in pareto(found) if point.best]
    assert points == [("vq ste", 2), *(("entropy_scalar ste", one) for one in (2.1, 3.1, 4.1, 5.1)), ("vq ste", 8)]
    assert found.rate.endswith("(spent bits where there is no nominal rate)")
    (compared,) = bjontegaard(found, "vq ste")
    assert compared.distortion.mean == pytest.approx(-6.02, abs=0.1)  # interpolated over the logarithm
    assert compared.seeds == (3, 3, 3)


def test_nothing_quantized_is_in_the_pareto_set_at_no_rate():
    none = [trial("ste", 0, -99.0, quantizer="none") | {"rate_bits": None, "spent_bits": None, "quantizer.codes": None}]
    points = pareto(framed([*rate_trials(1.0), *none], over_rates=True))
    assert [(point.method, point.rate) for point in points if point.best][-1] == ("none ste", np.inf)


def test_a_rate_of_zero_leaves_its_seed_out_and_says_so():
    trials = list(rate_trials(1.0))
    next(row for row in trials if row["gradient"] == "mste" and row["seed"] == 2)["spent_bits"] = 0.0
    (found,) = bjontegaard(framed(trials, over_rates=True, rate="spent_bits"), "vq ste")
    assert found.seeds == (2, 2, 3)
    assert found.why == "a rate of 0, which has no logarithm (1)"


def test_the_interval_of_bd_is_students_of_the_rates_logarithm():
    trials = list(rate_trials(1.0))
    shifts = {0: 0.5, 1: -0.2, 2: 0.4}
    for row in trials:
        if row["gradient"] == "mste":
            row["nmse_db"] += shifts[row["seed"]]
    (found,) = bjontegaard(framed(trials, over_rates=True), "vq ste")
    values = np.array([1 + shift for shift in shifts.values()])
    half = 4.302652729 * values.std(ddof=1) / np.sqrt(3)
    assert tuple(found.distortion) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_curves_that_hardly_overlap_are_said_to():
    far = [
        row | {"quantizer.codes": 2 ** (5 + place), "rate_bits": 5.0 + place, "nmse_db": -6.02 * (5 + place) + row["seed"]}
        for row in rate_trials(0.0)
        if row["gradient"] == "mste"
        for place in [int(np.log2(row["quantizer.codes"])) // 2 * 2]
    ]
    trials = [row for row in rate_trials(0.0) if row["gradient"] == "ste"] + far
    (found,) = bjontegaard(framed(trials, over_rates=True), "vq ste")
    assert found.share[1] == pytest.approx(np.log2(8 / 7) / np.log2(13 / 2), abs=1e-6)
    assert "BD of vq mste is of a corner: the curves share 7 % of their range of rates" in render_ranking(
        rankings(trials), [], "rate", [found]
    )
    assert share(np.array([0.0, 1]), np.array([2.0, 3])) == 0


def test_where_more_is_better_the_signs_turn():
    trials = [row | {"si_sdr_db": -row["nmse_db"]} for row in rate_trials(1.0)]
    found = framed(trials, "si_sdr_db", over_rates=True)
    assert {point.method for point in pareto(found) if point.best} == {"vq ste"}
    (compared,) = bjontegaard(found, "vq ste")
    assert compared.distortion.mean == pytest.approx(-1.0)
    assert compared.rate.mean > 0


def test_what_failures_do_to_a_point_is_a_choice():
    trials = list(rate_trials(1.0, failing=[("ste", 256, 0)]))
    found = framed(trials, over_rates=True)
    worst, dropped = (
        {(point.method, point.rate): point.value for point in pareto(found, policy)} for policy in ("worst", "drop")
    )
    assert worst["vq ste", 8.0] == np.inf
    assert dropped["vq ste", 8.0] == pytest.approx(-6.02 * 8 + 0.015)
    assert all(point.failed == (point.method == "vq ste" and point.rate == 8) for point in pareto(found, "drop"))

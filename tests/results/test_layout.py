"""Methods, tasks and rates."""

import pytest

from quantbench.errors import ConfigError
from quantbench.results.layout import layout, operating_points, rate_settings, rates
from tests.results.tables import table, trial


def sweep(**columns):
    rows = [
        trial(name, seed, -1.0, codes=codes) | {"trial": f"{name}{codes}-{seed}"} | {k: v[codes] for k, v in columns.items()}
        for name in ("ste", "mste")
        for codes in (16, 64)
        for seed in (0, 1)
    ]
    return table(rows, ("simulator.bits", "quantizer.codes", *columns))


def test_sizes_make_no_method_and_rates_make_tasks():
    parts = layout(sweep())
    assert parts.names == ["vq ste", "vq mste"]
    assert sorted(set(parts.tasks)) == ["rate=4", "rate=6"]
    assert set(layout(sweep(), over_rates=True).tasks) == {""}


def test_the_rate_makes_tasks_even_where_each_method_has_its_own():
    rows = table([trial("ste", 0, -1.0, codes=16), trial("mste", 0, -1.0, codes=64)])
    assert list(layout(rows).tasks) == ["rate=4", "rate=6"]


def test_a_users_own_size_is_found_by_its_rate_or_told_by_its_class():
    own = sweep(**{"quantizer.cells": {16: 4, 64: 8}}).drop(columns="quantizer.codes")
    assert rate_settings(own, None) == ["quantizer.cells"]
    assert layout(own).names == ["vq ste", "vq mste"]
    unrated = own.assign(rate_bits=None)
    assert rate_settings(unrated, None) == []
    assert layout(unrated).names[0] == "vq ste cells=4"
    assert layout(unrated, ["quantizer.cells"]).names == ["vq ste", "vq mste"]
    assert list(operating_points(unrated, ["quantizer.cells"]).unique()) == ["cells=4", "cells=8"]


def test_sizes_that_give_one_rate_in_two_ways_are_two_methods():
    rows = [
        trial("ste", seed, -1.0, quantizer="rvq")
        | {"rate_bits": 16.0, "quantizer.stages": stages, "quantizer.stage.codes": codes}
        for stages, codes in ((4, 16), (2, 256))
        for seed in (0, 1)
    ]
    found = table(rows, ("simulator.bits", "quantizer.stages", "quantizer.stage.codes"))
    assert layout(found, ["quantizer.stages", "quantizer.stage.codes"]).names == [
        "rvq ste stages=4 codes=16",
        "rvq ste stages=2 codes=256",
    ]


def test_a_weight_that_changes_no_rate_is_part_of_the_method():
    rows = [
        trial("ste", seed, -1.0, codes=codes) | {"quantizer.commitment": weight, "trial": f"{codes}{weight}-{seed}"}
        for codes in (16, 64)
        for weight in (0.0, 1.0)
        for seed in (0, 1)
    ]
    assert layout(table(rows, ("quantizer.codes", "quantizer.commitment"))).names == [
        "vq ste commitment=0",
        "vq ste commitment=1",
    ]


def test_rates_of_frames_of_different_sizes_are_by_dimension():
    rows = table(trial(name, 0, -1.0, codes=codes) for name, codes in (("ste", 16), ("mste", 256)))
    rows["simulator.frame_dim"] = [2, 4]
    assert set(layout(rows).tasks) == {""}  # both have two bits a dimension


def test_close_settings_are_two():
    rows = [trial("ste", 0, -1.0) | {"train.lr": lr, "trial": str(lr)} for lr in (0.123451, 0.123452)]
    assert list(layout(table(rows, ("train.lr",))).tasks) == ["lr=0.123451", "lr=0.123452"]


def test_names_are_short_only_where_they_stay_distinct():
    def tasks(*rates):
        rows = [trial("ste", 0, -1.0) | {"train.lr": lr, "trial": str(place)} for place, lr in enumerate(rates)]
        return list(layout(table(rows, ("train.lr",))).tasks)

    assert tasks(0.1 + 0.2, 0.5) == ["lr=0.3", "lr=0.5"]
    assert tasks(0.1 + 0.2, 0.3) == ["lr=0.30000000000000004", "lr=0.3"]


def test_close_rates_are_two():
    rows = table(trial(f"{codes}", 0, -1.0, codes=codes) for codes in (1_000_000, 1_000_001))
    rows["simulator.frame_dim"] = 8
    assert len(set(layout(rows).tasks)) == 2
    assert set(layout(rows.assign(rate_bits=[2.0, 3.0 - 1e-15])).tasks) == {"rate=0.25", "rate=0.375"}


def test_no_rate_is_an_error_that_names_what_there_is():
    with pytest.raises(ConfigError, match="--rate coded_bits: no such column, or it is empty; there are rate_bits, spent_bits"):
        rates(sweep(), "coded_bits")

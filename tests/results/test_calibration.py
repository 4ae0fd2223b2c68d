"""What intervals, tests and marks promise, they hold on simulated results (scripts/calibration.py)."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("calibration", ROOT / "scripts" / "calibration.py")
calibration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(calibration)

FAR = 4.0
"""Standard errors of the simulation: with some seventy promises, one such miss in thirty runs is chance."""


def broken(rows):
    """Promises that the measured shares do not keep."""
    return [
        f"{row.question}, {row.case}, {row.seeds} seeds: {row.measured:.3f}, promised {row.promised}"
        for row in rows
        if row.promised and not _kept(row)
    ]


def _kept(row):
    sign, promise, _ = row.promised.split()
    bound = float(promise) / 100
    error = max(row.error, np.sqrt(bound * (1 - bound)) * row.error / max(np.sqrt(row.measured * (1 - row.measured)), 0.1))
    return row.measured <= bound + FAR * error if sign == "<=" else row.measured >= bound - FAR * error


@pytest.mark.parametrize("part", ["intervals", "tests", "correlations"])
def test_promises_are_kept(part):
    rows = list(getattr(calibration, part)(60 if part == "correlations" else 300, np.random.default_rng(1)))
    assert any(row.promised for row in rows)
    assert not broken(rows)


def test_marks_of_a_call_hold_together():
    rows = list(calibration.families(12, np.random.default_rng(2)))
    assert not broken(rows)


def test_a_promise_that_is_not_kept_is_noticed():
    """The percentile bootstrap of five normal values covers 84 %; ten lines of 5 % each mark something in 40 % of all calls."""
    narrow = calibration.row("interval of a mean", "normal", 5, ">= 94 %", [place % 100 < 84 for place in range(600)])
    loose = calibration.row("diff: any of ten lines", "normal", 5, "<= 5 %", [place % 100 < 40 for place in range(40)])
    assert len(broken([narrow, loose])) == 2


@pytest.mark.slow
def test_all_promises_are_kept():
    assert not broken(calibration.measure(2000, seed=3))


def test_the_page_shows_what_was_measured():
    rows = pd.read_csv(calibration.DATA, dtype={"seeds": str}, keep_default_na=False)
    page = calibration.PAGE.read_text()
    assert calibration.rendered(rows) in page
    assert len(rows) > 80
    assert not broken(rows.itertuples())

import numpy as np
import pandas as pd
import pytest

from quantbench.cli import main
from quantbench.results.audit_table import audit_summary
from quantbench.results.audit_verdict import cosines, verdict
from quantbench.results.plots.alignment import alignment
from quantbench.results.plots.data import Data
from quantbench.results.schema import AUDIT


def audit(levels, spread=0.01, seeds=4, moment="end"):
    """An audit of one pair: so large a cosine at each width, give or take, by turns, ``spread``."""
    rows = [
        {
            "quantizer": "vq",
            "gradient": "ste",
            "moment": moment,
            "seed": seed,
            "sigma": width,
            "cosine": level + spread * (-1) ** seed,
            "variance": width,
            "bias": 1.0,
            "findings": "",
        }
        for width, level in levels.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=AUDIT)


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ({0.1: 0.2, 0.5: 0.5, 2: 0.9}, "right at every width (0.20 to 0.90)"),
        ({0.1: -0.2, 0.5: -0.5}, "wrong at every width (-0.50 to -0.20)"),
        ({0.1: -0.2, 0.25: -0.1, 1: 0.5, 2: 0.9}, "wrong up to 0.25, right from 1 (-0.20 to 0.90)"),
        ({0.1: 0.2, 0.5: 0.0, 1: -0.5, 2: 0.4}, "right up to 0.1, unclear at 0.5, wrong at 1, right from 2 (-0.50 to 0.40)"),
        ({0.1: 0.2, 0.5: -0.3, 1: -0.5, 2: 0.4}, "right up to 0.1, wrong from 0.5 to 1, right from 2 (-0.50 to 0.40)"),
        ({0.5: 0.7}, "right at 0.5 (0.70)"),
        ({}, ""),
    ],
)
def test_a_verdict_names_the_widths_at_which_a_gradient_points_the_right_way(levels, words):
    assert verdict(cosines(audit(levels))) == words


def test_what_seeds_do_not_agree_on_is_unclear():
    assert verdict(cosines(audit({0.5: 0.2, 1: 0.2}, spread=0.3))) == "unclear at every width (0.20 to 0.20)"
    assert verdict(cosines(audit({0.5: 0.9}, seeds=1))) == "unclear at 0.5 (0.91)"


def test_a_summary_has_verdicts_or_the_numbers_they_are_made_of():
    table = pd.concat([audit({0.1: -0.2, 1: 0.9, 2: 0.5}, moment=moment) for moment in ("start", "end")])
    shown = audit_summary(table)
    assert shown.count("wrong up to 0.1, right from 1 (-0.20 to 0.90)") == 2
    assert "no ranking" in shown
    numbers = audit_summary(table, "csv", cosines=True).splitlines()
    assert len(numbers) == 3
    assert numbers[0].startswith("quantizer,gradient,moment,cosine at 0.1")
    cells = numbers[1].split(",")
    assert float(cells[3]) == pytest.approx(-0.2)
    assert float(cells[-2]) == 1  # variance at the middle width


@pytest.mark.parametrize("kind", ["alignment", "gradient"])
def test_an_audit_alone_can_be_drawn(tmp_path, kind):
    """Its pictures ask for no results of a run."""
    audit({0.1: -0.2, 1: 0.9}).to_csv(tmp_path / "audit.csv", index=False)
    assert main(["plot", str(tmp_path), "--kind", kind, "--output", str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").is_file()


def test_the_picture_shows_the_cosines_over_widths():
    found = alignment(Data(None, audit({0.1: -0.2, 1: 0.9})), None)
    ((series,),) = [panel.series for panel in found.panels]
    np.testing.assert_allclose(series.x, [0.1, 1])
    np.testing.assert_allclose(series.y, [-0.2, 0.9])
    assert (series.low < series.y).all()

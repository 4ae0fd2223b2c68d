"""scripts/pictures.py draws experiments as they are, and no other runs of their names."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.sweeps.compose import compose
from quantbench.sweeps.plan import plan

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
pictures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pictures)


def write_run(folder, *overrides):
    """The results of an experiment that was never trained."""
    rows = [
        {"trial": one.id, "experiment": "ste_stability", "status": "completed", "seed": one.config["seed"], **one.choices}
        | {"steps": one.config["train"]["steps"], "quantizer.commitment": one.config["quantizer"]["commitment"], "mse": 1.0}
        for one in plan(compose(["+experiment=ste_stability", *overrides])).trials
    ]
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    return folder


def test_the_experiment_itself_is_taken(tmp_path):
    pictures.check(write_run(tmp_path, "executor=inline"), "ste_stability")


@pytest.mark.parametrize(
    ("overrides", "differences"),
    [
        (["seed=0,1"], ["12 of its 36 trials are missing, and 0 others are there", "seed: 0, 1 in place of 0, 1, 2"]),
        (
            ["train.steps=50", "gradient=ste", "quantizer.commitment=0,1"],
            [
                "36 of its 36 trials are missing, and 6 others are there; steps: 50 in place of ",
                "gradient: ste in place of ste, mste",
                "quantizer.commitment: 0, 1 in place of 0, 1, 4, 0.1, 0.01, 0.25",
            ],
        ),
        (["train.lr=0.1"], ["a setting that is the same in all trials: see its sweep.yaml"]),
    ],
)
def test_any_other_run_is_refused_with_the_difference(tmp_path, overrides, differences):
    with pytest.raises(ConfigError, match="is not the experiment ste_stability as it is composed now") as error:
        pictures.check(write_run(tmp_path, *overrides), "ste_stability")
    assert [one for one in differences if one not in str(error.value)] == []

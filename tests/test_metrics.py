"""The table of metrics, and metrics of classes of one's own."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.metrics import LESS, METRICS, NUMBERED, OF_COMPONENTS, OTHER_COLUMNS, Metric, declared, known, numbered
from quantbench.results.schema import BY, COST, IDENTITY, LABELS, NOTES
from quantbench.results.schema import MEASURED as COLUMNS
from quantbench.results.tables import read_results
from tests.conftest import SMALL

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import glossary

CLASSES = '''
import torch
from quantbench.components import component
from quantbench.losses import MSE
from quantbench.metrics import LESS, MORE, Metric
from quantbench.quantizers import VectorQuantizer
from quantbench.simulators import Gaussian


@component
class Counting(VectorQuantizer):
    """Counts codes, and says something that it does not declare."""

    metrics = (Metric("first_codes", "frames that have the first code", better=LESS, whole=True),)
    name: str = "odd_share"

    def measure(self, state, indices, exact=False):
        first = (indices == 0).double().sum((1, 2))
        return {self.name: (indices % 2).double().mean((1, 2)), "first_codes": first}


@component
class Peaks(Gaussian):
    """Measures at every point of a curve."""

    metrics = (Metric("peak", "largest error of a feature", curve=True), Metric("slow", "a slow one", curve=True))

    def measures(self, output, target, thorough):
        found = {"peak": (output - target).abs().amax((1, 2)).double()}
        return found | ({"slow": found["peak"] * 2} if thorough else {})


@component
class Absolute(MSE):
    """Judges the whole evaluation set."""

    metrics = (Metric("mean_error", "mean absolute error", better=LESS),)

    def measures(self, output, target, sample_rate):
        assert sample_rate is None
        return {"mean_error": (output - target).abs().mean((1, 2)).double()}


@component
class Contrary(MSE):
    """Declares another's metric in words of its own."""

    metrics = (Metric("first_codes", "something else"),)
'''


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    choices = {"quantizer": ["Counting"], "simulator": ["Peaks"], "loss": ["Absolute", "Contrary"]}
    for group, classes in choices.items():
        (folder / group).mkdir(parents=True)
        for name in classes:
            (folder / group / f"{name.lower()}.yaml").write_text(f"# Mine.\n_target_: my_metrics.{name}\n")
    with (folder / "quantizer" / "counting.yaml").open("a") as file:
        file.write("name: odd_share\ncodes: 16\n")
    with (folder / "simulator" / "peaks.yaml").open("a") as file:
        file.write("frame_dim: 4\n")
    (folder / "my_metrics.py").write_text(CLASSES)
    yield folder
    sys.modules.pop("my_metrics", None)


RUN = ["executor=inline", *SMALL[:-1], "quantizer=counting", "simulator=peaks"]


def test_ones_own_metrics_reach_the_tables(quantbench, mine, tmp_path):
    code, _, err = quantbench("run", "--config-dir", str(mine), *RUN, "loss=absolute", "-m", "seed=0,1")
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    table = read_results(folder)
    own = ["peak", "slow", "odd_share", "first_codes", "mean_error"]
    assert list(table.columns) == [*IDENTITY, *COLUMNS, *own, *NOTES, *COST]
    assert table[own].notna().all().all()
    assert (table["slow"] == 2 * table["peak"]).all()
    assert (table["mean_error"] < table["mse"] ** 0.5).all()
    cells = pd.read_csv(folder / "results.csv", dtype=str)["first_codes"]
    assert cells.str.fullmatch("[0-9]+").all()  # whole, as declared
    curves = pd.read_csv(folder / "curves.csv")
    assert set(curves[curves["metric"] == "peak"]["step"]) == {0, 10, 20}
    assert not {"slow", "odd_share", "mean_error"} & set(curves["metric"])  # what takes long is measured once
    facts = json.loads((folder / "columns.json").read_text())
    assert facts["sizes"] == ["quantizer.codes"]
    assert [one["name"] for one in facts["metrics"]] == ["peak", "slow", "first_codes", "mean_error"]
    assert facts["metrics"][2] == {
        "name": "first_codes",
        "words": "frames that have the first code",
        "unit": "",
        "better": "less",
        "whole": True,
        "curve": False,
        "no_goal": "",
        "cost": False,
    }


def test_metrics_that_contradict_each_other_are_told_before_anything_trains(quantbench, mine, tmp_path):
    code, _, err = quantbench("run", "--config-dir", str(mine), *RUN, "loss=contrary")
    assert code == 2
    assert "Contrary.metrics: first_codes is a metric already, declared otherwise" in err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("name", ["seed", "seconds", "mse", "reference_mse", "mse_3", "quantizer.codes", "peak"])
def test_a_metric_that_takes_the_name_of_a_column_is_named(quantbench, mine, tmp_path, name):
    code, _, err = quantbench("run", "--config-dir", str(mine), *RUN, f"quantizer.name={name}")
    assert code == 1
    assert f"Counting measures '{name}'" in err
    assert "Traceback" not in err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    row = read_results(folder).iloc[0]
    assert row["seed"] == 0
    assert row["status"] == "failed"


def test_what_may_be_declared():
    def of(*metrics):
        return declared([type("Mine", (), {"metrics": metrics})])

    mine = Metric("mine", "a thing", better=LESS)
    assert of(mine, METRICS["pesq"]) == {"mine": mine}
    told = {"device": "with another meaning", "gap_db": "declared otherwise", "usage_12": "declared otherwise"}
    for name, reason in told.items():
        with pytest.raises(ConfigError, match=rf"Mine.metrics: {name}.*{reason}"):
            of(Metric(name, "a thing"))
    with pytest.raises(ConfigError, match="a metric's name is a word"):
        Metric("a.b", "a thing")
    with pytest.raises(ConfigError, match="'better' is no Metric"):
        of("better")


def test_numbered_families():
    third = known("mse_3")
    assert (third.name, third.better, third.unit) == ("mse_3", LESS, "")
    assert third.words.startswith("mse of the first 3 stages")
    assert known("mse") is METRICS["mse"]
    for name in ("mse_0", "mse_03", "mse_1000", "mse_N", "mse_", "mse_-1", "mse_1_2", "nmse_3", "mse_٣", "_3", "3", ""):
        assert known(name) is None, name
    names = ["usage_2", "mse_10", "mine_1", "mse_2", "usage_1", "mse"]
    assert list(numbered(names)) == ["mse_2", "mse_10", "usage_1", "usage_2"]


def test_numbered_columns_reach_readers(quantbench, tmp_path):
    words = ["quantizer=residual", "quantizer.stage.codes=4"]
    code, _, err = quantbench("run", "executor=inline", *SMALL, *words, "-m", "quantizer.stages=2,11", "seed=0,1")
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    table = read_results(folder)
    own = [*(f"mse_{i}" for i in range(1, 12)), *(f"usage_{i}" for i in range(1, 12))]
    assert list(table.columns) == [*IDENTITY, "quantizer.stages", *COLUMNS, *own, *NOTES, *COST]
    few = table[table["quantizer.stages"] == 2]
    assert few["mse_3"].isna().all()  # does not apply, so empty
    assert few["mse_2"].tolist() == few["mse"].tolist()
    for words in (["rank", "--metric", "mse_1"], ["diff", str(folder), "--metric", "usage_2"], ["watch", "--metric", "mse_2"]):
        code, out, err = quantbench(words[0], str(folder), *words[1:])
        assert code == 0, err
        assert words[-1] in out
    code, _, err = quantbench("rank", str(folder), "--metric", "mse_12")
    assert code == 2
    assert "--metric mse_12: no such metric" in err
    (folder / "results.csv").write_text((folder / "results.csv").read_text().replace(str(table["mse_1"].iloc[0]), "much"))
    code, _, err = quantbench("rank", str(folder))
    assert code == 2
    assert "column mse_1 holds 'much', which is no number" in err


def test_list_metrics(quantbench, mine):
    code, out, _ = quantbench("list", "metrics")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == [*METRICS, *NUMBERED]
    (mine / "loss" / "contrary.yaml").unlink()
    code, out, err = quantbench("list", "metrics", "--config-dir", str(mine), "--format", "json")
    assert code == 0, err
    rows = {row["metric"]: row for row in json.loads(out)}
    assert list(rows) == [*METRICS, *NUMBERED, "peak", "slow", "first_codes", "mean_error"]
    assert rows["first_codes"] == {
        "metric": "first_codes",
        "unit": "",
        "better": "less",
        "description": "frames that have the first code",
    }
    assert "and metrics" in quantbench("list", "nothing")[2]


def test_the_table_has_every_column():
    assert set(COLUMNS) <= set(METRICS)
    assert [*IDENTITY, *LABELS, *NOTES, *BY] == list(OTHER_COLUMNS)
    assert set(COST) - set(BY) <= set(METRICS)
    assert set(METRICS) >= OF_COMPONENTS


def test_the_glossary_is_up_to_date():
    assert glossary.PAGE.read_text() == glossary.page(), "run python scripts/glossary.py"


def test_the_table_is_read_at_once():
    code = "import sys, quantbench.metrics; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

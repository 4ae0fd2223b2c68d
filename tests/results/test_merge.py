"""Runs of unlike settings are told apart."""

import json

import pytest
import yaml

from quantbench.errors import ConfigError
from quantbench.results.facts import read_facts
from quantbench.results.load import load
from quantbench.results.merge import differing, read_configuration
from quantbench.results.tables import results_table, write
from tests.results.tables import trial


@pytest.fixture
def make_run(tmp_path):
    """A run's folder: results of two methods, and a sweep.yaml."""

    def make(name, steps=50, lr=0.001, offset=0.0, axes=None, settings=(), sweep=True, **columns):
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            trial(gradient, seed, value + offset + 0.1 * seed) | {"trial": f"{name}{gradient}-{seed}"} | columns
            for gradient, value in (("ste", -9.0), ("mste", -5.0))
            for seed in range(6)
        ]
        write(results_table(rows, ["quantizer.codes", *settings]), folder / "results.csv")
        combinations = [
            {
                "choices": {"quantizer": "vq", "gradient": gradient, "simulator": "gaussian"},
                "config": {
                    "simulator": {"_target_": "x.G", "bits": 6},
                    "quantizer": {"_target_": "x.VQ", "codes": "${two_to:${simulator.bits}}"},
                    "gradient": {"_target_": "x.STE"},
                    "train": {"steps": steps, "lr": lr},
                    "seed": 0,
                },
            }
            for gradient in ("ste", "mste")
        ]
        if sweep:
            content = {
                "quantbench": "0.1.0",
                "command": [],
                "combinations": combinations,
                "axes": {"seed": [0, 1]} | (axes or {}),
            }
            (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
        return folder

    return make


def test_a_setting_in_which_runs_differ_becomes_a_column(quantbench, make_run):
    """Fifty steps and four thousand are two tasks, whatever the tables themselves tell."""
    a, b = make_run("a", steps=50), make_run("b", steps=4000, offset=-20.0)
    found = load(a, b)
    assert found.results.groupby("run", observed=True)["train.steps"].unique().map(list).to_dict() == {"a": [50], "b": [4000]}
    assert "train.lr" not in found.results
    code, out, _ = quantbench("rank", str(a), str(b))
    assert code == 0
    assert "2 tasks (steps=50, steps=4000)" in out


def test_runs_alike_are_one(make_run):
    found = load(make_run("a"), make_run("b"))
    assert "train.steps" not in found.results
    assert not found.notes


def test_a_column_of_one_run_alone_is_filled_from_the_others_configuration(make_run):
    swept = make_run("a", axes={"train.lr": [0.1, 0.2]}, settings=["train.lr"], **{"train.lr": 0.1})
    found = load(swept, make_run("b", lr=0.2))
    assert set(found.results.loc[found.results["run"] == "b", "train.lr"]) == {0.2}


def test_an_axis_of_one_value_is_that_value(make_run):
    found = load(make_run("a", steps=50, axes={"train.steps": [70]}), make_run("b", steps=60))
    assert set(found.results["train.steps"]) == {70, 60}


def test_what_nothing_tells_is_said(make_run):
    swept = make_run("a", axes={"train.lr": [0.1, 0.2]}, settings=["train.lr"], **{"train.lr": 0.1})
    bare = make_run("b", sweep=False)
    assert load(swept, bare).notes == ["train.lr: no column of b, and no sweep.yaml beside it tells the value there"]


def test_values_that_stand_for_others_are_resolved(make_run):
    found = read_configuration(make_run("a") / "sweep.yaml")
    assert found["quantizer"]["vq"]["quantizer.codes"] == 64
    other = read_configuration(make_run("b", axes={"simulator.bits": [8]}) / "sweep.yaml")
    assert differing([found, other]) == {"simulator.bits": [6, 8], "quantizer.codes": [64, 256]}


def test_a_component_within_a_component_is_told_by_its_class(tmp_path):
    stage = {"_target_": "quantbench.quantizers.Product", "part": {"_target_": "mine.Own", "codes": 4}, "groups": 2}
    config = {"quantizer": {"_target_": "quantbench.quantizers.Residual", "stage": stage}}
    content = {"combinations": [{"choices": {"quantizer": "residual"}, "config": config}], "axes": {}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    assert read_configuration(tmp_path / "sweep.yaml")["quantizer"]["residual"] == {
        "quantizer._target_": "quantbench.quantizers.Residual",
        "quantizer.stage": "Product",
        "quantizer.stage.part": "mine.Own",  # a short name could be two classes
        "quantizer.stage.part.codes": 4,
        "quantizer.stage.groups": 2,
    }


def test_a_strangers_sweep_reads_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    config = {"train": {"steps": "${oc.env:SECRET}"}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({"combinations": [{"choices": {}, "config": config}], "axes": {}}))
    assert "hunter2" not in str(read_configuration(tmp_path / "sweep.yaml"))


@pytest.mark.parametrize("content", ["", "[]", "combinations: 3", "axes: {}\ncombinations: [{choices: 1, config: 2}]", "{{"])
def test_a_file_that_is_no_sweep_is_one_message(tmp_path, content):
    (tmp_path / "sweep.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"cannot be read as a sweep"):
        read_configuration(tmp_path / "sweep.yaml")


def test_a_bomb_of_aliases_does_not_go_off(tmp_path):
    levels = ["a0: &a0 {x: 1, y: 2}"]
    levels += [f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}" for i in range(1, 9)]
    (tmp_path / "sweep.yaml").write_text(
        "axes: {}\ncombinations:\n- choices: {}\n  config:\n    train:\n" + "\n".join(f"      {line}" for line in levels)
    )
    with pytest.raises(ConfigError, match=r"holds more settings than a sweep has|cannot be read as a sweep"):
        read_configuration(tmp_path / "sweep.yaml")


def test_what_classes_say_of_columns_is_read(tmp_path):
    path = tmp_path / "columns.json"
    assert read_facts(path).sizes is None
    metric = {"name": "charm", "words": "how charming it is", "better": "more", "of_a_later_version": 1}
    path.write_text(json.dumps({"sizes": ["quantizer.cells"], "metrics": [metric]}))
    found = read_facts(path)
    assert found.sizes == ["quantizer.cells"]
    assert found.metrics["charm"].sign == -1


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"sizes": []}',
        '{"sizes": [], "metrics": [{"name": "a b", "words": ""}]}',
        '{"sizes": [], "metrics": [{"name": 3}]}',
    ],
)
def test_a_file_that_tells_of_no_columns_is_one_message(tmp_path, content):
    (tmp_path / "columns.json").write_text(content)
    with pytest.raises(ConfigError, match=r"cannot be read as the columns of a run|a metric's name"):
        read_facts(tmp_path / "columns.json")


def test_a_file_may_not_turn_a_metric_of_the_project_round(tmp_path):
    metric = {"name": "nmse_db", "words": "", "better": "more"}
    (tmp_path / "columns.json").write_text(json.dumps({"sizes": [], "metrics": [metric]}))
    with pytest.raises(ConfigError, match="declares nmse_db, which is a column of QuantBench's"):
        read_facts(tmp_path / "columns.json")


@pytest.mark.parametrize("name", ["status", "quantizer", "trial", "run", "device", "steps_by"])
def test_a_metric_has_no_name_of_another_column(tmp_path, name):
    (tmp_path / "columns.json").write_text(json.dumps({"sizes": [], "metrics": [{"name": name, "words": ""}]}))
    with pytest.raises(ConfigError, match=f"declares {name}, which is a column"):
        read_facts(tmp_path / "columns.json")


def only(folder, gradient):
    """The run with the trials of one method alone."""
    path = folder / "results.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line for line in lines[1:] if f",{gradient}," in line)]) + "\n")
    return folder


def test_a_setting_in_which_runs_differ_is_told_even_where_it_follows_from_the_method(quantbench, make_run):
    """One run has the one method, the other the other: their numbers of steps must not pass for alike."""
    a, b = only(make_run("a", steps=100), "ste"), only(make_run("b", steps=10_000, offset=-20.0), "mste")
    code, out, _ = quantbench("rank", str(a), str(b))
    assert code == 0
    assert "unmatched: vq ste has no trial in steps=10000" in out
    assert "groups:" not in out


def test_the_same_data_elsewhere_is_the_same_and_other_data_is_not(make_run):
    def on(name, where, what):
        folder = make_run(name)
        path = folder / "sweep.yaml"
        content = yaml.safe_load(path.read_text()) | {"data": {where: what}}
        for one in content["combinations"]:
            one["config"]["simulator"]["folder"] = where
        path.write_text(yaml.safe_dump(content))
        return folder

    a, b, c = on("a", "/x/speech", "11aa"), on("b", "/y/speech", "11aa"), on("c", "/x/speech", "22bb")
    assert "simulator.folder" not in load(a, b).results
    assert set(load(a, c).results["simulator.folder"]) == {"11aa", "22bb"}


def test_constants_that_a_run_varies_by_combination_are_not_taken_for_one_value(make_run):
    folder = make_run("a")
    path = folder / "sweep.yaml"
    content = yaml.safe_load(path.read_text())
    content["combinations"][1]["config"]["train"]["lr"] = 0.5
    path.write_text(yaml.safe_dump(content))
    both = [read_configuration(one / "sweep.yaml") for one in (folder, make_run("b", lr=0.001))]
    assert differing(both) == {}  # neither the first value nor the last is the run's

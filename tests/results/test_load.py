import io
import json
import math
import subprocess
import sys

import pandas as pd
import pytest

import quantbench as package
from quantbench.errors import ConfigError
from quantbench.points import Points
from quantbench.results.cells import read_csv
from quantbench.results.layout import layout, rates
from quantbench.results.palette import COLOURS, styles
from quantbench.results.tables import curves_table, results_table, write


def row(gradient, seed, **others):
    return {
        "trial": f"{gradient}-{seed}",
        "experiment": "test",
        "status": "completed",
        "seed": seed,
        "simulator": "codeword",
        "codec": "mlp",
        "quantizer": "vq",
        "gradient": gradient,
        "quantizer.commitment": 0.25,
        "nmse_db": -1.0,
        "dead_codes": 3,
        "rate_bits": 6.0,
    } | others


@pytest.fixture
def run(tmp_path):
    def save(name, rows, settings=("quantizer.commitment",)):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write(results_table(rows, list(settings)), folder / "results.csv")
        points = Points((step, "mse", 1.0 / (1 + step)) for step in (0, 10))
        write(curves_table([(one["trial"], points) for one in rows]), folder / "curves.csv")
        (folder / "environment.json").write_text(json.dumps({"python": "3.11"}))
        return folder

    return save


def test_types_do_not_depend_on_what_a_table_holds(run):
    found = package.load(run("a", [row("ste", 0), row("mste", 1, dead_codes=None, nmse_db=None)]))
    types = {name: str(kind) for name, kind in found.results.dtypes.items()}
    assert (types["seed"], types["dead_codes"], types["nmse_db"], types["perplexity"]) == (
        "Int64",
        "Int64",
        "float64",
        "float64",
    )
    assert (types["gradient"], types["status"], types["run"]) == ("category",) * 3
    assert {name: str(kind) for name, kind in found.curves.dtypes.items()}["value"] == "float64"
    assert found.environments == {"a": {"python": "3.11"}}
    assert not found.notes


def test_several_runs(run):
    a, b = run("x/a", [row("ste", 0), row("ste", 1)]), run("x/b", [row("ste", 1, nmse_db=-7.0), row("mste", 0)])
    found = package.load(a, b / "results.csv")
    assert list(found.results["run"]) == ["a", "b", "b"]
    assert list(found.results["nmse_db"]) == [-1, -7, -1]
    assert found.notes == ["1 trials are there more than once; the last one counts"]
    assert found.curves.groupby("trial")["run"].nunique().max() == 1
    assert len(found.curves) == 6


def test_runs_of_one_name_are_told_apart(run):
    found = package.load(run("x/a", [row("ste", 0)]), run("y/a", [row("mste", 0)]))
    assert list(found.results["run"]) == ["x/a", "y/a"]


def test_a_setting_that_one_run_has_no_column_for(run):
    found = package.load(run("a", [row("ste", 0)]), run("b", [row("mste", 0)], settings=[]))
    assert found.notes == ["quantizer.commitment: no column of b, and no sweep.yaml beside it tells the value there"]
    assert pd.isna(found.results["quantizer.commitment"][1])


def test_a_run_without_curves(run):
    folder = run("a", [row("ste", 0)])
    (folder / "curves.csv").unlink()
    found = package.load(folder)
    assert list(found.curves.columns) == ["trial", "step", "metric", "value", "run"]
    assert not len(found.curves)


@pytest.mark.parametrize(
    ("content", "message"),
    [("trial,step\n", "no column metric, value"), ("trial,step,metric,value\na,0,mse,high\n", "column value holds 'high'")],
)
def test_curves_that_are_none(run, content, message):
    folder = run("a", [row("ste", 0)])
    (folder / "curves.csv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        package.load(folder)


def test_nothing_to_load():
    with pytest.raises(ConfigError, match="no results given"):
        package.load()


def test_patterns_and_lists(run, tmp_path, quantbench, monkeypatch):
    monkeypatch.chdir(tmp_path)
    b, a = (
        run(f"outputs/two/{name}", [row(gradient, 0), row(gradient, 1)]) for name, gradient in (("b", "ste"), ("a", "mste"))
    )
    run("outputs/alone", [row("noise", 0), row("noise", 1)])
    (tmp_path / "outputs" / "audit").mkdir()
    assert list(dict.fromkeys(package.load("outputs/*").results["run"])) == ["alone", "a", "b"]
    for many in (["outputs/two/*"], ["outputs/two/*/results.csv"], ["outputs/two/[ab]"], [[a, str(b)]], ["outputs/**/[ab]"]):
        assert list(dict.fromkeys(package.load(*many).results["run"])) == ["a", "b"]
    for none in ("outputs/three*", "outputs/two/a/*"):
        with pytest.raises(ConfigError, match=r"no run that this matches as a pattern"):
            package.load(none)
    assert quantbench("rank", "outputs/two/*", "--format", "csv") == quantbench("rank", str(a), str(b), "--format", "csv")
    both = package.load(a), package.load(b)
    assert str(package.rank(list(both))) == str(package.rank(*both)) == str(package.rank("outputs/two/*"))
    with pytest.raises(ConfigError, match="not of a folder"):
        package.rank([both[0], package.Results(both[1].results)])


def test_a_name_with_brackets_that_is_there_is_no_pattern(run):
    run("run1", [row("ste", 0)])
    assert list(package.load(run("run[1]", [row("mste", 0)])).results["gradient"]) == ["mste"]


def test_names_may_be_separated_by_commas(run):
    found = package.load(run("a", [row(name, seed) for name in ("ste", "mste") for seed in (0, 1)]))
    assert str(package.rank(found, by="quantizer, gradient")) == str(package.rank(found, by=["quantizer", "gradient"]))
    assert str(package.diff(found, found, "nmse_db,dead_codes", "gradient")) == str(
        package.diff(found, found, ["nmse_db", "dead_codes"], ["gradient"])
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"failures": "x"}, "failures='x': must be one of worst, drop, whole-seed"),
        ({"over": "x"}, "over='x': must be one of seeds, tasks"),
        ({"table": "x"}, "table='x': must be one of ranking, pareto, bd"),
        ({"by": 3}, "by=3: must be a list of names"),
        ({"within": [3]}, r"within=\[3\]: must be a list of names"),
    ],
)
def test_options_that_rank_does_not_have(run, options, message):
    with pytest.raises(ConfigError, match=message):
        package.rank(run("a", [row("ste", 0), row("mste", 0)]), **options)


@pytest.mark.parametrize(
    ("options", "message"), [({"failures": "x"}, "drop, whole-seed"), ({"metric": ("mse",)}, "one metric")]
)
def test_options_that_transfer_does_not_have(run, options, message):
    with pytest.raises(ConfigError, match=message):
        package.transfer(*[run("a", [row("ste", 0), row("mste", 0)])] * 2, **options)


def test_the_package_is_imported_without_pandas_or_torch():
    code = "import sys, quantbench; print('pandas' in sys.modules); quantbench.load; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]


def test_settings_that_follow_from_the_method_make_no_task():
    rows = [row(name, seed, **{"codec.latent_dim": dim}) for name, dim in (("ste", 8), ("mste", 3)) for seed in (0, 1)]
    parts = layout(results_table(rows, ["quantizer.commitment", "codec.latent_dim"]))
    assert parts.within == []
    rows += [row("ste", seed, trial=f"x{seed}", **{"codec.latent_dim": 3}) for seed in (0, 1)]
    parts = layout(results_table(rows, ["quantizer.commitment", "codec.latent_dim"]))
    assert parts.within == ["codec.latent_dim"]


def test_names_say_what_tells_methods_apart_and_no_more():
    rows = [row("ste", 0, **{"quantizer.commitment": weight}) for weight in (0, 1)] + [row("mste", 0)]
    assert layout(results_table(rows, ["quantizer.commitment"])).names == [
        "vq ste commitment=0",
        "vq ste commitment=1",
        "vq mste",
    ]


def test_rates():
    table = results_table([row("ste", 0)], ["quantizer.commitment"])
    assert rates(table)[1] == "rate in bits a frame"
    table["simulator.frame_dim"] = 3
    found, label = rates(table)
    assert (label, list(found)) == ("rate in bits a dimension", [2.0])
    with pytest.raises(ConfigError, match="--rate coded_bits: no such column, or it is empty; there are rate_bits"):
        rates(table, "coded_bits")


def test_a_method_has_the_same_colour_in_every_picture():
    few, many = styles(["vq ste", "vq mste"]), styles(["vq noise", "vq mste", "fsq rotation", "vq ste"])
    assert few["vq ste"] == many["vq ste"]
    assert few["vq mste"] == many["vq mste"]
    assert few["vq ste"].colour != few["vq mste"].colour


def test_no_two_methods_of_a_picture_look_the_same():
    names = [f"vq strange_{i}" for i in range(20)] + [f"vq ste commitment={i}" for i in range(8)]
    found = styles(names)
    assert len(set(found.values())) == len(names)
    assert found == styles(names[::-1])
    assert {found[name].colour for name in names[:20]} == set(COLOURS)  # those that differ in a number have shades of one


def test_choices_are_text_whatever_they_look_like(run):
    names = ["007", "1e3", "null", "2.50"]
    found = package.load(run("a", [row(name, 0, quantizer="2", experiment="007") for name in names]))
    assert list(found.results["gradient"].astype(str)) == names
    assert set(found.results["quantizer"]) == {"2"}
    assert set(found.results["experiment"]) == {"007"}
    ranked = package.rank(found, by="gradient").table
    assert sorted(ranked["method"]) == sorted(names)


def test_numbers_are_read_to_the_last_digit():
    """As printed by Python, which is exact; pandas before 3.1 has to be asked."""
    numbers = [math.pi * 10**power / 7 for power in range(-30, 30)]
    text = "number\n" + "\n".join(map(repr, numbers))
    assert read_csv(io.StringIO(text))["number"].tolist() == numbers

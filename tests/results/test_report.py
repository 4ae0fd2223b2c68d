import json
import re
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from quantbench.cli import main
from quantbench.errors import ConfigError
from quantbench.results.load import load
from quantbench.results.report import report
from quantbench.results.report.curves import BAND_STEPS, gather, thin
from quantbench.results.report.payload import embedded, make_report
from tests.results.report_runs import HOSTILE, write_run

ONE = np.zeros(1, np.int64)


def made(folder, **options):
    return make_report(load(folder), [folder], **options)


def said(found):
    return "\n".join(one.text for one in found.findings)


class Elements(HTMLParser):
    """Names of elements, and the data blocks of scripts."""

    def __init__(self, text):
        super().__init__()
        self.names, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.names and self.names[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def one_curve(values):
    steps = range(len(values))
    return pd.DataFrame({"trial": "a", "step": steps, "metric": "mse", "value": values})


def test_a_thinned_curve_keeps_its_ends_and_extremes():
    values = np.random.default_rng(0).normal(size=10_000)
    values[[1234, 8765]] = 100, -100
    kept = thin(values, 50)
    assert len(kept) <= 50
    assert {0, 1234, 8765, 9_999} <= set(kept.tolist())
    assert np.array_equal(thin(values[:50], 50), np.arange(50))


@pytest.mark.parametrize("most", [4, 5, 20])
def test_thinning_never_keeps_more_than_asked(most):
    assert len(thin(np.random.default_rng(1).normal(size=1000), most)) <= most


def test_thinning_is_said_and_bands_keep_all_values():
    values = np.ones(1000)
    values[777] = 50
    found = gather(one_curve(values), pd.Series(["a"]), ONE, ONE, points=100)
    assert len(found.lines["mse"]["values"][0]) <= 100
    assert max(found.lines["mse"]["values"][0]) == 50
    assert any("1 of 1 curves are thinned" in note for note in found.notes)
    band = found.bands["mse"]
    assert len(band["high"][0]) == BAND_STEPS
    assert (max(band["high"][0]), max(band["middle"][0]), min(band["low"][0])) == (50, 1, 1)
    assert not gather(one_curve(values), pd.Series(["a"]), ONE, ONE).notes


def test_bands_are_the_median_and_range_over_the_trials_of_a_method_and_task():
    curves = pd.concat(
        [one_curve([value, 2 * value]).assign(trial=name) for name, value in zip("abcd", (1.0, 2, 4, 30), strict=True)]
    )
    found = gather(curves, pd.Series(list("abcd")), np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0])).bands["mse"]
    bands = {(method, task): i for i, (method, task) in enumerate(zip(found["method"], found["task"], strict=True))}
    assert set(bands) == {(0, 0), (0, 1), (1, 0), (0, -1), (1, -1)}
    assert [found[name][bands[0, 0]] for name in ("low", "middle", "high")] == [[1, 2], [1.5, 3], [2, 4]]
    assert [found[name][bands[0, -1]] for name in ("low", "middle", "high")] == [[1, 2], [2, 4], [4, 8]]


def test_points_that_cannot_be_drawn_are_counted():
    curves = pd.concat([one_curve([1.0, np.inf, np.nan]), one_curve([5.0]).assign(trial="unknown")])
    found = gather(curves, pd.Series(["a"]), ONE, ONE)
    assert found.lines["mse"]["values"] == [[1]]
    assert found.notes == [
        "1 points of curves belong to no trial of the results and are left out",
        "2 points of curves are not finite and are not drawn",
    ]


def test_growth_is_over_the_first_value():
    curves = one_curve([0.5, 1.0, 4.0]).assign(metric="encoder_std")
    assert gather(curves, pd.Series(["a"]), ONE, ONE).lines["encoder_growth"]["values"] == [[1, 2, 8]]


def test_findings_name_the_best_and_by_how_much(tmp_path):
    text = said(made(write_run(tmp_path / "run")))
    assert "30 trials: 3 methods, 2 tasks, 5 seeds." in text
    found = re.search(
        r"The next, vq mste, is (\S+) \[(\S+), (\S+)\] dB worse over 10 pairs of task and seed: a significant", text
    )
    mean, low, high = map(float, found.groups())
    assert low < mean < high
    assert mean == pytest.approx(1, abs=0.1)
    assert "Best by nmse_db (lower is better): vq ste, -9." in text
    assert "All pairs of methods differ significantly." in text
    assert "No trial diverged or failed." in text
    assert "closest vq ste with 3 dB (3 to 3), farthest vq noise with 5 dB" in text


def test_a_metric_of_which_more_is_better(tmp_path):
    folder = write_run(tmp_path / "run")
    table = pd.read_csv(folder / "results.csv")
    table["usage"] = -table["nmse_db"]
    table.to_csv(folder / "results.csv", index=False)
    text = said(made(folder, metric="usage"))
    assert "Best by usage (higher is better): vq ste, 9." in text
    mean, low, high = map(float, re.search(r"The next, vq mste, is (\S+) \[(\S+), (\S+)\] worse", text).groups())
    assert 0.9 < low < mean < high < 1.1


def test_methods_that_do_not_differ_are_named(tmp_path):
    folder = write_run(tmp_path / "run")
    table = pd.read_csv(folder / "results.csv")
    noise = np.random.default_rng(2).normal(size=len(table))
    table["nmse_db"] = np.where(table["gradient"] == "noise", 0, -10) + noise
    table.to_csv(folder / "results.csv", index=False)
    text = said(made(folder))
    assert re.search("Not significantly different from one another: vq m?ste and vq m?ste\\.", text)
    assert re.search("The next, vq m?ste, is .*: not significant", text)


def test_failures_are_counted_by_method_with_their_reason(tmp_path):
    found = made(write_run(tmp_path / "run", broken=[("ste", 6, 0), ("ste", 6, 1), ("noise", 8, 2)]))
    warnings = [one.text for one in found.findings if one.kind == "warning"]
    assert "3 of 30 trials diverged: vq ste (2 of 10) and vq noise (1 of 10)." in warnings
    assert "Reason of 3 trials: the loss is not finite" in said(found)


def test_growth_without_an_end_in_sight_is_a_warning(tmp_path):
    warnings = [one.text for one in made(write_run(tmp_path / "run")).findings if one.kind == "warning"]
    assert warnings == [
        "The encoder's output grew 10 times or more, with no end in sight, with vq ste (in 10 of 10 trials, 1024 times in the "
        "median). (No end in sight: by a quarter or more in the second half of the training.)"
    ]


def test_growth_that_ended_is_none(tmp_path):
    folder = write_run(tmp_path / "run", gradients=("mste", "noise"))
    curves = pd.read_csv(folder / "curves.csv")
    curves.loc[(curves["metric"] == "encoder_std") & (curves["step"] > 300), "value"] = 50
    curves.to_csv(folder / "curves.csv", index=False)
    assert "No encoder's output grew 10 times or more and was still growing" in said(made(folder))


def test_a_single_seed_gets_a_note_and_no_interval(tmp_path):
    found = made(write_run(tmp_path / "run", seeds=[0], bits=[6]))
    assert "a single seed: no intervals" in found.notes
    assert "whether that is more than chance cannot be told from so few pairs" in said(found)
    assert not re.search(r"Best by[^.]*\[", said(found))


def test_without_a_common_task_none_is_called_best(tmp_path):
    folder = write_run(tmp_path / "run")
    table = pd.read_csv(folder / "results.csv")
    table = table[~((table["gradient"] == "ste") & (table["simulator.bits"] == 6))]
    table[~((table["gradient"] == "mste") & (table["simulator.bits"] == 8))].to_csv(folder / "results.csv", index=False)
    text = said(made(folder))
    assert "so no method is best overall. Of 2 tasks with two methods or more, the best mean nmse_db has: vq" in text
    assert {"vq ste in 1", "vq mste in 1"} == set(re.search("nmse_db has: ([^.]*)[.]", text)[1].split(", "))
    assert "Best by" not in text


def test_a_run_in_which_everything_failed_still_has_a_report(tmp_path):
    broken = [(gradient, 6, seed) for gradient in ("ste", "mste") for seed in range(2)]
    folder = write_run(tmp_path / "run", gradients=("ste", "mste"), bits=[6], seeds=range(2), broken=broken)
    report([folder], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "4 of 4 trials diverged" in page
    assert "No completed trial has a metric to rank by." in page


def test_several_runs_are_one_report(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", gradients=("rotation",), bits=[7])]
    found = make_report(load(*runs), runs)
    assert [run["name"] for run in found.data["runs"]] == ["a", "b"]
    assert len(found.data["method"]) == 35


def test_very_many_methods_are_ranked_in_part_and_that_is_said(tmp_path):
    found = made(write_run(tmp_path / "run", gradients=[f"g{i}" for i in range(45)], seeds=range(2), bits=[6], curves=False))
    assert len(found.ranking.standings) == 40
    assert "of 45 methods the 40 with the best means are ranked and tested" in found.notes
    assert found.ranking.standings[0].method == "vq g0"
    assert len(found.data["methods"]) == 45


def test_embedded_data_are_inert_and_unchanged():
    data = {"name": HOSTILE, HOSTILE: [1, None]}
    text = embedded(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_the_page_has_only_its_own_elements(tmp_path):
    plain = write_run(tmp_path / "run", gradients=("a", "mste"))
    report([plain], tmp_path / "plain.html")
    table = (plain / "results.csv").read_text().replace(",a,", ',"' + HOSTILE + '",').replace(",test,", ',"' + HOSTILE + '",')
    (plain / "results.csv").write_text(table)
    report([plain], tmp_path / "hostile.html")
    pages = [(tmp_path / name).read_text() for name in ("plain.html", "hostile.html")]
    elements = [Elements(page) for page in pages]
    assert elements[0].names == elements[1].names
    assert [len(one.scripts) for one in elements] == [3, 3]
    data = next(text for attributes, text in elements[1].scripts if attributes.get("id") == "data")
    assert f"vq {HOSTILE}" in [method["name"] for method in json.loads(data)["methods"]]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', pages[1])[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_colours_are_those_of_every_picture(tmp_path):
    from quantbench.results.palette import styles

    methods = made(write_run(tmp_path / "run")).data["methods"]
    expected = styles([method["name"] for method in methods])
    assert {method["name"]: method["colour"] for method in methods} == {name: style.colour for name, style in expected.items()}


def test_by_and_within_make_methods_and_tasks(tmp_path):
    data = made(write_run(tmp_path / "run"), by=["simulator.bits"], within=["gradient"]).data
    assert [method["name"] for method in data["methods"]] == ["bits=6", "bits=8"]
    assert len(data["tasks"]) == 3


def test_errors(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    pd.read_csv(old / "results.csv").drop(columns=["status", "seed"]).to_csv(old / "results.csv", index=False)
    none = tmp_path / "none"
    shutil.copytree(folder, none)
    pd.read_csv(none / "results.csv").head(0).to_csv(none / "results.csv", index=False)
    here = ["--output", str(tmp_path / "r.html")]
    for words, expected in [
        ([tmp_path / "empty", *here], "results.csv: no such file"),
        ([old, *here], "it has no column status, seed"),
        ([none, *here], "hold no trial"),
        ([folder, "--metric", "nmse", *here], "--metric nmse: no such metric; there are mse, nmse_db, usage, gap_db, seconds"),
        ([folder, "--by", "lr", *here], "--by lr: no such setting; there are"),
        ([folder, "--output", tmp_path / "no" / "r.html"], f"there is no folder {tmp_path / 'no'}"),
        ([folder, "--output", tmp_path], "is a folder; name a file in it"),
        ([folder, "--output", tmp_path / "r.csv"], "must end in .html"),
    ]:
        assert main(["report", *map(str, words)]) == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigError, match=re.escape("install it with pip install 'quantbench[report]'")):
        report([folder], tmp_path / "r.html")


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert main(["report", str(folder), "--output", str(tmp_path / "r.html")]) == 0
    assert re.fullmatch(rf"{re.escape(str(tmp_path / 'r.html'))}: 30 trials, \d\.\d MB\n", capsys.readouterr().out)

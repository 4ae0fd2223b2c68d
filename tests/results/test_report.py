import json
import re
import shutil
import sys
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from quantbench.cli import main
from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from quantbench.results.frame import frame
from quantbench.results.load import Results, load
from quantbench.results.plots.data import Data
from quantbench.results.plots.draw import KINDS
from quantbench.results.plots.steps import MOST_STEPS, curves, growth, thin
from quantbench.results.rank import rank
from quantbench.results.report import report
from quantbench.results.report.embed import embedded, shown_p
from quantbench.results.report.lines import trial_lines
from quantbench.results.report.pairs import MOST_LINES
from quantbench.results.report.payload import make_report
from quantbench.results.statistics import mean_interval
from tests.results.report_runs import HOSTILE, write_run


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


def one_curve(values, trial="a"):
    return pd.DataFrame({"trial": trial, "step": range(len(values)), "metric": "mse", "value": values})


def data_of(points, gradients=None, bits=None):
    """Points of curves with a trial each that they name; trials have the gradients and the source given."""
    trials = [name for name in dict.fromkeys(points["trial"]) if name != "unknown"]
    rows = {"trial": trials, "status": "completed", "seed": range(len(trials)), "simulator": "codeword", "quantizer": "vq"}
    table = pd.DataFrame(rows | {"gradient": gradients or "ste", "simulator.bits": bits or 6, "mse": 1.0})
    return Data(Results(table, points))


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


def test_thinning_is_said_and_means_keep_their_extremes():
    values = np.ones(1000)
    values[777] = 50
    given = data_of(one_curve(values))
    found = trial_lines(given.points[0], 100)
    assert len(found.lines["mse"]["values"][0]) <= 100
    assert max(found.lines["mse"]["values"][0]) == 50
    assert any("1 of 1 curves are thinned" in note for note in found.notes)
    (mean,) = curves(given, None).panels[0].series
    assert (len(mean.y) <= MOST_STEPS, mean.y.max(), mean.y.min()) == (True, 50, 1)
    assert not trial_lines(given.points[0]).notes


def test_curves_are_means_over_the_seeds_of_a_method_in_a_task():
    points = pd.concat([one_curve([value, 2 * value], name) for name, value in zip("abcd", (1.0, 2, 4, 30), strict=True)])
    found = curves(data_of(points, ["ste", "ste", "ste", "mste"], [6, 6, 8, 6]), None)
    drawn = {(panel.title, one.method): one for panel in found.panels for one in panel.series}
    assert set(drawn) == {("bits=6", "vq ste"), ("bits=8", "vq ste"), ("bits=6", "vq mste")}
    own = drawn["bits=6", "vq ste"]
    ends = [mean_interval(np.array(values)) for values in ([1.0, 2], [2.0, 4])]
    assert [own.y.tolist(), own.low.tolist(), own.high.tolist()] == [list(one) for one in zip(*ends, strict=True)]
    assert own.seeds == [2, 2]


def test_points_that_cannot_be_drawn_are_counted():
    given = data_of(pd.concat([one_curve([1.0, np.inf, np.nan]), one_curve([5.0], "unknown")]))
    points, notes = given.points
    assert trial_lines(points).lines["mse"]["values"] == [[1]]
    assert notes == [
        "1 points of curves belong to no trial of the results and are left out",
        "2 points of curves are not finite and are not drawn",
    ]


def test_growth_is_over_the_first_value():
    given = data_of(one_curve([0.5, 1.0, 4.0]).assign(metric="encoder_std"))
    assert trial_lines(given.points[0]).lines["encoder_growth"]["values"] == [[1, 2, 8]]
    (mean,) = growth(given, None).panels[0].series
    assert mean.y.tolist() == pytest.approx([1, 2, 8])


def test_a_page_has_what_paper_has(tmp_path):
    """Every number of a picture, its words and its methods."""
    folder = write_run(tmp_path / "run", broken=[("ste", 6, 0)])
    data, given = made(folder).data, Data(load(folder))
    searched = {"tuning", "profile", "sensitivity"}
    assert {name for name in searched if data["pictures"].pop(name)} == set()
    assert set(data["pictures"]) == {"usage", "curves", "growth", "rate_distortion", "heatmap", "critical_difference"}
    for kind, metric in (("usage", "nmse_db"), ("curves", "mse"), ("growth", "encoder_growth"), ("rate_distortion", "nmse_db")):
        paper, page = KINDS[kind](given, metric), data["pictures"][kind][metric]
        assert (page["title"], page["words"], page["y"]["title"]) == (paper.title, paper.caption, paper.y.title)
        assert [panel["title"] for panel in page["panels"]] == [panel.title for panel in paper.panels]
        for drawn, panel in zip(page["panels"], paper.panels, strict=True):
            expected = [one for one in panel.series if one.look.role == "mean"]
            means = next(group for group in drawn["series"] if group["look"]["role"] == "mean")
            assert [data["methods"][place]["name"] for place in means["method"]] == [one.method for one in expected]
            for name in ("y", "low", "high", "seeds"):
                found = [np.array(one, float) for one in means[name]]
                for own, one in zip(found, expected, strict=True):
                    assert own == pytest.approx(np.array(getattr(one, name), float), rel=1e-4, nan_ok=True)


def test_findings_name_the_best_and_by_how_much(tmp_path):
    text = said(made(write_run(tmp_path / "run", seeds=range(8))))
    assert "48 trials: 3 methods, 2 tasks, 8 seeds." in text
    expected = (
        r"vq mste, is (\S+) \[(\S+), (\S+)\] dB worse over 8 paired seeds, each the mean over tasks \(Student's [^)]*\): a sig"
    )
    found = re.search(expected, text)
    mean, low, high = map(float, found.groups())
    assert low < mean < high
    assert mean == pytest.approx(1, abs=0.1)
    assert "Best by nmse_db (lower is better): vq ste, -9." in text
    assert "All pairs of methods differ significantly." in text
    assert "No trial diverged or failed." in text
    assert "Closest to the limit: vq ste, whose rate is 1 bits (1 to 1) above the least that its distortion needs" in text
    assert "farthest vq noise with 3 bits (3 to 3)." in text
    assert " dB (3 to 3)" not in text  # the gap, a diagnosis


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
    folder = write_run(tmp_path / "run", seeds=range(8))
    table = pd.read_csv(folder / "results.csv")
    noise = np.random.default_rng(2).normal(size=len(table))
    table["nmse_db"] = np.where(table["gradient"] == "noise", 0, -10) + noise
    table.to_csv(folder / "results.csv", index=False)
    text = said(made(folder))
    assert re.search("Not significantly different from one another: vq m?ste and vq m?ste\\.", text)
    assert re.search("The next, vq m?ste, is .*: not significant", text)


def test_failures_are_counted_by_method_with_their_reason(tmp_path):
    broken = [("ste", 6, 0), ("ste", 6, 1), ("noise", 8, 2)]
    found = made(write_run(tmp_path / "run", broken=broken, failed=[("noise", 6, 4)]))
    warnings = [one.text for one in found.findings if one.kind == "warning"]
    assert "3 of 30 trials diverged: vq ste (2 of 10) and vq noise (1 of 10)." in warnings
    assert "1 of 30 trials failed: vq noise (1 of 10)." in warnings
    assert "Reason of 3 trials that diverged: the loss is not finite" in said(found)
    assert "Reason of 1 trial that failed: out of memory" in said(found)
    counts = {one.method: (one.diverged, one.failed) for one in found.rankings[0].standings}
    assert counts == {"vq ste": (2, 0), "vq mste": (0, 0), "vq noise": (1, 1)}


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
    assert "cannot be told from 1 seed, at least 7 are needed for 3 methods" in said(found)
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


def test_of_very_many_methods_the_best_are_compared_and_that_is_said(tmp_path):
    gradients = [f"g{place}" for place in range(300)]
    found = made(write_run(tmp_path / "run", gradients=gradients, seeds=range(2), bits=[6], curves=False))
    compare = found.data["compare"]
    assert len(found.rankings[0].standings) == len(found.data["methods"]) == 300
    assert list(compare["metrics"]) == ["nmse_db"]
    count = len(compare["methods"])
    assert compare["note"].startswith(f"Of 300 methods the first {count} of the ranking are compared, and by nmse_db alone")
    assert count * (count - 1) // 2 == len(compare["metrics"]["nmse_db"]["lines"]["pairs"]) <= MOST_LINES
    assert [found.data["methods"][place]["place"] for place in compare["methods"]] == list(range(count))


@pytest.mark.parametrize("failures", [(), [("ste", 6, 0), ("noise", 8, 2)]])
def test_means_are_those_of_the_frame(tmp_path, failures):
    folder = write_run(tmp_path / "run", broken=failures)
    data, runs = made(folder).data, load(folder)
    for metric, shown in data["pictures"]["usage"].items():
        expected = frame(runs, metric).means()
        found = {
            (data["methods"][method]["name"], panel["title"]): (*ends[0], *ends[1], *ends[2], *ends[3])
            for panel in shown["panels"]
            for group in panel["series"]
            if group["look"]["role"] == "mean"
            for method, *ends in zip(*(group[name] for name in ("method", "x", "low", "high", "seeds")), strict=True)
        }
        assert found.keys() == expected.keys()
        for key, (estimate, seeds) in expected.items():
            assert found[key] == pytest.approx((*estimate, seeds), rel=1e-6)
    assert sum(seeds for _, seeds in frame(runs, "nmse_db").means().values()) == 30 - len(failures)


def test_points_over_the_rate_are_means_of_seeds(tmp_path):
    folder = write_run(tmp_path / "run", broken=[("ste", 6, 0)])
    data, table = made(folder).data, load(folder).results
    rates = data["pictures"]["rate_distortion"]
    assert sorted(rates) == ["nmse_db"]
    places = 0
    for panel in rates["nmse_db"]["panels"]:
        group = next(group for group in panel["series"] if group["look"]["role"] == "mean")
        for place, method in enumerate(group["method"]):
            gradient = data["methods"][method]["name"].removeprefix("vq ")
            bits = float(panel["title"].removeprefix("bits="))
            own = table[(table["gradient"] == gradient) & (table["simulator.bits"] == bits) & (table["status"] == "completed")]
            expected = mean_interval(own["nmse_db"].to_numpy(float))
            found = [group[name][place] for name in ("y", "low", "high")]
            assert [one for (one,) in found] == pytest.approx(list(expected), rel=1e-6)
            assert (group["x"][place], group["seeds"][place]) == ([pytest.approx(own["spent_bits"].mean())], [len(own)])
            assert group["rows"][place][0] in own.index
            places += 1
    assert places == 6


def with_values(folder, values, by="gradient"):
    """A run whose nmse_db is that of ``values`` (by method, one a seed, in the order of the rows)."""
    table = pd.read_csv(folder / "results.csv")
    for name, own in values.items():
        table.loc[table[by] == name, "nmse_db"] = own
    table.to_csv(folder / "results.csv", index=False)
    return folder


def test_the_verdict_of_two_methods_is_that_of_the_ranking(tmp_path):
    """Five seeds of one task: by Student's interval all would differ, but five pairs can show nothing by the ranking's test."""
    found = made(write_run(tmp_path / "run", bits=[6]))
    (listed,) = found.data["rankings"]["nmse_db"]
    lines = found.data["compare"]["metrics"]["nmse_db"]["lines"]
    assert all(low > 0 for low in lines["low"])
    assert (listed["separable"], listed["verdicts"], listed["p"]) == (False, "", [])
    assert (listed["blocks"], listed["needed"]) == (5, 7)
    assert "cannot be told from 5 seeds, at least 7 are needed" in said(found)
    assert "a significant difference" not in said(found)


def test_verdicts_of_every_metric_are_those_of_its_ranking(tmp_path):
    folder = write_run(tmp_path / "run", seeds=range(8), broken=[("noise", 6, 0)])
    data, runs = made(folder).data, load(folder)
    assert set(data["rankings"]) == {"nmse_db", "mse", "excess_bits", "usage", "seconds"}  # not the gap, for it is no goal
    for metric, (listed,) in data["rankings"].items():
        (expected,) = rank(frame(runs, metric, goal=True))
        names = [data["methods"][place]["name"] for place in listed["tested"]]
        assert names == [one.method for one in expected.standings]
        pairs = list(combinations(range(3), 2))
        assert [one == "=" for one in listed["verdicts"]] == [not expected.significant(*pair) for pair in pairs]
        assert listed["p"] == pytest.approx([expected.p_values[pair] for pair in pairs], rel=0.05)


def test_a_test_that_speaks_for_the_one_behind_is_no_verdict_for_the_one_ahead(tmp_path):
    """By the mean over tasks the first is ahead, for it wins one task by far; it loses all seeds of the other one."""
    few, many = write_run(tmp_path / "few", ["a", "b"], [6], range(3)), write_run(tmp_path / "many", ["a", "b"], [8], range(24))
    spread = 0.001 * np.arange(24)
    runs = [with_values(few, {"a": -60, "b": -10 + spread[:3]}), with_values(many, {"a": -10, "b": -10.1 - spread})]
    found = make_report(load(*runs), runs)
    (listed,) = found.data["rankings"]["nmse_db"]
    assert [found.data["methods"][place]["name"] for place in listed["methods"]] == ["vq a", "vq b"]
    assert (listed["verdicts"], listed["p"][0] < 0.05) == ("x", True)
    assert "but the ranks that are tested speak for vq b" in said(found)


def test_methods_of_two_rates_are_in_two_lists_and_get_no_verdict(tmp_path):
    runs = [
        write_run(tmp_path / "low", ["ste", "mste"], [6], range(8)),
        write_run(tmp_path / "high", ["noise", "nsvq"], [8], range(8)),
    ]
    found = made_of(runs, within=["rate"])
    lists = found.data["rankings"]["nmse_db"]
    names = [[found.data["methods"][place]["name"] for place in one["methods"]] for one in lists]
    assert ([one["words"] for one in lists], names) == (
        ["a rate of 6", "a rate of 8"],
        [["vq ste", "vq mste"], ["vq noise", "vq nsvq"]],
    )
    lines = found.data["compare"]["metrics"]["nmse_db"]["lines"]
    assert len(lines["first"]) == 2  # a pair a list
    assert "At a rate of 6: Best by nmse_db (lower is better): vq ste" in said(found)
    assert "At a rate of 8: Best by nmse_db (lower is better): vq noise" in said(found)
    report(runs, tmp_path / "r.html", within=["rate"])
    page = (tmp_path / "r.html").read_text()
    assert "<h4>At a rate of 6</h4>" in page
    assert "<h4>At a rate of 8</h4>" in page


def made_of(runs, **options):
    return make_report(load(*runs), runs, **options)


def test_p_values_are_never_rounded_over_the_bound():
    assert [shown_p(value) for value in (0.019531, 0.04999, 0.0500001, 1.0)] == [0.02, 0.04999, 0.05, 1]


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
    from quantbench.results.shades import on_dark

    methods = made(write_run(tmp_path / "run")).data["methods"]
    expected = styles([method["name"] for method in methods])
    assert {method["name"]: method["colour"] for method in methods} == {name: style.colour for name, style in expected.items()}
    assert all(method["dark"] == on_dark(method["colour"]) for method in methods)


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
        (
            [folder, "--metric", "nmse", *here],
            "--metric nmse: no such metric; there are mse, nmse_db, usage, excess_bits, seconds",
        ),
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
    with pytest.raises(ConfigError, match=re.escape(f"install it with {how_to_install('report')}")):
        report([folder], tmp_path / "r.html")


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    assert main(["report", str(folder), "--output", str(tmp_path / "r.html")]) == 0
    assert re.fullmatch(rf"{re.escape(str(tmp_path / 'r.html'))}: 30 trials, \d\.\d MB\n", capsys.readouterr().out)

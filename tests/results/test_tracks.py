"""Tracks of a search, and its pictures, against loops over its rows."""

import numpy as np
import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.results.chosen import _words, chosen
from quantbench.results.load import Results, metrics_of
from quantbench.results.plots.data import Data
from quantbench.results.plots.draw import KINDS
from quantbench.results.rank import rank
from quantbench.results.reading import rank as rank_read
from quantbench.results.report.payload import make_report
from quantbench.results.statistics import best_of
from quantbench.results.tables import results_table
from quantbench.results.tracks import losses, of_search, of_track
from tests.results.tables import table, trial

TUNED = ["train.lr", "quantizer.commitment"]
LEVEL = {"ste": 0.0, "mste": 1.0, "diveq": 2.5}


def rows(diverged=(), seeds=(0, 1)):
    """Three methods in four tasks: 6 settings in 3 studies, each study's second one chosen, and two settings moved."""
    generator = np.random.default_rng(1)
    for bits in (2, 4, 6, 8):
        for gradient, level in LEVEL.items():
            for phase, track, study, setting, moved, seed, lr in planned(seeds):
                name = f"{bits}-{gradient}-{phase}-{track}-{study}-{setting}-{moved}-{seed}-{lr}"
                bad = (gradient, bits, phase, study, seed) in diverged
                value = -bits + level * (bits / 2) + generator.normal() / 10 + 3 * bool(moved) * lr
                yield trial(gradient, seed, None if bad else value, bits, 64, "diverged" if bad else "completed") | {
                    "trial": name,
                    "phase": phase,
                    "track": track,
                    "study": study,
                    "setting": setting,
                    "moved": moved,
                    "train.lr": lr,
                    "quantizer.commitment": float(setting),
                }


def planned(seeds):
    for setting in range(1, 7):
        yield "search", "tuned", (setting + 1) // 2, setting, "", 10**6 + (setting + 1) // 2, 0.01 * setting
    for seed in seeds:
        yield "score", "default", 0, 0, "", seed, 0.5
        for study in (1, 2, 3):
            yield "score", "tuned", study, 2 * study, "", seed, 0.02 * study
    for moved in TUNED:
        for lr in (0.3, 0.6, 0.9):
            yield "sensitivity", "tuned", 0, 4, moved, 0, lr


def results(**options):
    found = results_table(list(rows(**options)), ["simulator.bits", "quantizer.codes", *TUNED])
    return Results(found, metrics=metrics_of(found, {}), tuned=TUNED, sizes=["quantizer.codes"])


def test_the_default_track_has_its_rows_and_no_searched_setting():
    found = of_track(results(), "default").results
    assert len(found) == 4 * 3 * 2
    assert not {*TUNED, "track", "setting"} & {*found}


def test_a_value_of_the_tuned_track_is_the_median_over_studies():
    whole = results()
    found = of_track(whole).results
    score = whole.results.query("phase == 'score' and track == 'tuned'")
    expected = score.groupby(["gradient", "simulator.bits", "seed"])["nmse_db"].median()
    assert found.set_index(["gradient", "simulator.bits", "seed"])["nmse_db"].to_dict() == pytest.approx(expected.to_dict())
    assert len(found) == len(expected)


def test_half_of_the_studies_that_diverged_make_a_value_infinitely_bad():
    one = of_track(results(diverged={("ste", 2, "score", 1, 0)})).results.query("gradient == 'ste' and seed == 0")
    assert (one["status"] == "completed").all()
    whole = results(diverged={("ste", 2, "score", 1, 0)}).results
    studies = whole.query(
        "phase == 'score' and track == 'tuned' and gradient == 'ste' and seed == 0 and `simulator.bits` == 2"
    )["nmse_db"]
    assert one.set_index("simulator.bits").loc[2, "nmse_db"] == max(studies.dropna())  # of (a, b, infinity)
    two = of_track(results(diverged={("ste", 2, "score", study, 0) for study in (1, 2)})).results
    bad = two[two["status"] != "completed"]
    assert bad[["gradient", "simulator.bits", "seed", "status"]].to_numpy().tolist() == [["ste", 2, 0, "diverged"]]
    assert bad["nmse_db"].isna().all()


def test_results_of_other_runs_are_left_as_they_are():
    other = Results(table([trial("ste", 0, 1.0)]))
    assert of_track(other) is other
    with pytest.raises(ConfigError, match="have no tracks"):
        of_track(other, "tuned")
    with pytest.raises(ConfigError, match="have no search"):
        of_search(other)


def test_a_track_is_ranked_as_any_run_is():
    view = of_track(results())
    (found,) = rank(Data(view).frame(None, goal=True), "tasks")
    assert [one.method for one in found.standings] == ["vq ste", "vq mste", "vq diveq"]
    assert len(found.tasks) == 4


def test_where_tasks_are_too_few_the_default_is_over_seeds():
    few = rank_read(results()).found.rankings[0]
    assert (few.over, few.separable) == ("tasks", False)  # seeds are too few, too
    read = rank_read(results(seeds=range(8)))
    (found,) = read.found.rankings
    assert (found.over, found.separable, found.blocks) == ("seeds", True, 8)
    assert "4 tasks cannot tell 3 methods apart (7 could): intervals and letters are over seeds" in " ".join(str(read).split())
    assert rank_read(results(seeds=range(8)), over="tasks").found.rankings[0].over == "tasks"


def test_what_was_chosen_is_counted_over_studies_and_tasks():
    whole = results()
    table = chosen(whole).set_index(["method", "setting"])
    assert {*table.index} == {(f"vq {name}", setting) for name in LEVEL for setting in TUNED}
    assert (table["studies"] == 4 * 3).all()
    row = table.loc["vq ste"].loc["quantizer.commitment"]
    assert row["chosen"] == "2: 4, 4: 4, 6: 4"  # each study's second setting, in four tasks
    assert row["tried"] == ", ".join(f"{value}: 4" for value in range(1, 7))
    assert list(rank_read(whole, chosen=True).found.chosen.columns) == ["method", "setting", "studies", "chosen", "tried"]
    assert "What the studies chose" in str(rank_read(whole, chosen=True))
    with pytest.raises(ConfigError, match="--chosen: these results have no search"):
        chosen(Results(whole.results.drop(columns=["phase"])))


def test_of_many_values_there_are_the_median_and_the_range():
    assert _words(pd.Series([0.0, 0.01, 0.1, 0.03, 0.0]), False) == "0.03 [0.01, 0.1], 0: 2"
    assert _words(pd.Series(["ema", "gradient", "ema"]), True) == "ema: 2, gradient: 1"


def drawn(kind):
    whole = results(diverged={("diveq", 8, "search", 1, 10**6 + 1)})
    return whole.results, KINDS[kind](Data(of_track(whole), whole=whole), None)


def test_a_tuning_curve_is_of_all_settings_of_the_search():
    whole, picture = drawn("tuning")
    assert [panel.title for panel in picture.panels] == ["bits=2", "bits=4", "bits=6", "bits=8"]
    for (task, method), part in picture.table.groupby(["task", "method"]):
        mine = whole.query("phase == 'search'")
        mine = mine[(mine["gradient"] == method.split()[1]) & (mine["simulator.bits"] == int(task.removeprefix("bits=")))]
        curve = best_of(mine["nmse_db"].fillna(np.inf).to_numpy(float), 6)
        for name, expected in (("median", curve.middle), ("low", curve.low), ("high", curve.high)):
            assert part[name].tolist() == expected.tolist()


def test_a_profile_is_the_share_of_tasks_within_so_much_of_the_best():
    whole, picture = drawn("profile")
    score = whole.query("phase == 'score' and track == 'tuned'")
    values = score.groupby(["gradient", "simulator.bits", "seed"])["nmse_db"].median()
    means = values.groupby(["gradient", "simulator.bits"]).mean().unstack()
    behind = means - means.min()
    for _, row in picture.table.iterrows():
        own = behind.loc[row["method"].split()[1]]
        assert row["share of tasks"] == (own <= row["behind"] + 1e-12).mean()
    assert picture.table.groupby("method")["share of tasks"].max().to_dict() == {
        "vq diveq": 1.0,
        "vq mste": 1.0,
        "vq ste": 1.0,
    }


def test_sensitivity_is_the_loss_at_the_worst_quartile():
    whole, picture = drawn("sensitivity")
    expected = {}
    for gradient in LEVEL:
        for bits in (2, 4, 6, 8):
            mine = whole[(whole["gradient"] == gradient) & (whole["simulator.bits"] == bits) & (whole["seed"] == 0)]
            centre = mine[(mine["phase"] == "score") & (mine["setting"] == 4)]["nmse_db"].item()
            for moved in TUNED:
                at = mine[(mine["phase"] == "sensitivity") & (mine["moved"] == moved)]
                expected.setdefault((gradient, moved), []).append(at.groupby(moved)["nmse_db"].mean().max() - centre)
    found, _ = losses(Data(None, whole=results(diverged={("diveq", 8, "search", 1, 10**6 + 1)})).whole_runs())
    mine = {key: part["loss"].tolist() for key, part in found.groupby([found["method"].str.split().str[1], "moved"])}
    assert {key: pytest.approx(value) for key, value in expected.items()} == mine
    lines = picture.table.set_index(["method", "setting"])["loss"]
    assert lines["vq ste", "train.lr"] == pytest.approx(np.mean(expected["ste", "train.lr"]))


def test_a_setting_whose_trial_diverged_loses_without_end():
    whole = results(diverged={("ste", 2, "sensitivity", 0, 0)})
    found, _ = losses(whole)
    lost = found[found["loss"] == np.inf]
    assert lost[["method", "task"]].drop_duplicates().to_numpy().tolist() == [["vq ste", "bits=2"]]


def test_pictures_of_other_runs_say_what_is_missing():
    other = Results(table([trial("ste", seed, 1.0) for seed in range(2)]))
    for kind in ("tuning", "sensitivity"):
        with pytest.raises(ConfigError, match="quantbench tune"):
            KINDS[kind](Data(other), None)


def test_a_page_has_the_pictures_of_a_search_and_speaks_of_tasks():
    whole = results()
    made = make_report(of_track(whole), [], whole=whole)
    assert all(list(made.data["pictures"][kind]) == ["nmse_db"] for kind in ("tuning", "profile", "sensitivity"))
    assert {one.over for one in made.rankings} == {"tasks"}

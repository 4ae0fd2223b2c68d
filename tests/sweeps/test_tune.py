"""`quantbench tune`: the search, the choices and their scores."""

import json
import math
import shutil

import pandas as pd
import pytest

import quantbench as qb
from quantbench.cli import main
from quantbench.errors import ConfigError
from quantbench.results.load import load
from quantbench.results.reading import rank
from quantbench.results.schema import COST, LABELS
from quantbench.results.tables import read_results
from quantbench.sweeps.compose import compose
from quantbench.sweeps.priors import prior
from quantbench.sweeps.search import Design, SearchSettings, design, score_trials, search_trials, sobol
from quantbench.sweeps.tune import asked, choices_of

TINY = ["train.steps=5", "train.batch=16", "train.log_every=5", "codec.hidden=8", "quantizer.codes=8", "references=false"]
WORDS = [*TINY, "executor=inline", "gradient=ste,diveq", "simulator.bits=2,3", "seed=range(0,2)", "budget=4", "studies=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished search of two methods in two tasks."""
    output = tmp_path_factory.mktemp("outputs")
    assert main(["tune", *WORDS, "--output", str(output), "--name", "one"]) == 0
    return output / "default" / "one"


@pytest.fixture(scope="module")
def table(folder):
    return read_results(folder)


def test_every_phase_has_its_trials_and_seeds(table):
    counts = table.groupby(["track", "phase"]).size().to_dict()
    assert counts.pop(("tuned", "sensitivity")) > 0
    assert counts == {("tuned", "search"): 2 * 2 * 4, ("tuned", "score"): 2 * 2 * 2 * 2, ("default", "score"): 2 * 2 * 2}
    search, test = table[table["phase"] == "search"], table[table["phase"] != "search"]
    assert {*search["seed"]} == {1_000_000, 1_000_001}
    assert {*test["seed"]} == {0, 1}
    assert search.groupby("study")["seed"].nunique().tolist() == [1, 1]
    assert search.groupby("study")["setting"].unique().map(list).to_dict() == {1: [1, 2], 2: [3, 4]}


def test_a_method_has_the_same_settings_in_all_tasks_and_another_one_others(table):
    search = table[table["phase"] == "search"]
    rates = search.pivot(index="setting", columns=["gradient", "simulator.bits"], values="train.lr")
    assert rates["ste", 2].equals(rates["ste", 3].rename(rates["ste", 2].name))
    assert not {*rates["ste", 2]} & {*rates["diveq", 2]}


def test_settings_are_points_of_sobols_sequence_through_the_priors(table):
    priors = {
        "train.lr": prior({"log_uniform": [3e-4, 1e-2]}, ""),
        "quantizer.commitment": prior({"log_uniform": [0.02, 2], "zero": 0.2}, ""),
        "quantizer.update_by": prior({"choice": ["gradient", "ema"]}, ""),
        "quantizer.restart": prior({"choice": [0, 0.01, 0.1]}, ""),
        "quantizer.init_by": prior({"choice": ["data", "kmeans"]}, ""),
    }
    mine = sobol("vq/ste", priors, 4)
    rows = table[(table["phase"] == "search") & (table["gradient"] == "ste") & (table["simulator.bits"] == 2)]
    for name in priors:
        assert rows.sort_values("setting")[name].tolist() == [one[name] for one in mine]


def test_few_points_of_a_sequence_fill_the_space_evenly():
    points = [one["x"] for one in sobol("any", {"x": prior({"uniform": [0, 1]}, "")}, 32)]
    assert sorted(int(32 * point) for point in points) == list(range(32))
    assert sobol("any", {"x": prior({"uniform": [0, 1]}, "")}, 8) == [{"x": point} for point in points[:8]]


def test_each_study_scores_the_setting_with_the_least_validation_score(table):
    names = ["gradient", "simulator.bits", "study"]
    search, score = table[table["phase"] == "search"], table[(table["phase"] == "score") & (table["track"] == "tuned")]
    best = search.loc[search.groupby(names)["nmse_db"].idxmin()].set_index(names)["setting"]
    assert score.groupby(names)["setting"].unique().map(list).to_dict() == best.map(lambda one: [one]).to_dict()


def test_the_sensitivity_moves_one_setting_from_the_best_of_all(table):
    names = ["gradient", "simulator.bits"]
    search, moved = table[table["phase"] == "search"], table[table["phase"] == "sensitivity"]
    best = search.loc[search.groupby(names)["nmse_db"].idxmin()].set_index(names)
    settings = [name for name in table if "." in name and name != "simulator.bits"]
    for _, row in moved.iterrows():
        centre = best.loc[(row["gradient"], row["simulator.bits"])]
        assert row["setting"] == centre["setting"]
        unlike = [name for name in settings if row[name] != centre[name] and not (pd.isna(row[name]) and pd.isna(centre[name]))]
        assert unlike == [row["moved"]]


def test_the_default_track_has_what_the_authors_recommend(table):
    default = table[table["track"] == "default"].groupby("gradient")[
        ["quantizer.commitment", "quantizer.restart_by", "train.lr"]
    ]
    assert default.first().loc["ste"].tolist() == [0.25, "usage", 1e-3]
    assert default.first().loc["diveq"].tolist() == [0, "weighted_hits", 1e-3]


def test_a_score_is_what_the_settings_give_by_themselves(table, quantbench, tmp_path):
    row = table[(table["phase"] == "score") & (table["track"] == "tuned") & (table["gradient"] == "ste")].iloc[-1]
    names = [name for name in table if "." in name and not pd.isna(row[name])]
    words = [f"{name}={row[name]}" for name in names]
    code, _, err = quantbench("run", *TINY, "executor=inline", "gradient=ste", f"seed={row['seed']}", *words)
    assert code == 0, err
    alone = read_results(next((tmp_path / "outputs").rglob("results.csv"))).iloc[0]
    assert (alone["trial"], alone["nmse_db"]) == (row["trial"], row["nmse_db"])


def test_a_search_that_stopped_goes_on(folder, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    shutil.rmtree(again / "score")
    (again / "results.csv").unlink()
    assert main(["resume", str(again)]) == 0
    pd.testing.assert_frame_equal(read_results(again).drop(columns=COST), read_results(folder).drop(columns=COST))
    before = (again / "results.csv").read_bytes()
    assert main(["resume", str(again)]) == 0
    assert (again / "results.csv").read_bytes() == before


def test_python_tunes_and_goes_on(folder, table, tmp_path, monkeypatch):
    """``tune`` and ``resume`` of the Python face do what the commands do."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="dry_run=true: nothing was trained"):
        qb.tune([*WORDS, "dry_run=true"])
    found = qb.tune(WORDS)
    names = [name for name in table if name not in COST]
    pd.testing.assert_frame_equal(found.results[names], load(folder, curves=False).results[names])
    assert list(qb.rank(found, chosen=True).found.chosen["method"].unique()) == ["vq ste", "vq diveq"]
    (place,) = (tmp_path / "outputs" / "default").iterdir()
    shutil.rmtree(place / "score")
    again = qb.resume(place)
    pd.testing.assert_frame_equal(again.results[names], found.results[names])


def test_two_searches_are_compared(folder, quantbench):
    code, _, err = quantbench("transfer", str(folder), str(folder), "--track", "tuned", "--by", "gradient")
    assert code == 2
    assert "--by: is for a toy and a real codec" in err
    code, _, err = quantbench("transfer", str(folder), str(folder))
    assert code == 2  # two methods have no order
    assert "2 methods are in both, at least 3 are needed" in err
    with pytest.raises(ConfigError, match="results of `quantbench tune` are compared by"):
        qb.transfer(folder, folder)


def test_another_protocol_is_refused(folder, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    design = json.loads((again / "design.json").read_text())
    (again / "design.json").write_text(json.dumps(design | {"protocol": 0}))
    assert main(["resume", str(again)]) == 2
    columns = json.loads((again / "columns.json").read_text())
    (again / "columns.json").write_text(json.dumps(columns | {"protocol": 0}))
    with pytest.raises(ConfigError, match="versions 0 and 1 of the protocol"):
        load(folder, again)


def test_the_tuned_track_ranks_medians_over_studies(folder, table):
    found = rank(folder, track="tuned")
    score = table[(table["phase"] == "score") & (table["track"] == "tuned")]
    medians = score.groupby(["gradient", "simulator.bits", "seed"])["nmse_db"].median()
    means = medians.groupby(["gradient", "simulator.bits"]).mean().groupby("gradient").mean()
    (ranking,) = found.found.rankings
    assert {one.method: pytest.approx(one.center.mean) for one in ranking.standings} == {
        f"vq {name}": value for name, value in means.items()
    }
    assert ranking.over == "tasks"
    assert len(ranking.tasks) == 2
    assert not {*LABELS, "train.lr"} & {*found.table.columns}


def test_a_dry_run_counts_and_estimates(quantbench):
    code, out, _ = quantbench("tune", *WORDS, "--dry-run")
    assert code == 0
    assert "search: 4 methods in tasks, 4 settings each in 2 studies: 16 trainings" in out
    assert "24 trainings" in out
    assert "estimate for 1 at a time, nothing else running" in out
    assert "at least 5 test seeds" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budget=5", "studies=2"], "must be a multiple of studies=2"),
        (["budget=none"], "must be an integer"),
        (["score=steps"], "score=steps"),
        (["validation=0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        asked(words)


def test_seeds_of_validation_are_no_seeds_of_the_test(quantbench):
    code, _, err = quantbench("tune", *TINY, "seed=1000000")
    assert code == 2
    assert "where validation seeds begin" in err


def searched(scores, metric="nmse_db"):
    """A table of one candidate, and its design; None for a training that diverged."""
    rows = [
        {"candidate": 0, "study": place // 2 + 1, "setting": place + 1, metric: score, "status": status}
        for place, score in enumerate(scores)
        for status in (["diverged"] if score is None else ["completed"])
    ]
    return pd.DataFrame(rows), Design(vars(SearchSettings(4, 2, score=metric)).copy(), [0], [])


def test_a_training_that_diverged_is_infinitely_bad_and_the_first_of_equals_is_chosen():
    assert choices_of(*searched([None, 5.0, -1.0, -1.0])) == ({0: {1: 1, 2: 2}}, {0: 2})
    assert choices_of(*searched([None, None, math.nan, None])) == ({0: {1: 0, 2: 2}}, {0: 0})


def test_of_a_metric_of_which_more_is_better_the_most_is_chosen():
    assert choices_of(*searched([0.2, 0.5, 0.9, 0.1], "usage"))[1] == {0: 2}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A search of a third method in the same tasks."""
    output = tmp_path_factory.mktemp("mine")
    words = [word for word in WORDS if not word.startswith("gradient=")]
    assert main(["tune", *words, "gradient=mste", "sensitivity=0", "--output", str(output), "--name", "one"]) == 0
    return output / "default" / "one"


def test_a_method_is_placed_among_others_without_training_these_again(folder, mine):
    (found,) = rank(mine, others=folder).found.rankings
    assert {one.method for one in found.standings} == {"vq ste", "vq diveq", "vq mste"}
    assert len(found.tasks) == 2
    assert {one.tasks for one in found.standings} == {2}


def test_published_results_are_found(folder, mine, monkeypatch, quantbench, tmp_path):
    monkeypatch.setattr("quantbench.results.reading.published_folder", lambda: tmp_path / "published")
    code, _, err = quantbench("rank", str(mine), "--with", "published")
    assert code == 2
    assert "no results came with this version" in err
    shutil.copytree(folder, tmp_path / "published" / "verdict")
    code, out, _ = quantbench("rank", str(mine), "--with", "published", "--track", "default")
    assert code == 0
    assert "vq diveq" in out
    assert "vq mste" in out


def test_what_was_not_tuned_is_not_placed_among_what_was(folder, small_run):
    other = small_run("gradient=ste")
    with pytest.raises(ConfigError, match="are not of `quantbench tune`"):
        rank(other, others=folder)
    with pytest.raises(ConfigError, match="has no tracks"):
        rank(folder, other)


def test_recordings_are_judged_in_two_halves_and_waveforms_not_at_all(quantbench):
    words = ["simulator=audio_frames", "budget=2", "studies=1", "seed=0,1"]
    settings, rest = asked(words)
    found = design(compose(rest), settings)
    assert {one.values["simulator.evaluate_on"] for one in search_trials(found)} == {"validation"}
    assert {one.values["simulator.evaluate_on"] for one in score_trials(found, {0: {1: 0}}, {0: 0})} == {"test"}
    assert "simulator.evaluate_on" in found.tuned
    code, _, err = quantbench("tune", "simulator=audio", "codec=encodec_tiny")
    assert code == 2
    assert "one set of held-out clips" in err


def test_a_search_that_is_interrupted_has_tables_and_a_name_to_go_on_by(folder, tmp_path, monkeypatch, capsys):
    from quantbench.results.progress import COMPLETE
    from quantbench.sweeps import face, tune

    there = shutil.copytree(folder, tmp_path / "one")
    for path in (there / "score", there / "results.csv", there / "sweep.yaml"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_in = tune.run_in

    def interrupted(*arguments):
        monkeypatch.setattr("quantbench.sweeps.execute._train", stop)
        run_in(*arguments)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tune, "run_in", interrupted)
        assert main(["resume", str(there / "search")]) == 130  # the folder of a part is that of the whole
    monkeypatch.undo()
    assert f"resume {there}` goes on" in capsys.readouterr().err
    assert {*read_results(there)["phase"]} == {"search"}
    (there / "score" / "journal" / "lock").unlink()  # of this process, which lives
    assert main(["watch", str(tmp_path / "latest"), "--once"]) == 0
    assert f"resume {there}` goes on" in "".join(capsys.readouterr().out.split("\n"))
    assert face.resume(there).results["phase"].nunique() == 3
    assert main(["watch", str(there), "--once"]) == 0
    assert COMPLETE in capsys.readouterr().out


def test_a_search_whose_choices_were_scored_stays_as_it_is(folder, tmp_path, capsys):
    there = shutil.copytree(folder, tmp_path / "one")
    path = there / "search" / "results.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, ["status", "error"]] = "failed", "worker died"
    table.to_csv(path, index=False)
    before = path.read_bytes()
    assert main(["resume", str(there)]) == 1
    assert "1 trials of the search failed and were infinitely bad in its choices" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budget=5,10"], "budget=5,10: is one value for the whole search"),
        (["validation=1000000000"], "validation=1000000000: more than 1000000 trials of each method"),
        (["budget=2", "studies=2", "validation=400000", "gradient=ste,mste"], "has more than 1000000 trials"),
    ],
)
def test_a_search_without_end_is_refused(words, message, capsys):
    assert main(["tune", *TINY, *words, "dry_run=true"]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_chosen_by_a_metric_that_no_trial_has():
    table = pd.DataFrame({"candidate": 0, "study": 1, "setting": [1, 2], "status": "completed", "mse": 0.5, "pesq": math.nan})
    with pytest.raises(ConfigError, match="score=pesq: no trial of the search has it"):
        choices_of(table, Design(vars(SearchSettings(score="pesq")), [0], []))


def test_what_a_kill_left_out_of_a_part_is_written_again(folder, tmp_path):
    there = shutil.copytree(folder, tmp_path / "one")
    for name in ("results.csv", "environment.json"):
        (there / "score" / name).unlink()
        (there / name).unlink()
    assert main(["resume", str(there)]) == 0
    assert (there / "environment.json").is_file()
    assert (there / "score" / "environment.json").is_file()

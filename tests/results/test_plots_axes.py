"""What a user asks of axes and names, and what axes show without being asked."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex

from quantbench.points import Points
from quantbench.results.plots.data import Data
from quantbench.results.plots.draw import KINDS
from quantbench.results.plots.heatmap import heatmap
from quantbench.results.plots.highlight import GREY, highlighted
from quantbench.results.plots.paper import INKS, STYLE
from quantbench.results.plots.paper import draw as on_paper
from quantbench.results.plots.rate_distortion import rate_distortion
from quantbench.results.plots.steps import curves, growth
from quantbench.results.plots.view import labels_of
from quantbench.results.schema import AUDIT
from quantbench.results.tables import curves_table, results_table, write
from tests.results.test_plots import SETTINGS, data, given, picture, trials, words

STEPS = range(0, 1001, 100)
NAMES = ["vq ste", "vq ste commitment=0", "vq ste commitment=0.1", "vq mste"]


def followed(curve, gradients=("ste", "mste"), seeds=3, status=None, metric="mse"):
    """Trials whose curve is ``curve(gradient, seed, step)``; None ends it."""
    rows = [
        row | {"status": (status or {}).get((row["gradient"], row["seed"]), "completed")}
        for row in trials(gradients, seeds, (64,))
    ]
    points = []
    for row in rows:
        values = [(step, metric, curve(row["gradient"], row["seed"], step)) for step in STEPS]
        points.append((row["trial"], Points([one for one in values if one[2] is not None])))
    return given(results_table(rows, SETTINGS), curves_table(points))


def falling(gradient, seed, step):
    """From 2 at the start to one of two values close to each other."""
    return (2.0 if step == 0 else 0.2) + 0.02 * (gradient == "mste") + 0.001 * seed


def means(made):
    return {one.method: one for panel in made.panels for one in panel.series if one.look.role == "mean"}


def test_curves_have_the_axis_of_what_comes_after_the_first_steps():
    made = curves(followed(falling), None)
    low, high = made.y.limits
    assert 0.15 < low < 0.2 < 0.222 < high < 0.25
    assert "the axis is of the values after the first tenth of the steps: 2 earlier ones of 22 lie outside" in made.caption
    assert curves(followed(lambda *where: 0.2 + where[2] / 1000), None).y.limits is None
    assert growth(followed(falling, metric="encoder_std"), None).y.limits is None


def test_decades_get_a_logarithmic_axis():
    made = curves(followed(lambda gradient, _, step: (1.0 if gradient == "ste" else 100.0) / (1 + step)), None)
    assert made.y.log


def test_a_trial_that_explodes_does_not_take_the_axis_from_the_others():
    broken = {("ste", 0): "diverged"}
    made = curves(
        followed(lambda *where: 1e8 if where[:2] == ("ste", 0) and where[2] else falling(*where), status=broken), None
    )
    assert made.y.limits[1] < 3
    with rc_context(STYLE):
        (axes,) = on_paper(made).axes
    (cross,) = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert cross.get_ydata().tolist() == [made.y.limits[1]]
    assert any("a cross at an edge stands for those" in line for line in made.caption)


def test_the_largest_numbers_there_are_can_be_drawn():
    with np.errstate(over="ignore"):
        made = curves(followed(lambda gradient, seed, step: 1e307 * (1 + seed) / (1 + step)), None)
    assert made.y.limits is None
    assert picture_of(made).axes


def test_a_mean_is_over_the_same_trials_at_all_steps():
    """Of a high seed that ends early a mean would fall without anything having fallen."""
    short = followed(lambda gradient, seed, step: None if gradient == "ste" and seed == 0 and step > 500 else 10.0 - 4 * seed)
    made = curves(short, None)
    own = means(made)["vq ste"]
    assert (own.x.max(), set(own.seeds)) == (500, {3})
    assert own.y.tolist() == [6.0] * 6
    assert means(made)["vq mste"].x.max() == 1000
    assert "1 of 2 means end where the first of their trials has no more values" in made.caption[0]


def test_a_growth_that_ends_at_zero_ends_its_mean():
    made = growth(followed(lambda _, seed, step: 0.0 if seed == 0 and step > 500 else 1.0 + step, metric="encoder_std"), None)
    assert means(made)["vq ste"].x.max() == 500


@pytest.mark.parametrize("metric", ["mse", "encoder_std"])
def test_what_is_never_negative_has_no_negative_axis(metric):
    figure = picture("curves", followed(lambda *where: 0.0 if where[2] else 1.0, metric=metric), metric).figure
    assert figure.axes[0].get_ylim()[0] == 0
    audit = pd.DataFrame(
        [
            {"quantizer": "vq", "gradient": name, "moment": "start", "sigma": 0.5, "seed": seed, "bias": place, "variance": 0.0}
            for place, name in enumerate(("ste", "mste"))
            for seed in (0, 1)
        ],
        columns=AUDIT,
    )
    (axes,) = picture("gradient", Data(None, audit)).figure.axes
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0
    marks = [line for line in axes.get_lines() if line.get_label().startswith("vq ")]
    assert len(marks) == 2
    assert not any(mark.get_clip_on() for mark in marks)  # whole, though they stand on the edge


def test_numbers_of_neighbouring_panels_do_not_touch():
    rows = [row | {"simulator.bits": bits, "trial": f"{row['trial']}-{bits}"} for row in trials(sizes=(64,)) for bits in (6, 8)]
    points = [(row["trial"], Points((step, "mse", 1.0) for step in (0, 2000, 4000))) for row in rows]
    drawn = given(results_table(rows, [*SETTINGS, "simulator.bits"]), curves_table(points))
    figure = picture("curves", drawn).figure
    figure.draw_without_rendering()
    first, second = (
        [one.get_window_extent() for one in axes.get_xticklabels() if one.get_text() and 0 <= one.get_position()[0] <= 4000]
        for axes in figure.axes
    )
    assert max(one.x1 for one in first) + 3 < min(one.x0 for one in second)


def test_of_too_many_methods_some_are_coloured_and_the_rest_is_grey():
    gradients = [f"m{place:02d}" for place in range(38)] + ["ste"]
    drawn = data(trials(gradients, 2, (64,)))
    made = highlighted(growth(drawn, None), drawn)
    best = [f"vq m{place:02d}" for place in range(6)]
    coloured = [name for name, one in means(made).items() if made.style(one) != GREY]
    assert sorted(coloured) == [*best, "vq ste"]  # the one that grows is the worst by far, and is seen
    assert [label for label, _ in made.legend if "other methods" in label] == ["32 other methods"]
    assert len({made.styles[name] for name in coloured}) == len({made.styles[name].colour for name in coloured}) == 7
    assert "39 methods are more than can be told apart: the best 6 are coloured, and 1 whose encoders'" in made.words[-1]
    figure_colours = {to_hex(line.get_color()) for line in picture_of(made).axes[0].get_lines()}
    assert INKS["muted"] in figure_colours


def picture_of(made):
    with rc_context(STYLE):
        return on_paper(made)


def test_few_methods_are_all_coloured():
    drawn = data(trials())
    made = growth(drawn, None)
    assert highlighted(made, drawn) is made


def test_a_heat_map_that_would_be_a_strip_is_turned():
    gradients = [f"m{place:02d}" for place in range(26)]
    made = heatmap(data(trials(gradients, 1, (64,), ("vq", "fsq"))), None)
    assert (list(made.x.names), list(made.y.names)) == (["fsq", "vq"], gradients)
    cells = {(cell.x, cell.y): cell.text for cell in made.panels[0].cells}
    assert (cells[0, 0], cells[1, 25], len(cells)) == ("−36", "−11", 52)
    wide, high = picture_of(made).get_size_inches()
    assert 1 / 4 < wide / high < 4  # it was 7
    small = heatmap(data(trials(("ste", "mste", "noise"), 1, (64,), ("vq", "fsq"))), None)
    assert list(small.y.names) == ["fsq", "vq"]


def test_a_source_has_one_limit_however_many_seeds_draw_it():
    rows = [row | {"gap_db": row["gap_db"] + row["seed"]} for row in trials(seeds=5)]
    made = rate_distortion(data(rows), "nmse_db")
    (limit,) = [one for one in made.panels[0].series if one.look.role == "limit"]
    assert limit.x.tolist() == [2, 4, 6]
    assert limit.y.tolist() == pytest.approx([-13 - 2, -25 - 2, -37 - 2])  # nmse_db less gap_db, the mean over seeds


@pytest.fixture
def run(tmp_path):
    drawn = followed(falling)
    write(drawn.runs.results, tmp_path / "results.csv")
    write(drawn.runs.curves, tmp_path / "curves.csv")
    return tmp_path


@pytest.fixture
def shown(quantbench, run, monkeypatch):
    """The picture that a command would save, its output and its errors."""
    import quantbench.results.plots.draw as drawing

    saved = []
    monkeypatch.setattr(drawing, "save", lambda made, *_: saved.append(made))

    def plot(*options):
        code, out, err = quantbench("plot", str(run), "--output", str(run / "plots"), *options)
        return (saved[-1] if saved else None), code, out, err

    return plot


def test_limits_and_a_logarithm_are_those_asked_for(shown):
    made, code, out, _ = shown("--kind", "curves", "--ylim", "0.1,3", "--xlim", "0,500", "--log")
    assert (code, made.y.limits, made.x.limits, made.y.log) == (0, (0.1, 3), (0, 500), True)
    assert "note: 10 of 22 values lie outside --xlim 0,500" in out
    assert not any("first tenth" in line for line in made.caption)
    figure = picture_of(made)
    assert (figure.axes[0].get_yscale(), figure.axes[0].get_ylim(), figure.axes[0].get_xlim()) == ("log", (0.1, 3), (0, 500))
    made, code, _, _ = shown("--kind", "rate_distortion", "--ylim", "-40,-30")  # a negative number is no option
    assert (code, made.y.limits) == (0, (-40, -30))
    made, code, _, _ = shown("--kind", "usage", "--metric", "mse", "--log")
    assert (code, made.x.log, made.y.log) == (0, True, False)


def test_methods_are_called_what_the_user_says(shown):
    for kind in ("curves", "rate_distortion", "usage", "critical_difference"):
        made, code, _, err = shown("--kind", kind, "--label", "vq ste=STE = plain", "--label", "vq mste=mine")
        assert (code, err) == (0, "")
        text = words(picture_of(made))
        assert any(one.startswith("STE = plain") for one in text), kind
        assert not any("vq ste" in one for one in text), kind


def test_the_longest_name_counts():
    found = labels_of(["vq ste commitment=0.1=a=b", "vq ste commitment=0=c", "vq ste=d"], NAMES)
    assert found == {"vq ste commitment=0.1": "a=b", "vq ste commitment=0": "c", "vq ste": "d"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ylim", "0,1"], "--ylim: needs --kind"),
        (["--kind", "curves", "--ylim", "nan,1"], "--ylim nan,1: both ends must be finite"),
        (["--kind", "curves", "--ylim", "1,0.5"], "--ylim 1,0.5: the first number must be less than the second"),
        (["--kind", "curves", "--ylim", "1"], "--ylim 1: must be two numbers, as in --ylim 0,1"),
        (["--kind", "curves", "--ylim", "5,6"], "--ylim 5,6: nothing lies there; mse (lower is better) goes from 0.2"),
        (["--kind", "curves", "--log", "--ylim", "0,1"], "--ylim 0,1: with --log it must begin above 0"),
        (["--kind", "usage", "--ylim", "0,1"], "--ylim 0,1: this axis of the picture (usage by method) has no numbers"),
        (["--kind", "rate_distortion", "--log"], "--log: nmse_db (lower is better) has no logarithm: 3 of its 3 values"),
        (["--kind", "heatmap", "--label", "a=b"], "--label 'a=b': a heatmap names quantizers and gradients"),
        (["--label", "vq mst=x"], "--label 'vq mst=x': no such method; there are vq ste, vq mste; did you mean vq mste?"),
        (["--label", "vq ste"], "--label 'vq ste': must be METHOD=text"),
        (["--label", "vq ste= "], "there is no text after the name"),
        (["--label", "vq ste=vq mste"], "another method would have the same name"),
        (["--label", "vq ste=a", "--label", "vq ste=b"], "vq ste has the label 'a' already"),
    ],
)
def test_bad_words_are_one_message(shown, options, message):
    _, code, out, err = shown(*options)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_every_kind_is_told_of_its_numbers():
    """Kinds that are drawn with axes of numbers can be given limits; a new kind is one or the other."""
    made = {
        kind: KINDS[kind](data(trials(seeds=6, quantizers=("vq", "fsq"))), None)
        for kind in KINDS
        if kind not in ("gradient", "alignment", "curves", "tuning", "profile", "sensitivity")  # these have tests of their own
    }
    numbers = {kind for kind, one in made.items() if not one.y.names and one.y.ticks is None}
    assert numbers == {"rate_distortion", "growth"}
    assert np.isfinite(made["growth"].panels[0].series[0].y).all()

"""What pictures show, read from their artists."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.colors import to_hex

from quantbench.install import how_to_install
from quantbench.points import Points
from quantbench.results.load import Results, metrics_of
from quantbench.results.palette import styles
from quantbench.results.plots.data import Data
from quantbench.results.plots.draw import KINDS, draw
from quantbench.results.plots.heatmap import SKIPPED
from quantbench.results.plots.paper import STYLE
from quantbench.results.plots.paper import draw as on_paper
from quantbench.results.schema import AUDIT
from quantbench.results.tables import curves_table, results_table, write

SETTINGS = ["quantizer.codes"]


def trials(gradients=("ste", "mste"), seeds=3, sizes=(4, 16, 64), quantizers=("vq",)):
    for quantizer in quantizers:
        for place, gradient in enumerate(gradients):
            for codes in sizes:
                for seed in range(seeds):
                    bits = float(np.log2(codes))
                    yield {
                        "trial": f"{quantizer}-{gradient}-{codes}-{seed}",
                        "experiment": "test",
                        "status": "completed",
                        "seed": seed,
                        "simulator": "gaussian",
                        "codec": "mlp",
                        "quantizer": quantizer,
                        "gradient": gradient,
                        "quantizer.codes": codes,
                        "mse": 10 ** (-0.6 * bits + 0.1 * place + 0.01 * seed),
                        "nmse_db": -6.0 * bits + place + 0.1 * seed,
                        "gap_db": 1.0 + place + 0.1 * seed,
                        "rate_bits": bits,
                        "spent_bits": bits,
                        "usage": 0.9 - 0.1 * place,
                        "encoder_growth": 10.0 ** (5 * (gradient == "ste")),
                    }


def data(rows, **options):
    rows = list(rows)
    points = [
        (
            row["trial"],
            Points((step, "encoder_std", 10.0 ** (step / 100 if row["gradient"] == "ste" else 0)) for step in (0, 100, 200)),
        )
        for row in rows
    ]
    return given(results_table(rows, SETTINGS), curves_table(points), **options)


def given(table, curves=None, **options):
    runs = Results(table, curves_table([]) if curves is None else curves, metrics=metrics_of(table, {}))
    return Data(runs, pd.DataFrame(columns=AUDIT), **options)


def picture(kind, drawn, metric=None):
    made = KINDS[kind](drawn, metric)
    with rc_context(STYLE):
        return SimpleNamespace(figure=on_paper(made), notes=made.notes)


def words(figure):
    """All text of a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def lines(figure, colour):
    return [line for axes in figure.axes for line in axes.get_lines() if to_hex(line.get_color()) == colour.lower()]


def test_rate_distortion_shows_the_means_and_the_limit():
    found = picture("rate_distortion", data(trials()))
    colours = styles(["vq ste", "vq mste"])
    (own,) = [line for line in lines(found.figure, colours["vq ste"].colour) if len(line.get_xdata()) == 3]
    assert list(own.get_xdata()) == [2, 4, 6]
    assert list(own.get_ydata()) == pytest.approx([-11.9, -23.9, -35.9])
    limit = [line for axes in found.figure.axes for line in axes.get_lines() if list(line.get_ydata()) == [-13, -25, -37]]
    assert len(limit) == 1  # nmse_db less gap_db, whatever the method
    assert "Shannon's limit" in words(found.figure)


def blocks(more_gap):
    """Two methods, each with frames of a length of its own."""
    rows = [row | {"simulator.frame_dim": 1 + (row["gradient"] == "mste")} for row in trials(seeds=1)]
    for row in rows:
        dim = row["simulator.frame_dim"]
        row |= {
            "rate_bits": row["rate_bits"] * dim,
            "spent_bits": row["spent_bits"] * dim,
            "gap_db": row["gap_db"] + more_gap * dim,
        }
    table = results_table(rows, [*SETTINGS, "simulator.frame_dim"])
    figure = picture("rate_distortion", given(table)).figure
    (axes,) = [axes for axes in figure.axes if axes.get_lines()]
    return [line for line in axes.get_lines() if line.get_label() == "limit"], [text.get_text() for text in axes.texts]


def test_blocks_of_other_lengths_have_other_limits():
    limits, names = blocks(more_gap=1)
    assert [list(line.get_xdata()) for line in limits] == [[2, 4, 6]] * 2
    assert [list(line.get_ydata()) for line in limits] == [pytest.approx([y, y - 12, y - 24]) for y in (-14, -15)]
    assert names == ["frame_dim=1", "frame_dim=2"]


def test_sources_with_the_same_limit_share_its_line():
    limits, names = blocks(more_gap=0)
    assert [list(line.get_ydata()) for line in limits] == [pytest.approx([-13, -25, -37])]
    assert names == []


def test_growth_is_logarithmic_and_the_encoder_that_grows_stands_out():
    found = picture("growth", data(trials(sizes=(64,))))
    (axes,) = [axes for axes in found.figure.axes if axes.get_lines()]
    assert axes.get_yscale() == "log"
    ste = max(lines(found.figure, styles(["vq ste"])["vq ste"].colour), key=lambda line: len(line.get_xdata()))
    assert list(ste.get_ydata()) == pytest.approx([1, 10, 100])


def test_failures_are_counted_in_the_picture():
    rows = list(trials(sizes=(64,)))
    rows[0] |= {"status": "diverged", "mse": np.inf, "nmse_db": np.inf}
    for kind in ("usage", "curves", "growth", "critical_difference"):
        metric = "encoder_std" if kind == "curves" else None
        text = " ".join(words(picture(kind, data(rows), metric).figure))
        assert "diverged" in text or "failed" in text, kind


def test_failures_stand_over_their_rate_whatever_was_measured_of_them():
    rows = [
        row
        | (
            {}
            if row["gradient"] == "ste"
            else {"status": "failed"} | dict.fromkeys(("rate_bits", "spent_bits", "mse", "nmse_db"))
        )
        for row in trials()
    ]
    (axes,) = [axes for axes in picture("rate_distortion", data(rows)).figure.axes if axes.get_lines()]
    crosses = {text.xy[0]: text.get_text() for text in axes.texts if text.get_text().startswith("×")}
    assert crosses == {2.0: "×3", 4.0: "×3", 6.0: "×3"}


def test_curves_of_trials_that_diverged_end_in_a_cross_and_are_in_no_mean():
    rows = list(trials(("ste",), sizes=(64,)))
    rows[0] |= {"status": "diverged"}
    drawn = data(rows)
    curves = drawn.runs.curves
    curves.loc[(curves["trial"] == rows[0]["trial"]) & (curves["step"] == 200), "value"] = 1e9
    found = picture("growth", drawn)
    (axes,) = [axes for axes in found.figure.axes if axes.get_lines()]
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in crosses] == [([200], [1e9])]
    (mean,) = [line for line in axes.get_lines() if line.get_label() == "vq ste"]
    assert list(mean.get_ydata()) == pytest.approx([1, 10, 100])
    assert "vq ste\n× 1 diverged of 3" in words(found.figure)


@pytest.mark.parametrize("count", [3, 20])
def test_every_audited_pair_is_named_beside_its_points_or_in_a_legend(count):
    names = [f"strategy_{place}" for place in range(count)]
    audit = pd.DataFrame(
        [
            {
                "quantizer": "vq",
                "gradient": name,
                "moment": "start",
                "sigma": 0.5,
                "seed": 0,
                "bias": place,
                "variance": 0,
                "findings": None,
            }
            for place, name in enumerate(names)
        ],
        columns=AUDIT,
    )
    audit["findings"] = audit["findings"].astype(object)
    audit.loc[0, "findings"] = "no gradient"
    figure = picture("gradient", Data(None, audit)).figure
    assert {"vq strategy_0 ×", *(f"vq {name}" for name in names[1:])} <= set(words(figure))
    assert bool(figure.legends) == (count > 12)


def test_every_line_has_markers_that_tell_it_without_colour():
    names = tuple("abcdefghijkl")
    figure = picture("curves", data(trials(names, sizes=(64,))), "encoder_std").figure
    drawn = {line.get_label(): (line.get_marker(), line.get_linestyle()) for axes in figure.axes for line in axes.get_lines()}
    assert len(set(drawn.values())) == len(names)


def test_pairs_that_do_not_fit_are_in_the_heat_map():
    rows = list(trials(sizes=(64,), quantizers=("vq", "fsq")))
    rows += [
        row | {"trial": f"s{row['trial']}", "gradient": "soft_to_hard", "status": "skipped"}
        for row in rows
        if row["gradient"] == "ste"
    ]
    rows[0] |= {"status": "failed", "nmse_db": None}
    figure = picture("heatmap", data(rows)).figure
    text = words(figure)
    assert {"vq", "fsq", "ste", "mste", "soft_to_hard"} <= set(text)
    assert "−35.8\n× 1/3" in text  # the mean of the two that completed
    assert "grey: 2 pairs that do not fit" in " ".join(text).replace("\n", " ")
    grey = [patch for patch in figure.axes[0].patches if to_hex(patch.get_facecolor()) == SKIPPED]
    assert len(grey) == 2


def test_a_trial_without_a_gradient_has_a_column_of_its_own():
    rows = list(trials())
    rows[0]["gradient"] = None
    labels = picture("heatmap", data(rows)).figure.axes[0].get_xticklabels()
    assert {label.get_text() for label in labels} == {"", "mste", "ste"}


def test_critical_difference_shows_every_method_with_its_rank():
    text = " ".join(words(picture("critical_difference", data(trials(seeds=6))).figure))
    assert "vq ste (1.0)" in text
    assert "vq mste (2.0)" in text


def test_gradient_bias_against_variance(tmp_path):
    audit = pd.DataFrame(
        [
            {
                "quantizer": "vq",
                "gradient": name,
                "moment": moment,
                "sigma": 0.5,
                "seed": seed,
                "bias": 0.1 + seed,
                "variance": 0.2,
            }
            for name in ("ste", "mste")
            for moment in ("start", "end")
            for seed in (0, 1)
        ],
        columns=AUDIT,
    )
    found = picture("gradient", Data(None, audit))
    assert {"before training", "after a short training"} <= set(words(found.figure))


@pytest.mark.parametrize("name", ["$x_1$", "a_b^c", "<b>&", "\\frac{"])
def test_names_are_drawn_as_they_are(name, tmp_path):
    given = data(trials((name, "mste"), sizes=(64,)))
    draw(given, "growth", None, tmp_path / "g.svg")
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert escaped in (tmp_path / "g.svg").read_text()


def test_a_single_seed_has_a_note_and_no_band():
    found = picture("growth", data(trials(seeds=1, sizes=(64,))))
    assert any("single seed" in note for note in found.notes)
    assert not [one for axes in found.figure.axes for one in axes.collections if len(one.get_paths()) and one.get_alpha()]


def test_a_method_has_its_colour_in_every_kind():
    colour = styles(["vq ste", "vq mste"])["vq mste"].colour
    for kind in ("rate_distortion", "growth", "critical_difference"):
        assert lines(picture(kind, data(trials())).figure, colour), kind


@pytest.fixture
def run(tmp_path):
    drawn = data(trials()).runs
    write(drawn.results, tmp_path / "results.csv")
    write(drawn.curves, tmp_path / "curves.csv")
    return tmp_path


def test_command(quantbench, run):
    code, out, err = quantbench("plot", str(run), "--output", str(run / "plots"))
    assert (code, err) == (0, "")
    assert {path.stem for path in (run / "plots").iterdir()} >= {"rate_distortion", "growth", "usage", "critical_difference"}
    assert "left out: gradient: there is no audit.csv" in out
    for ending in ("png", "pdf", "svg"):
        assert quantbench("plot", str(run), "--kind", "growth", "--output", str(run / f"g.{ending}"))[0] == 0


def test_the_same_picture_is_the_same_file(quantbench, run):
    for name in ("a.svg", "b.svg"):
        assert quantbench("plot", str(run), "--kind", "usage", "--output", str(run / name))[0] == 0
    assert (run / "a.svg").read_bytes() == (run / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "pie"], "--kind pie: no such kind; there are rate_distortion, curves, growth"),
        (["--kind", "curves", "--metric", "beauty"], "beauty"),
        (["--kind", "usage", "--metric", "beauty"], "--metric beauty"),
        (["--kind", "gradient"], "there is no audit.csv among the results"),
        (["--kind", "growth", "--output", "g.gif"], "g.gif: must end in one of .svg, .png, .pdf"),
        (["--output", "g.svg"], "several kinds go into a folder"),
    ],
)
def test_bad_input(quantbench, run, options, message):
    code, _, err = quantbench("plot", str(run), *options)
    assert code == 2
    assert message in err


def test_an_empty_column_says_so(quantbench, run):
    code, _, err = quantbench("plot", str(run), "--kind", "usage", "--metric", "pesq")
    assert code == 2
    assert "--metric pesq: the column is empty; there are mse, nmse_db" in err


def test_without_matplotlib_the_message_says_how_to_get_it(quantbench, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = quantbench("plot", str(run), "--output", str(run / "plots"))
    assert code == 2
    assert f"needs matplotlib; install it with {how_to_install('plot')}" in err


def test_an_output_that_is_no_picture_lists_what_there_is(quantbench, run):
    code, _, err = quantbench("plot", str(run), "--kind", "growth", "--output", str(run / "results.csv"))
    assert code == 2
    assert "must end in one of .svg, .png, .pdf" in err


def test_no_curves(quantbench, run):
    (run / "curves.csv").unlink()
    code, _, err = quantbench("plot", str(run), "--kind", "growth", "--output", str(run / "g.svg"))
    assert code == 2
    assert "curves.csv" in err

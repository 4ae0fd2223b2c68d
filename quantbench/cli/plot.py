"""`quantbench plot`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import RUN, add_layout, beside, run_path
from quantbench.terminal import show


def add(commands: Any) -> None:
    plot = commands.add_parser(
        "plot",
        help="pictures of one or several runs: quantbench plot outputs/ste_vs_anneal/... --kind growth --output growth.pdf",
        description="Draws every kind of picture that the results support into a folder, or one kind. Kinds: rate_distortion, "
        "curves, growth, usage, gradient and alignment (of an audit), heatmap, critical_difference; of `quantbench tune` "
        "also tuning, profile and sensitivity, each with its numbers in a .csv beside it.",
    )
    plot.add_argument(
        "results",
        type=run_path,
        nargs="+",
        help=f"{RUN}; audit.csv, or the folder of an audit",
    )
    plot.add_argument("--kind", help="one kind of picture (all that the results support)")
    plot.add_argument("--metric", help="what to draw (each kind's own: nmse_db, mse, encoder_std, usage)")
    add_layout(plot)
    plot.add_argument(
        "--output",
        type=Path,
        help="a folder, or with --kind an .svg, .png or .pdf (plots: in the run's folder or beside a table; of several, here)",
    )
    plot.add_argument("--format", default="svg", choices=["svg", "png", "pdf"], help="of the files in a folder (svg)")
    plot.add_argument("--log", action="store_true", help="a logarithmic axis for the metric; with --kind")
    plot.add_argument("--ylim", metavar="LOW,HIGH", help="where the vertical axis ends, as in 0,0.5; with --kind")
    plot.add_argument("--xlim", metavar="LOW,HIGH", help="the same of the horizontal axis")
    plot.add_argument(
        "--label",
        metavar="METHOD=TEXT",
        action="append",
        default=[],
        help="what to call a method, as in 'vq ste commitment=1=STE with commitment'; may be given several times",
    )
    plot.add_argument("--track", choices=["default", "tuned"], help="of results of `quantbench tune` (tuned)")
    plot.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.plots.data import gather
    from quantbench.results.plots.draw import check_output, check_view, draw, report
    from quantbench.results.plots.view import View, limits_of
    from quantbench.results.reading import words_of

    output = arguments.output or beside(arguments.results, "plots")
    check_output(arguments.kind, output)
    view = View(arguments.log, limits_of("--xlim", arguments.xlim), limits_of("--ylim", arguments.ylim))
    check_view(arguments.kind, view, arguments.label)
    data = gather(
        arguments.results, words_of("by", arguments.by), words_of("within", arguments.within), arguments.label, arguments.track
    )
    drawn = draw(data, arguments.kind, arguments.metric, output, f".{arguments.format}", view)
    show("\n".join([report(drawn), *(f"note: {note}" for note in (data.runs.notes if data.runs else []))]))
    return 0

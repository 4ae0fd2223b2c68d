"""`quantbench report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import RUN, USUAL, add_layout, beside, run_path
from quantbench.terminal import say


def add(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="write a page with findings, plots, a table of trials and comparisons",
        description="One HTML file that needs no network. Several runs become one.",
    )
    report.add_argument("results", type=run_path, nargs="+", metavar="DIR", help=RUN)
    report.add_argument(
        "--output", type=Path, help="the file (report.html in the run's folder, or beside a table; of several runs, here)"
    )
    report.add_argument("--metric", help=f"what findings are about, and the first plots ({USUAL})")
    add_layout(report)
    report.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import words_of
    from quantbench.results.report import report

    by, within = words_of("by", arguments.by), words_of("within", arguments.within)
    output = arguments.output or beside(arguments.results, "report.html")
    made = report(arguments.results, output, arguments.metric, by, within)
    size = output.stat().st_size / 1e6
    say(f"{output}: {len(made.data['method']):,} trials, {size:.1f} MB")
    return 0

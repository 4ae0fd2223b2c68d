"""`quantbench diff`."""

from __future__ import annotations

import argparse
from typing import Any

from quantbench.cli.options import FORMATS, RUN, USUAL, add_layout, run_path
from quantbench.terminal import show


def add(commands: Any) -> None:
    diff = commands.add_parser("diff", help="compare two results.csv")
    diff.add_argument("a", type=run_path, help=f"{RUN}: the baseline")
    diff.add_argument("b", type=run_path, help=f"{RUN}: what is compared with it")
    diff.add_argument("--metric", help=f"metrics, separated by commas ({USUAL}; usage, encoder_growth)")
    add_layout(diff)
    diff.add_argument("--fail-on-regression", action="store_true", help="exit with 1 if anything is worse or newly failing")
    diff.add_argument("--format", default="table", choices=FORMATS)
    diff.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import diff

    read = diff(arguments.a, arguments.b, arguments.metric, arguments.by, arguments.within)
    show(read.text(arguments.format), arguments.format)
    return 1 if arguments.fail_on_regression and read.found.regressions else 0

"""`quantbench watch`."""

from __future__ import annotations

import argparse
from typing import Any

from quantbench.cli.options import FORMATS, USUAL, run_path


def add(commands: Any) -> None:
    watch = commands.add_parser(
        "watch", help="how far a running sweep is, live", description="Ctrl-C ends it; the sweep goes on."
    )
    watch.add_argument("folder", type=run_path, help="the folder of the run, or latest for the last one")
    watch.add_argument("--metric", help=f"whose mean is shown ({USUAL})")
    watch.add_argument("--once", action="store_true", help="show it once")
    watch.add_argument("--format", default="table", choices=FORMATS)
    watch.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.watch import watch

    watch(arguments.folder, arguments.metric, arguments.once, arguments.format)
    return 0

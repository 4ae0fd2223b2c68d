"""`quantbench transfer`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantbench.cli.options import BY, FORMATS, RUN, USUAL, add_failures, finite, run_path
from quantbench.errors import ConfigError
from quantbench.terminal import say, show


def add(commands: Any) -> None:
    transfer = commands.add_parser(
        "transfer",
        help="whether the ranking that a toy codec finds carries over to a real one",
        description="Compares the order of the items that both tables have, over the seeds of each.",
    )
    transfer.add_argument("toy", type=run_path, help=f"{RUN}: the toy codec")
    transfer.add_argument("real", type=run_path, help=f"{RUN}: the real codec")
    transfer.add_argument(
        "--metric", help=f"the toy's metric and the real codec's as TOY:REAL, or one for both (of each: {USUAL})"
    )
    transfer.add_argument("--by", help=BY)
    add_failures(transfer, "drop", ["drop", "whole-seed"])
    transfer.add_argument("--plot", type=Path, metavar="FILE", help="draw the items into an .svg, .png or .pdf")
    transfer.add_argument("--fail-below", type=finite, metavar="X", help="exit with 1 if the pairwise agreement is below X")
    transfer.add_argument("--format", default="table", choices=FORMATS)
    transfer.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import transfer

    metrics: tuple[str | None, str | None] = (None, None)
    if arguments.metric is not None:
        toy_metric, colon, real_metric = arguments.metric.partition(":")
        if not toy_metric or (colon and not real_metric) or ":" in real_metric:
            raise ConfigError(f"--metric {arguments.metric}: must be one metric, or the toy's and the real codec's as TOY:REAL")
        metrics = (toy_metric, real_metric or toy_metric)
    least = arguments.fail_below
    if least is not None and not 0 <= least <= 1:
        raise ConfigError(f"--fail-below {least:g}: must be between 0 and 1")
    if arguments.plot is not None:
        from quantbench.results.plots.paper import check_picture
        from quantbench.results.scatter import scatter

        check_picture(arguments.plot, "--plot")
    read = transfer(arguments.toy, arguments.real, metrics, arguments.by, arguments.failures)
    found = read.found
    show(read.text(arguments.format), arguments.format)
    if arguments.plot is not None:
        scatter(found, arguments.plot)
    if least is None or found.agreement.mean >= least:
        return 0
    measured = f"{found.agreement.mean:.4g}" if found.separated else "not known, for the real codec separates no pair"
    say(f"--fail-below {least:g}: the pairwise agreement is {measured}", error=True)
    return 1

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
        description="Compares the order of the items that both tables have, over the seeds of each. Of two results of "
        "`tune`, as the verdict's tasks and the drawn ones, it compares the order of the methods of a track.",
    )
    transfer.add_argument("toy", type=run_path, help=f"{RUN}: the toy codec")
    transfer.add_argument("real", type=run_path, help=f"{RUN}: the real codec")
    transfer.add_argument(
        "--metric", help=f"the toy's metric and the real codec's as TOY:REAL, or one for both (of each: {USUAL})"
    )
    transfer.add_argument("--by", help=BY)
    transfer.add_argument("--track", choices=["default", "tuned"], help="of two results of `tune` (tuned)")
    transfer.add_argument("--over", choices=["tasks", "seeds"], help="of two results of `tune`: what tau is over (tasks)")
    add_failures(transfer, "drop", ["drop", "whole-seed"])
    transfer.add_argument("--plot", type=Path, metavar="FILE", help="draw the items into an .svg, .png or .pdf")
    transfer.add_argument("--fail-below", type=finite, metavar="X", help="exit with 1 if the pairwise agreement is below X")
    transfer.add_argument("--format", default="table", choices=FORMATS)
    transfer.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import of_searches, transfer

    if arguments.track or arguments.over or of_searches(arguments.toy, arguments.real):
        return _orders(arguments)
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


def _orders(arguments: argparse.Namespace) -> int:
    """Compare two results of `quantbench tune`."""
    from quantbench.results.reading import orders

    given = {"--by": arguments.by, "--plot": arguments.plot, "--fail-below": arguments.fail_below}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise ConfigError(f"{wrong[0]}: is for a toy and a real codec, not for results of `quantbench tune`")
    read = orders(arguments.toy, arguments.real, arguments.track, arguments.over, arguments.metric)
    show(read.text(arguments.format), arguments.format)
    return 0

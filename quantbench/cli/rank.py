"""`quantbench rank`."""

from __future__ import annotations

import argparse
from typing import Any

from quantbench.cli.options import FORMATS, RUN, USUAL, add_failures, add_layout, run_path
from quantbench.terminal import show


def add(commands: Any) -> None:
    rank = commands.add_parser(
        "rank",
        help="rank methods, with intervals, groups that do not differ, the Pareto set and BD-rates",
        description="Ranks the methods of one or several runs over tasks and paired seeds; failures count as worst.",
    )
    rank.add_argument("results", type=run_path, nargs="+", help=f"{RUN}; 'outputs/*'")
    rank.add_argument("--metric", help=f"what to rank by ({USUAL})")
    add_layout(rank)
    rank.add_argument(
        "--over",
        choices=["seeds", "tasks"],
        help="what intervals and letters speak of: other seeds of these tasks alone, or other tasks like these (seeds; of "
        "`tune` tasks, where these are enough to tell methods apart)",
    )
    rank.add_argument("--track", choices=["default", "tuned"], help="of results of `quantbench tune` (tuned)")
    rank.add_argument(
        "--with",
        dest="others",
        metavar="WHERE",
        help="further results of `quantbench tune` to place these among: published for the project's own, or a folder",
    )
    rank.add_argument(
        "--chosen", action="store_true", help="say, too, what `tune` chose, and how often (csv, json: that alone)"
    )
    add_failures(rank, "worst")
    rank.add_argument("--against", metavar="METHOD", help="compare rate-distortion curves with this method's (BD)")
    rank.add_argument(
        "--rate", help="rate of the Pareto set and of BD (rate_bits, and spent_bits of quantizers that have no nominal rate)"
    )
    rank.add_argument("--table", choices=["ranking", "pareto", "bd"], help="print this table only")
    rank.add_argument("--format", default="table", choices=FORMATS)
    rank.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import rank

    read = rank(
        *arguments.results,
        metric=arguments.metric,
        by=arguments.by,
        within=arguments.within,
        over=arguments.over,
        failures=arguments.failures,
        against=arguments.against,
        rate=arguments.rate,
        table=arguments.table,
        track=arguments.track,
        others=arguments.others,
        chosen=arguments.chosen,
    )
    show(read.text(arguments.format), arguments.format)
    return 0

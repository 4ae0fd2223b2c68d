"""Subcommands that read results and train nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantbench.errors import ConfigError
from quantbench.terminal import visible

FORMATS = ("table", "csv", "json", "markdown")
USUAL = "mel_distance_db of waveforms, nmse_db of all else"
BY = "settings that make a method, separated by commas (quantizer, gradient and their settings)"
WITHIN = "settings that make a task, separated by commas (what else varies, and the rate)"


def add_readers(commands: Any) -> None:
    """Add the subcommands to a parser's."""
    for add in (_add_diff, _add_rank, _add_plot, _add_report, _add_transfer, _add_watch):
        add(commands)


def _add_diff(commands: Any) -> None:
    diff = commands.add_parser("diff", help="compare two results.csv")
    diff.add_argument("a", type=Path, help="results.csv or the folder of a run: the baseline")
    diff.add_argument("b", type=Path, help="results.csv or the folder of a run: what is compared with it")
    diff.add_argument("--metric", help=f"metrics, separated by commas ({USUAL}; usage, encoder_growth)")
    _add_layout(diff)
    diff.add_argument("--fail-on-regression", action="store_true", help="exit with 1 if anything is worse or newly failing")
    diff.add_argument("--format", default="table", choices=FORMATS)
    diff.set_defaults(command=_diff)


def _add_rank(commands: Any) -> None:
    rank = commands.add_parser(
        "rank",
        help="rank methods, with intervals, groups that do not differ, the Pareto set and BD-rates",
        description="Ranks the methods of one or several runs over tasks and paired seeds; failures count as worst.",
    )
    rank.add_argument("results", type=Path, nargs="+", help="results.csv or the folder of a run")
    rank.add_argument("--metric", help=f"what to rank by ({USUAL})")
    _add_layout(rank)
    rank.add_argument(
        "--over",
        default="seeds",
        choices=["seeds", "tasks"],
        help="what intervals and letters speak of: other seeds of these tasks alone, or other tasks like these (seeds)",
    )
    _add_failures(rank, "worst")
    rank.add_argument("--against", metavar="METHOD", help="compare rate-distortion curves with this method's (BD)")
    rank.add_argument(
        "--rate", help="rate of the Pareto set and of BD (rate_bits, and spent_bits of quantizers that have no nominal rate)"
    )
    rank.add_argument("--table", choices=["ranking", "pareto", "bd"], help="print this table only")
    rank.add_argument("--format", default="table", choices=FORMATS)
    rank.set_defaults(command=_rank)


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="write a page with findings, plots, a table of trials and comparisons",
        description="One HTML file that needs no network. Several runs become one.",
    )
    report.add_argument("results", type=Path, nargs="+", metavar="DIR", help="the folder of a run, or its results.csv")
    report.add_argument("--output", type=Path, default=Path("report.html"), help="the file (report.html)")
    report.add_argument("--metric", help=f"what findings are about, and the first plots ({USUAL})")
    _add_layout(report)
    report.set_defaults(command=_report)


def _add_plot(commands: Any) -> None:
    plot = commands.add_parser(
        "plot",
        help="pictures of one or several runs: quantbench plot outputs/ste_vs_anneal/... --kind growth --output growth.pdf",
        description="Draws every kind of picture that the results support into a folder, or one kind. Kinds: rate_distortion, "
        "curves, growth, usage, gradient (of an audit), heatmap, critical_difference.",
    )
    plot.add_argument("results", type=Path, nargs="+", help="results.csv, audit.csv, or the folder of a run or of an audit")
    plot.add_argument("--kind", help="one kind of picture (all that the results support)")
    plot.add_argument("--metric", help="what to draw (each kind's own: nmse_db, mse, encoder_std, usage)")
    _add_layout(plot)
    plot.add_argument(
        "--output", type=Path, default=Path("plots"), help="a folder, or with --kind an .svg, .png or .pdf (plots)"
    )
    plot.add_argument("--format", default="svg", choices=["svg", "png", "pdf"], help="of the files in a folder (svg)")
    plot.set_defaults(command=_plot)


def _add_transfer(commands: Any) -> None:
    transfer = commands.add_parser(
        "transfer",
        help="whether the ranking that a toy codec finds carries over to a real one",
        description="Compares the order of the items that both tables have, over the seeds of each.",
    )
    transfer.add_argument("toy", type=Path, help="results.csv or the folder of a run: the toy codec")
    transfer.add_argument("real", type=Path, help="results.csv or the folder of a run: the real codec")
    transfer.add_argument(
        "--metric", help=f"the toy's metric and the real codec's as TOY:REAL, or one for both (of each: {USUAL})"
    )
    transfer.add_argument("--by", help=BY)
    _add_failures(transfer, "drop", ["drop", "whole-seed"])
    transfer.add_argument("--plot", type=Path, metavar="FILE", help="draw the items into an .svg, .png or .pdf")
    transfer.add_argument("--fail-below", type=float, metavar="X", help="exit with 1 if the pairwise agreement is below X")
    transfer.add_argument("--format", default="table", choices=FORMATS)
    transfer.set_defaults(command=_transfer)


def _add_layout(command: argparse.ArgumentParser) -> None:
    command.add_argument("--by", help=BY)
    command.add_argument("--within", help=WITHIN)


def _add_failures(
    command: argparse.ArgumentParser, usual: str, choices: Sequence[str] = ("worst", "drop", "whole-seed")
) -> None:
    command.add_argument(
        "--failures",
        default=usual,
        choices=choices,
        help="a trial that diverged or failed is the worst of all; is in no mean; or takes its seed with it, for all methods "
        f"({usual})",
    )


def _diff(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import diff

    read = diff(arguments.a, arguments.b, _words(arguments.metric), _words(arguments.by), _words(arguments.within))
    _show(read.text(arguments.format), arguments.format)
    return 1 if arguments.fail_on_regression and read.found.regressions else 0


def _report(arguments: argparse.Namespace) -> int:
    from quantbench.results.report import report

    by, within = _words(arguments.by), _words(arguments.within)
    made = report(arguments.results, arguments.output, arguments.metric, by, within)
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {len(made.data['method']):,} trials, {size:.1f} MB")
    return 0


def _transfer(arguments: argparse.Namespace) -> int:
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
    read = transfer(arguments.toy, arguments.real, metrics, _words(arguments.by), arguments.failures)
    found = read.found
    _show(read.text(arguments.format), arguments.format)
    if arguments.plot is not None:
        scatter(found, arguments.plot)
    if least is None or found.agreement.mean >= least:
        return 0
    measured = f"{found.agreement.mean:.4g}" if found.separated else "not known, for the real codec separates no pair"
    print(f"--fail-below {least:g}: the pairwise agreement is {measured}", file=sys.stderr)
    return 1


def _rank(arguments: argparse.Namespace) -> int:
    from quantbench.results.reading import rank

    read = rank(
        *arguments.results,
        metric=arguments.metric,
        by=_words(arguments.by),
        within=_words(arguments.within),
        over=arguments.over,
        failures=arguments.failures,
        against=arguments.against,
        rate=arguments.rate,
        table=arguments.table,
    )
    _show(read.text(arguments.format), arguments.format)
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from quantbench.results.plots.data import gather
    from quantbench.results.plots.draw import check_output, draw, report

    check_output(arguments.kind, arguments.output)
    data = gather(arguments.results, _words(arguments.by), _words(arguments.within))
    drawn = draw(data, arguments.kind, arguments.metric, arguments.output, f".{arguments.format}")
    _show("\n".join([report(drawn), *(f"note: {note}" for note in (data.runs.notes if data.runs else []))]))
    return 0


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser(
        "watch", help="how far a running sweep is, live", description="Ctrl-C ends it; the sweep goes on."
    )
    watch.add_argument("folder", type=Path, help="the folder of the run")
    watch.add_argument("--metric", help=f"whose mean is shown ({USUAL})")
    watch.add_argument("--once", action="store_true", help="show it once")
    watch.add_argument("--format", default="table", choices=FORMATS)
    watch.set_defaults(command=_watch)


def _watch(arguments: argparse.Namespace) -> int:
    from quantbench.results.watch import watch

    watch(arguments.folder, arguments.metric, arguments.once, arguments.format)
    return 0


def _words(names: str | None) -> list[str] | None:
    """Names that are separated by commas; None where none are given."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _show(text: str, form: str = "table") -> None:
    """Print what came out of files that others may have written."""
    print(text if form == "csv" and not sys.stdout.isatty() else visible(text))

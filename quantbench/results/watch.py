"""The live table of a running sweep in the terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from quantbench.errors import ConfigError
from quantbench.metrics import METRICS, known
from quantbench.paths import DESIGN_FILE, whole
from quantbench.results.frame import USUAL, Counts, frame
from quantbench.results.layout import Layout, layout, nominal_rate
from quantbench.results.load import Results, metrics_of
from quantbench.results.progress import COMPLETE, RUNNING, STOPPED, SUBMITTED, Progress, Watch
from quantbench.results.render import Cell, Rounded, render, text
from quantbench.results.schema import BAD, Status
from quantbench.results.statistics import INTERVAL, Estimate
from quantbench.results.tracks import SCORE, SEARCH
from quantbench.suggest import no_such_metric
from quantbench.terminal import duration, show, visible

POLL_SECONDS = 1.0
LINES_AROUND = 8
"""Lines of the terminal that are not rows of the table."""

WIDEST = 10_000
"""Columns in which any table is measured."""

COLOURS = {RUNNING: "green", SUBMITTED: "green", STOPPED: "yellow", COMPLETE: "cyan"}


def watch(folder: Path, metric: str | None = None, once: bool = False, form: str = "table") -> None:
    """Show how far a sweep is, until it ends, stops, or Ctrl-C.

    Args:
        metric: its mean is shown; by default what the codecs are trained for.
        once: show it once. So it is where standard output is no terminal, and in other forms than ``table``.

    Raises:
        ConfigError: the folder is none of a run; a metric that is none.
    """
    watched = Watch(_under_way(folder))
    every = METRICS | watched.facts.metrics
    if metric is not None and metric not in every and not known(metric):
        raise no_such_metric("--metric ", metric, every)
    if form != "table":
        header, rows = standings(watched.look(), metric)
        shown = render(header, rows, form)
        show(shown, form)
        return
    console = Console()
    if once or not sys.stdout.isatty():
        console.print(view(watched.look(), metric, None))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            began = time.monotonic()
            now = watched.look()
            live.update(view(now, metric, max(3, console.height - LINES_AROUND)), refresh=True)
            if now.state not in (RUNNING, SUBMITTED):
                return
            time.sleep(max(POLL_SECONDS, 5 * (time.monotonic() - began)))  # the sweep needs the cores more


def _under_way(folder: Path) -> Path:
    """Of a search the folder of that of its two sweeps that began last; any other folder as it is."""
    if not (folder / DESIGN_FILE).is_file():
        return folder
    return next((one for name in (SCORE, SEARCH) if (one := folder / name).is_dir()), folder)


def standings(now: Progress, metric: str | None) -> tuple[list[str], list[list[Cell]]]:
    """One row a method and task: how many of its trials are finished, diverged and failed, and the metric's mean."""
    header = ["method", "done", "trials", *BAD]
    if not len(now.table):
        return header, []
    table = now.table[now.table["status"] != Status.SKIPPED].reset_index(drop=True)
    finished = _numbers_only(table[table["status"].notna()])
    # Until every trial has a rate, the rate would put those that have one into tasks of their own.
    rated = bool(nominal_rate(table).notna().all())
    parts = layout(table if rated else table.drop(columns="rate_bits", errors="ignore"), now.sizes)
    with_task = parts.tasks.nunique() > 1
    runs = Results(finished, metrics=metrics_of(finished, now.metrics), sizes=now.sizes)
    name, means = _means(runs, metric, parts.of(finished.index))
    rows: list[list[Cell]] = []
    for (method, task), group in table.groupby([parts.methods, parts.tasks], sort=False):
        done = finished.loc[finished.index.intersection(group.index)]
        ended = Counts.of(done["status"])
        seconds = done["seconds"].dropna().tolist() if "seconds" in done else []
        mean, _ = means.get((str(method), str(task)), (None, 0))
        row: list[Cell] = [str(method), *([str(task)] if with_task else []), ended.trials, len(group), ended.diverged]
        rows.append([*row, ended.failed, mean, Rounded(sum(seconds) / len(seconds)) if seconds else None])
    return ["method", *(["task"] if with_task else []), *header[1:], f"{name} {INTERVAL}", "seconds"], rows


def _means(runs: Results, metric: str | None, parts: Layout) -> tuple[str, dict[tuple[str, str], tuple[Estimate, int]]]:
    """The metric's name and its means; none where no trial has it yet."""
    try:
        found = frame(runs, metric, parts=parts)
    except ConfigError:
        return metric or USUAL[1], {}
    return found.metric.name, found.means()


def _numbers_only(table: pd.DataFrame) -> pd.DataFrame:
    """What the columns of a journal have of numbers: anybody may have written it."""
    changed = {}
    for name in table.columns:
        if known(name) or name == "seed":
            values = [value if isinstance(value, int | float) and value == value else math.nan for value in table[name]]
            changed[name] = np.array([value if abs(value) <= sys.float_info.max else math.nan for value in values], float)
    return table.assign(**changed)


def view(now: Progress, metric: str | None, most: int | None) -> RenderableType:
    """What the terminal shows: the state, a bar, and the table, of which ``most`` rows; those that are under way come first."""
    header, rows = standings(now, metric)
    done, trials = header.index("done"), header.index("trials")
    if most is not None and len(rows) > most:
        rows = sorted(rows, key=lambda row: _order(row[done], row[trials]))
        hidden = len(rows) - most
        rows = rows[:most]
    else:
        hidden = 0
    table = _Table(header, rows)
    return Group(*_head(now), table, *([Text(f"and {hidden} rows more", style="dim")] if hidden else []), *_failures(now))


def _order(done: Cell, trials: Cell) -> int:
    """Rows that are under way, then finished ones, then those to come."""
    return 0 if 0 < done < trials else 1 if done == trials else 2  # type: ignore[operator]


def _head(now: Progress) -> Sequence[RenderableType]:
    total = len(now.table)
    folder = visible(str(now.folder))
    line = Text.assemble((now.state, f"bold {COLOURS[now.state]}"), f"  {folder}  {now.finished} of {total} trials")
    if now.seconds is not None:
        line.append(f", {duration(now.seconds)}")
    if now.state in (RUNNING, SUBMITTED) and now.remaining_seconds is not None:
        line.append(f", about {duration(now.remaining_seconds)} left")
    if now.without_limits:
        line.append(f", limits and references of {now.without_limits} to come")
    if now.state == SUBMITTED:
        line.append(f"; `quantbench resume {folder} --collect --allow slurm` tells of its jobs")
    if now.state == STOPPED:
        line.append(f"; `quantbench resume {visible(str(whole(now.folder)))}` goes on")
    return [line, ProgressBar(total=max(total, 1), completed=now.finished), Text()]


@dataclass(frozen=True)
class _Table:
    """The table, in the form for narrow terminals where it is wider than the console."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _table(self.header, self.rows)
        if table.__rich_measure__(console, options.update(max_width=WIDEST)).maximum <= options.max_width:
            yield table
        else:
            yield Text(render(self.header, self.rows, width=options.max_width))


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header:
        table.add_column(Text(name), justify="left" if name in ("method", "task") else "right", overflow="fold")
    bad = [place for place, name in enumerate(header) if name in BAD]
    for row in rows:
        # Text throughout: rich would read square brackets as its own markup.
        table.add_row(*(Text(visible(text(cell))) for cell in row), style="red" if any(row[place] for place in bad) else None)
    return table


def _failures(now: Progress) -> list[RenderableType]:
    """The latest reasons of trials that failed or diverged."""
    if not len(now.table):
        return []
    bad = now.table[now.table["status"].isin(BAD)]
    reasons = bad["error"].value_counts()
    lines: list[RenderableType] = [
        Text(visible(f"{count} x {reason}"), style="red", overflow="ellipsis", no_wrap=True)
        for reason, count in reasons.head(3).items()
    ]
    return [Text(), *lines] if lines else []

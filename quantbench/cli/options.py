"""Options and output that subcommands share."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from quantbench.paths import DESIGN_FILE, LATEST, OUTPUTS, SWEEP_FILE, whole
from quantbench.terminal import say

FORMATS = ("table", "csv", "json", "markdown")
USUAL = "mel_distance_db of waveforms, nmse_db of all else"
BY = "settings that make a method, separated by commas (quantizer, gradient and their settings)"
WITHIN = "settings that make a task, separated by commas (what else varies, and the rate)"


RUN = "results.csv, the folder of a run, or latest for the last one"


def run_path(word: str) -> Path:
    """The path that a word names; of ``latest`` or ``FOLDER/latest``, where there is no such file, the last run's folder."""
    path = Path(word)
    if path.name != LATEST or os.path.lexists(path):
        return path
    output = Path(OUTPUTS) if path == Path(LATEST) else path.parent
    runs = list(_runs(output))
    if not runs:
        raise argparse.ArgumentTypeError(f"{word}: there is no run in {output}")
    folder = max(runs)[1]
    say(f"{word}: {folder}", error=True)
    return folder


def _runs(output: Path) -> Iterator[tuple[int, Path]]:
    """When each run began that a folder of results, or of an experiment, holds, and its folder."""
    for name in (SWEEP_FILE, DESIGN_FILE):
        for pattern in (f"*/{name}", f"*/*/{name}"):
            for file in output.glob(pattern):
                if file.is_file() and whole(file.parent) == file.parent:
                    yield file.stat().st_mtime_ns, file.parent


def finite(word: str) -> float:
    """A number that is one."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{word}: must be a finite number")
    return number


def beside(paths: Sequence[Path], name: str) -> Path:
    """Where a reader writes that is not told where: into the only run's folder, beside the only table, else here.

    Raises:
        ConfigError: somebody put a link there, which could lead anywhere.
    """
    from quantbench.errors import ConfigError
    from quantbench.results.tables import matching

    found = [one for path in paths for one in matching(path)]
    if len(found) != 1 or not found[0].exists():
        return Path(name)
    place = (found[0] if found[0].is_dir() else found[0].parent) / name
    if place.is_symlink():
        raise ConfigError(f"{place}: is a link, and is not followed; remove it, or say with --output where to write")
    return place


def add_layout(command: argparse.ArgumentParser) -> None:
    command.add_argument("--by", help=BY)
    command.add_argument("--within", help=WITHIN)


def add_failures(
    command: argparse.ArgumentParser, usual: str, choices: Sequence[str] = ("worst", "drop", "whole-seed")
) -> None:
    command.add_argument(
        "--failures",
        default=usual,
        choices=choices,
        help="a trial that diverged or failed is the worst of all; is in no mean; or takes its seed with it, for all methods "
        f"({usual})",
    )


def with_negative_limits(words: Sequence[str]) -> list[str]:
    """The words, with ``--ylim -30,-10`` as one of them: argparse takes what begins with a dash for an option."""
    found: list[str] = []
    for word in words:
        if found and found[-1] in ("--xlim", "--ylim") and re.match(r"-[\d.]", word):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found

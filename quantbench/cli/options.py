"""Options and output that subcommands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

FORMATS = ("table", "csv", "json", "markdown")
USUAL = "mel_distance_db of waveforms, nmse_db of all else"
BY = "settings that make a method, separated by commas (quantizer, gradient and their settings)"
WITHIN = "settings that make a task, separated by commas (what else varies, and the rate)"


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

"""What reaches a terminal: one function prints, for names of folders, files and trials may be somebody else's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

FIRST_SECONDS, MOST_SECONDS = 10.0, 240.0
"""After how long work tells a log that it goes on, and how far apart two such lines are at most."""


def say(*lines: str, error: bool = False) -> None:
    """Print lines. What a terminal would obey is spelled out, a line end within a line too: it comes from a name.

    Args:
        error: on standard error.
    """
    text = "\n".join(visible(line, keep="\t") for line in lines)
    stream = sys.stderr if error else sys.stdout
    bar = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if getattr(bar, "_instances", None):  # a progress bar is on the screen, and goes on below
        bar.write(text, file=stream)  # type: ignore[union-attr]
    else:
        print(text, file=stream, flush=True)


def complain(message: object) -> None:
    """Print an error. Further lines of it are set in, so that none passes for another message."""
    first, *others = str(message).splitlines() or [""]
    say(f"error: {first}", *(f"  {line}" for line in others), error=True)


def show(text: str, form: str = "table") -> None:
    """Print a table; as CSV into a file or a pipe it stays as it is."""
    if form == "csv" and not sys.stdout.isatty():
        print(text, flush=True)
    else:
        say(*text.split("\n"))


class Seldom:
    """Lines about work that takes long, for a log: the first after ten seconds, then ever more seldom."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._due = self._began + FIRST_SECONDS

    def say(self, line: Callable[[], str]) -> None:
        """Print the line on standard error where one is due."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + min(now - self._began, MOST_SECONDS)
            say(line(), error=True)


def duration(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours} h {minute:02d} min" if hours else f"{minute} min {second:02d} s" if minute else f"{second} s"


def visible(text: str, keep: str = "\n\t") -> str:
    """Text with control characters spelled out, but for those in ``keep``: a terminal would obey them."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)

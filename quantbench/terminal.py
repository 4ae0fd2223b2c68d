"""What reaches a terminal: one function prints, for names of folders, files and trials may be somebody else's."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

FIRST_SECONDS, MOST_SECONDS = 10.0, 240.0
"""After how long work tells a log that it goes on, and how far apart two such lines are at most."""


def open_streams() -> None:
    """Have all three standard streams open, a closed one on /dev/null, and none that stumbles over what it cannot encode.

    Else the next file that is opened, as the journal, would be standard output, and what children print would go there.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the system gives the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # of a notebook or a test, which takes any text
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def say(*lines: str, error: bool = False) -> None:
    """Print lines. What a terminal would obey is spelled out, a line end within a line too: it comes from a name.

    Args:
        error: on standard error.
    """
    text = "\n".join(visible(line, keep="\t") for line in lines)
    stream = sys.stderr if error else sys.stdout
    bar = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if getattr(bar, "_instances", None):  # a progress bar is on the screen, and goes on below
        bar.write(_printable(text, stream), file=stream)  # type: ignore[union-attr]
    else:
        print(_printable(text, stream), file=stream, flush=True)


def complain(message: object) -> None:
    """Print an error. Further lines of it are set in, so that none passes for another message."""
    first, *others = str(message).splitlines() or [""]
    say(f"error: {first}", *(f"  {line}" for line in others), error=True)


def show(text: str, form: str = "table") -> None:
    """Print a table; as CSV into a file or a pipe it stays as it is."""
    if form == "csv" and not sys.stdout.isatty():
        print(_printable(text, sys.stdout), flush=True)
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


def encodable(text: str, encoding: str = "utf-8") -> str:
    """Text with what an encoding lacks spelled out: in UTF-8 bytes of a file's name that are no text."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _printable(text: str, stream: TextIO) -> str:
    return encodable(text, getattr(stream, "encoding", None) or "utf-8")

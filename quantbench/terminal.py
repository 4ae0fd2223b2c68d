"""What reaches a terminal: one function prints, for names of folders, files and trials may be somebody else's."""

from __future__ import annotations

import sys


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


def visible(text: str, keep: str = "\n\t") -> str:
    """Text with control characters spelled out, but for those in ``keep``: a terminal would obey them."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)

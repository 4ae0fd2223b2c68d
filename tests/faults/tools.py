"""Runs the command line in this process, with a time limit and a look at all files around it."""

import contextlib
import io
import os
import signal
import sys
from pathlib import Path

from quantbench.cli import main

SECONDS = 240
"""More than any of these commands takes, on a busy machine too."""


class TooLong(BaseException):
    """No command catches it."""


@contextlib.contextmanager
def limited(seconds=SECONDS):
    def stop(signum, frame):
        raise TooLong(f"still running after {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def call(words):
    """Exit code, standard output and standard error of a command."""
    out, err = io.StringIO(), io.StringIO()
    path, arguments = list(sys.path), list(sys.argv)
    try:
        with limited(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(list(words))
            except SystemExit as end:
                code = end.code
    finally:
        sys.path[:], sys.argv[:] = path, arguments
    return code, out.getvalue(), err.getvalue()


def files(folder):
    """Content of every file in a folder, and where links lead."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            found[str(path)] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found


def assert_told(code, out, err):
    """What a command owes whoever typed nonsense: an exit code it documents, a message, no traceback."""
    assert code in (0, 1, 2), (code, out, err)
    assert "Traceback" not in out + err
    assert out if code == 0 else err

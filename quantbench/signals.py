"""Ctrl-C, SIGTERM and the end of the terminal are one interruption; once a command winds up, further ones change nothing.

Imports next to nothing: the command `quantbench` begins with it.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

TYPE_CHECKING = False  # as of typing, whose import takes longer than all others here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""Exit code after one of them."""
_winding_up = False
_held = 0
_waiting = False


def _interrupt(signum: int, frame: FrameType | None) -> None:
    global _waiting
    if _held:
        _waiting = True
    elif not _winding_up:
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Have an interruption wait meanwhile: what is half begun, as a process, cannot be ended."""
    global _held, _waiting
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if _waiting and not _held:
            _waiting = False
            if not _winding_up:
                raise KeyboardInterrupt


def catch() -> dict[signal.Signals, Any]:
    """Have each interruption raise KeyboardInterrupt; gives the handlers that were there, of those that are replaced.

    What is ignored stays ignored, for nohup has a run outlive its terminal. Another program's own handler of Ctrl-C stays, too.
    """
    if threading.current_thread() is not threading.main_thread():  # of a program that has others; signals are not for this one
        return {}
    before = {one: signal.getsignal(one) for one in INTERRUPTIONS}
    caught = {one: old for one, old in before.items() if old not in (signal.SIG_IGN, _interrupt, None)}
    if caught.get(signal.SIGINT) not in (None, signal.SIG_DFL, signal.default_int_handler):
        del caught[signal.SIGINT]
    for one in caught:
        signal.signal(one, _interrupt)
    return caught


def wind_up() -> None:
    """From here on let no interruption disturb this thread, which keeps what is finished and ends."""
    global _winding_up
    if threading.current_thread() is threading.main_thread():
        _winding_up = True


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM, and the end of the terminal, as Ctrl-C: keep what is finished, write the tables, end."""
    global _winding_up
    replaced = catch()
    over = False
    try:
        yield
    except KeyboardInterrupt:
        over = not replaced  # the command that was interrupted ends, and until it has ended nothing disturbs it
        raise
    finally:
        for one, handler in replaced.items():
            signal.signal(one, handler)
        if not over and threading.current_thread() is threading.main_thread():
            _winding_up = False


def ignore() -> None:
    """Ignore all further interruptions: this process has done its work, and Python only tidies up."""
    for one in INTERRUPTIONS:
        signal.signal(one, signal.SIG_IGN)

"""Ctrl-C is told to all processes of a terminal; what it means is for the driver alone to decide."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

from quantbench.imports import children_import_safely


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from this thread meanwhile, and for good from the threads and processes that it starts."""
    children_import_safely()
    resource_tracker.ensure_running()  # started within, it would let Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, and the end of the terminal, as Ctrl-C: keep what is finished, write the tables, end."""
    if threading.current_thread() is not threading.main_thread():  # of a program that has others; signals are not for this one
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What is ignored stays ignored: nohup has a run outlive its terminal.
    caught = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    previous = {one: signal.signal(one, interrupt) for one in caught}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)

"""Ctrl-C is told to all processes of a terminal; what it means is for the driver alone to decide."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

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

"""How far a run is: a bar on a terminal, and where standard error is none, as in a log, a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from quantbench.terminal import Seldom, duration
from quantbench.training.phases import PHASES

REFRESH_SECONDS = 1.0
"""How often a bar that stands still is drawn again: its clock goes on."""


class Bar:
    """Counts trials, a part of one too, and names what is done now.

    Args:
        total: trials to come.
        hidden: show nothing.
    """

    def __init__(self, total: int, hidden: bool = False) -> None:
        form = "{l_bar}{bar}| {n:.1f}/{total} trials [{elapsed}<{remaining}, {rate_noinv_fmt}]"
        self._bar: tqdm[Any] = tqdm(
            total=total, desc=PHASES.waiting, unit="trial", bar_format=form, disable=True if hidden else None, smoothing=0.1
        )
        self.total, self.done, self.phase = total, 0.0, PHASES.waiting
        self._log = Seldom() if self._bar.disable and not hidden else None
        self._began = self._drawn = time.monotonic()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def advance(self, trials: float, phase: str = "") -> None:
        """Go on by so many trials.

        Args:
            phase: what is done from now on; empty for the same as before.
        """
        self.done += trials
        if phase and phase != self.phase:
            self.phase = phase
            self._bar.set_description_str(phase, refresh=False)
            self._drawn = 0
        self._bar.update(trials)
        self.tick()

    def to(self, done: float) -> None:
        """Go to so many trials, forward or back."""
        self.advance(done - self.done)

    def tick(self) -> None:
        """Say that time goes on, where that is due."""
        if self._log:
            self._log.say(self.line)
        elif (now := time.monotonic()) > self._drawn + REFRESH_SECONDS:
            self._drawn = now
            self._bar.refresh()

    def line(self) -> str:
        """What a log is told, as ``12 of 96 trials, 35 s, about 3 min left (training)``."""
        elapsed = time.monotonic() - self._began
        text = f"{int(self.done + 1e-6)} of {self.total} trials, {duration(elapsed)}"
        if 0 < self.done < self.total:
            text += f", about {_roughly(elapsed / self.done * (self.total - self.done))} left"
        return f"{text} ({self.phase})"


def _roughly(seconds: float) -> str:
    """A time that is not known better."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""Where the time of a sweep goes, phase by phase, within the process that drives it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from quantbench.sweeps import execute, journal, yardsticks
from quantbench.training import run, trainer

MEASURING = "measuring the size of stacks"
TRAINING, CURVES = "training", "curves"
PHASES = (MEASURING, TRAINING, CURVES, "final evaluation", "limits and references", "journal", "tables")
REST = "imports, planning, start of stacks"


class Phases:
    """Seconds of every phase; a phase within another is counted by itself, but for those within ``MEASURING``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.open: list[str] = []

    def watch(self) -> None:
        """From now on, in this process."""
        trainer.Training.advance = self.timed(TRAINING, trainer.Training.advance)  # type: ignore[method-assign]
        trainer.Training._log = self.timed(CURVES, trainer.Training._log)  # type: ignore[method-assign]
        run.measure = self.timed("final evaluation", run.measure)
        yardsticks.find = self.timed("limits and references", yardsticks.find)
        journal.Journal.write = self.timed("journal", journal.Journal.write)  # type: ignore[method-assign]
        execute.size_on_gpu = self.timed(MEASURING, execute.size_on_gpu)
        execute.write_tables = self.timed("tables", execute.write_tables)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added to its phase's and taken off the phase's around it."""

        def timed(*arguments: Any, **named: Any) -> Any:
            if MEASURING in self.open:
                return function(*arguments, **named)
            self.open.append(name)
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                taken = time.perf_counter() - began
                self.open.pop()
                self.seconds[name] += taken
                if self.open:
                    self.seconds[self.open[-1]] -= taken

        return timed

    def of(self, total: float) -> dict[str, float]:
        """Seconds by phase, with what is left of ``total``."""
        found = {name: self.seconds[name] for name in PHASES if name in self.seconds}
        return found | {REST: total - sum(found.values())}

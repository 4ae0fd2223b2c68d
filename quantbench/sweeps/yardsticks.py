"""Limits and references of trained trials, found beside the training: nothing waits for them but the tables.

A trial asks for two things, its limit and its reference. What asks of the same source, world and rate is one job, and there
are never two of these at a time: so everything is found once, and then read from the folder where it is kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.config import canonical, instance
from quantbench.results.completions import Completion, measured
from quantbench.schema import Settings
from quantbench.signals import held
from quantbench.sweeps.executors import Engine, WorkerDied
from quantbench.sweeps.executors.processes import ProcessEngine
from quantbench.sweeps.find import FAILED, LIMITS, REFERENCE, Ask, find, not_found
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import describe, unheard
from quantbench.terminal import say
from quantbench.training import NOTHING, found
from quantbench.training.bounds import Row
from quantbench.training.yardsticks import SWITCHED_OFF

Key = tuple[str, str, int, float | None]
"""What is looked for; the source; its seed, 0 where all seeds share a world; and the rate, for a reference."""


@dataclass
class _Job:
    key: Key
    asks: list[Ask]
    alone: bool = False


class Yardsticks:
    """Has them found: by helper processes, as many as there are cores for, or in this process once all stacks are trained.

    Args:
        engine: which trains, and says how many helpers there may be.
        references: whether there are any.
        spare_folder: where what takes long is kept meanwhile, if the user's cache is switched off or cannot be written.
        keep: takes what is found of whole trials, a few at a time.
        told: how many trials are left, after each look.
    """

    def __init__(
        self,
        engine: Engine,
        references: bool,
        spare_folder: Path,
        keep: Callable[[list[Completion]], None],
        told: Callable[[int], None] = lambda left: None,
    ) -> None:
        self.engine, self.references, self.keep, self.told = engine, references, keep, told
        self.folder, self._spare_folder = found.place(), spare_folder
        self.running: dict[Future[list[Row]], _Job] = {}
        self._waiting: dict[Key, list[Ask]] = {}
        self._suspects: deque[_Job] = deque()
        self._rows: dict[str, tuple[dict[str, Any], Row, set[str]]] = {}
        self._texts: dict[int, tuple[Settings, str, bool, int]] = {}
        self._helpers: ProcessEngine | None = None
        self._busy: set[Key] = set()
        self._alone = False

    @property
    def left(self) -> int:
        """Trials that something is still to be found for."""
        return len(self._rows)

    def ask(self, trial: Trial, record: Record) -> None:
        """Have the limits and the reference of a trained trial found.

        What was asked before of the same record is asked once; of another record of this trial, it is no answer any more.
        """
        of = measured(record.row)
        if trial.id in self._rows and self._rows[trial.id][0] == of:  # a job may bring a stack that the journal had, too
            return
        ask = Ask(trial.id, trial.config["simulator"], trial.config["seed"], of)
        parts = {LIMITS, REFERENCE} if self.references else {LIMITS}
        off: Row = {"reference_mse": SWITCHED_OFF.mse, "reference_note": SWITCHED_OFF.note}
        self._rows[trial.id] = (of, {} if self.references else off, parts)
        for what in sorted(parts):
            self._waiting.setdefault(self._key(what, ask), []).append(ask)

    def look(self, busy: int) -> None:
        """Take what was found, and have more looked for.

        Args:
            busy: how many stacks train now, or will in a moment.
        """
        new = self._taken()
        if not self.engine.helpers:
            if not busy and (job := self._next()):
                new += self._file(job, find(job.key[0], job.asks, self.references, self._place()))
        else:
            while len(self.running) < self.engine.spare(busy) and (job := self._next()):
                self._submit(job)
        if new:
            self.keep(new)
        if self._rows or new:
            self.told(self.left)

    def rescue(self) -> None:
        """Keep what was found when the run is interrupted."""
        if new := self._taken():
            self.keep(new)

    def close(self) -> None:
        """Stop at once."""
        if self._helpers is not None:
            self._helpers.close()
        if self.folder is not None:
            found.tidy(self.folder)

    def _key(self, what: str, ask: Ask) -> Key:
        node = ask.simulator
        if id(node) not in self._texts:
            simulator = instance("simulator", node)
            self._texts[id(node)] = node, canonical(node), simulator.shared_world, simulator.target_dim
        _, text, shared, dim = self._texts[id(node)]
        return what, text, 0 if shared else ask.seed, _rate(ask.measured, dim) if what == REFERENCE else None

    def _place(self) -> Path:
        """The folder where what takes long is kept."""
        return self.folder or self._spare_folder

    def _next(self) -> _Job | None:
        """The next job: one that was lost with its worker only while no other runs."""
        if self._suspects:
            return None if self.running else self._suspects.popleft()
        if self._alone:
            return None
        key = next((key for key in self._waiting if key not in self._busy), None)
        return None if key is None else _Job(key, sorted(self._waiting.pop(key), key=lambda ask: ask.seed))

    def _submit(self, job: _Job) -> None:
        if self._helpers is None:
            with held():
                self._helpers = ProcessEngine(self.engine.helpers, ["cpu"], unheard, NOTHING)
        try:
            future = self._helpers.call(find, job.key[0], job.asks, self.references, self._place())
        except (BrokenProcessPool, OSError) as error:  # the system allows no further process
            future = Future()
            future.set_exception(error)
        self.running[future] = job
        self._busy.add(job.key)
        self._alone = job.alone

    def _taken(self) -> list[Completion]:
        """What helpers have found; what was lost with one is looked for once more, alone."""
        new: list[Completion] = []
        for future in [one for one in self.running if one.done()]:
            job = self.running.pop(future)
            self._busy.remove(job.key)
            self._alone = False  # for if it was, no other ran
            try:
                new += self._file(job, future.result())
            except WorkerDied as error:
                if job.alone:
                    new += self._file(job, [not_found(job.key[0], str(error)) for _ in job.asks])
                else:
                    job.alone = True
                    self._suspects.append(job)
            except Exception as error:  # what a helper cannot even be asked: no trial fails for that
                new += self._file(job, [not_found(job.key[0], describe(error)) for _ in job.asks])
        return new

    def _file(self, job: _Job, rows: Sequence[Row]) -> list[Completion]:
        """The trials of which all is found now."""
        new = []
        for reason in dict.fromkeys(str(note) for row in rows for note in row.values() if str(note).startswith(FAILED)):
            say(f"{job.key[0]} of {job.asks[0].trial} and trials alike: {reason}", error=True)
        for ask, row in zip(job.asks, rows, strict=True):
            of, whole, parts = self._rows.get(ask.trial, (None, {}, set()))
            if of is not ask.measured:
                continue
            whole.update(row)
            parts.remove(job.key[0])
            if not parts:
                new.append(Completion(ask.trial, of, whole))
                del self._rows[ask.trial]
        return new


def _rate(row: Row, dim: int) -> float | None:
    """What a reference depends on beside the source: the nominal rate; without one, what was spent, rounded as there."""
    rate, spent = row["rate_bits"], row["spent_bits"]
    if isinstance(rate, float) or not isinstance(spent, float):
        return rate if isinstance(rate, float) else None
    return -math.floor(100 * spent / dim) / 100

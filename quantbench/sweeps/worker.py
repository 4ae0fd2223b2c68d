"""What a worker does: train one stack and give its rows. Runs in the driver, in a process or on another machine."""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from quantbench.config import build_stack, find_device
from quantbench.sweeps.plan import Trial
from quantbench.training import Outcome, train

Advance = Callable[[float], None]
"""Told by how many trials the work has come forward; a part of a trial's steps is a part of a trial."""


@dataclass(frozen=True)
class Record:
    """What is known of a finished trial.

    Attributes:
        trial: its identity.
        row: status, error, metrics and cost, by column.
        curves: ``(step, metric, value)``.
    """

    trial: str
    row: dict[str, Any]
    curves: list[tuple[int, str, float]]


def run_stack(trials: Sequence[Trial], device: str, advance: Advance = lambda trials: None) -> list[Record]:
    """Train a stack. An exception fails the trial it comes from and no other, and is never raised."""
    # One thread: results are then bit-equal whatever the stack's size, and one process per core is faster than threads.
    torch.set_num_threads(1)
    try:
        return _train(trials, device, advance)
    except Exception as error:
        if len(trials) == 1:
            return [failure(trials[0], describe(error))]
        return [record for trial in trials for record in run_stack([trial], device, advance)]


def _train(trials: Sequence[Trial], device: str, advance: Advance) -> list[Record]:
    found = find_device(device)
    stack = build_stack([trial.config for trial in trials], found)
    outcomes = train(stack, lambda steps: advance(len(trials) * steps / stack.train.steps))
    cost = {"stack_size": len(trials), "device": str(found)}
    return [_record(trial, outcome, cost) for trial, outcome in zip(trials, outcomes, strict=True)]


def _record(trial: Trial, outcome: Outcome, cost: dict[str, Any]) -> Record:
    status = {"status": "diverged" if outcome.diverged else "completed", "error": outcome.diverged or ""}
    return Record(trial.id, status | outcome.metrics | cost, outcome.curves)


def failure(trial: Trial, error: str) -> Record:
    """The record of a trial that could not be trained."""
    return Record(trial.id, {"status": "failed", "error": error}, [])


def describe(error: BaseException) -> str:
    """An exception in one line, with the place it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def keep_memory() -> None:
    """Ask glibc to keep freed memory: a step frees and takes the same megabytes again, and fresh pages are slow.

    Worth 10 % with STE and 30 % with soft-to-hard on the CPU. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    trim_threshold, most_mappings = -1, -4
    mallopt(trim_threshold, 2**30)
    mallopt(most_mappings, 0)  # the largest block that is not mapped afresh has an upper bound of 32 MiB, which is too small

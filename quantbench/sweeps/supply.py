"""Hands out stacks, cut smaller where memory asks for it; on a GPU it finds out how large they should be."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import torch

from quantbench.config import build_stack
from quantbench.devices import find_device, workers_devices
from quantbench.results.schema import Status
from quantbench.sweeps.balance import evenly
from quantbench.sweeps.trial import Record, Trial
from quantbench.sweeps.worker import describe, free_memory, is_out_of_memory
from quantbench.terminal import say
from quantbench.training.probe import probe

FIRST = 64
"""Trials of the stack that is measured first; fewer trials are trained together without measuring."""
FASTER = 1.1
"""Twice the trials must train this much more trial-steps a second to be worth the memory."""
SHARE = 0.7
"""Of the free memory, what stacks may take: the rest is lost to fragments and to what a short measurement does not see."""

Measure = Callable[[int], tuple[float, int]]
"""From a number of trials to seconds a step and bytes; raises an error of ``is_out_of_memory`` when they do not fit."""


def fitting_size(measure: Measure, most: int, room: float) -> int:
    """How many trials, at most ``most``, to train together in ``room`` bytes: twice as many as long as that is faster."""
    size = min(FIRST, most)
    if size == most:
        return most
    while (found := _try(measure, size)) is None:
        if size == 1:
            return 1
        size //= 2
    while True:
        seconds, taken = found
        fitting = int(room * size / max(1, taken))
        larger = min(2 * size, most, fitting)
        if larger <= size:
            return max(1, min(size, fitting))
        found = _try(measure, larger)
        if found is None or larger / found[0] <= _worth(larger / size) * size / seconds:
            return size
        size = larger


def _worth(ratio: float) -> float:
    """How much faster a stack must be that is larger by ``ratio``."""
    return float(FASTER ** math.log2(ratio))


def _try(measure: Measure, size: int) -> tuple[float, int] | None:
    """The measurement, or None where memory does not suffice."""
    try:
        return measure(size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    free_memory()
    return None


def size_on_gpu(trials: Sequence[Trial], name: str, workers: int) -> int:
    """How many of these trials, all of one shape, to train together on the GPU ``name``, by measurement.

    Of several GPUs the smallest is measured, for a stack must fit whichever trains it. What the trials find is not touched: the
    measured trainings are thrown away, and random numbers belong to a training.

    Args:
        workers: how many share a GPU.
    """
    device, *others = map(torch.device, workers_devices(find_device(name)))
    if others:
        device = min(device, *others, key=lambda one: torch.cuda.get_device_properties(one).total_memory)

    def measure(size: int) -> tuple[float, int]:
        return probe(build_stack([trial.config for trial in trials[:size]], device))

    free_memory()
    room = SHARE * torch.cuda.mem_get_info(device)[0] / workers
    try:
        return fitting_size(measure, len(trials), room)
    except Exception as error:  # of a user's own class, most likely; it will be told again, trial by trial
        size = min(FIRST, len(trials))
        say(f"the stack size could not be measured: {describe(error)}; stacks of at most {size} are trained", error=True)
        return size
    finally:
        free_memory()


class Supply:
    """Stacks to train, one after the other.

    Args:
        stacks: in their order, each of trials of one shape.
        size: how many of these trials to train together; None for all. Asked once a shape.
    """

    def __init__(self, stacks: Sequence[Sequence[Trial]], size: Callable[[Sequence[Trial]], int] | None = None) -> None:
        self._waiting = deque(list(stack) for stack in stacks)
        self._size = size
        self._largest: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self) -> list[Trial]:
        """The next stack."""
        stack = self._waiting.popleft()
        shape = stack[0].shape
        if self._size is not None and shape not in self._largest:
            self._largest[shape] = self._size(stack)
        largest = self._largest.get(shape, len(stack))
        first, *rest = evenly(stack, math.ceil(len(stack) / largest))
        self._waiting.extendleft(reversed(rest))
        return first

    def learn(self, stack: Sequence[Trial], records: Sequence[Record]) -> None:
        """Note when memory did not suffice for a stack and it was halved: later ones of its shape are made as small."""
        if any(record.row["status"] == Status.FAILED for record in records):
            return
        largest = max(int(record.row["stack_size"]) for record in records)
        if largest < len(stack):
            self._largest[stack[0].shape] = largest

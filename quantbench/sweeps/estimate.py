"""How long a search takes on this machine, from a few short trainings."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import nullcontext

from quantbench import kernels
from quantbench.config import build_stack
from quantbench.devices import find_device
from quantbench.sweeps.balance import cost, ending
from quantbench.sweeps.plan import Plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.trial import Trial
from quantbench.sweeps.worker import one_thread
from quantbench.training import Keep
from quantbench.training.measure import measure
from quantbench.training.run import begin

WARM, STEPS = 8, 16
"""Optimizer steps of a training before those that are timed, and these."""
STACKS, TRIALS = 12, 4
"""Stacks that are timed, evenly spread over all, and how many of their trials at most."""


def estimate(planned: Plan, further: int) -> str:
    """Lines that say how long a planned search takes, and ``further`` trainings like its own.

    A few stacks are trained for some steps and thrown away. The others are taken to be as much dearer or cheaper than the costs
    say by which stacks are cut as those that were timed. References are not timed.
    """
    scheduled = schedule(planned)
    workers = scheduled.workers or 1
    costs = [cost(stack[0]).of(len(stack)) for stack in scheduled.stacks]
    every = len(scheduled.stacks)
    chosen = sorted({i * every // STACKS for i in range(STACKS)} & set(range(every)))
    device = find_device(planned.run.device)
    if device.type == "cpu":
        kernels.ready(lambda: None)
    tried = [scheduled.stacks[place][:TRIALS] for place in chosen]
    _seconds(tried[-1], planned.run.device)  # which pays for what is loaded once
    rate = sum(_seconds(one, planned.run.device) for one in tried) / sum(cost(one[0]).of(len(one)) for one in tried)
    search = rate * ending(costs, workers)
    trainings = sum(map(len, scheduled.stacks))
    whole = search * (1 + further / max(1, trainings))
    return (
        f"estimate for {workers} at a time, nothing else running: {_time(whole)} in all, {_time(search)} of it for the search "
        f"({trainings} trainings in {every} stacks; {len(chosen)} were tried for {STEPS} steps)"
    )


def _seconds(stack: Sequence[Trial], device: str) -> float:
    """What the whole training of a stack takes."""
    configs = copy.deepcopy([trial.config for trial in stack])
    steps = configs[0]["train"]["steps"]
    built = build_stack(configs, find_device(device))
    alone = built.device.type == "cpu"
    clock = time.process_time if alone else time.perf_counter  # what others do on this machine meanwhile does not count
    with one_thread() if alone else nullcontext():
        start = clock()
        training = begin(built)
        begun = clock()
        training.advance(WARM)
        warm = clock()
        training.advance(STEPS)
        stepped = clock()
        measure(training, Keep(references=False))
        done = clock()
    taken = training.step - WARM if training.step > WARM else training.step
    stepping = (stepped - warm) if training.step > WARM else (stepped - begun)
    return float((begun - start) + (done - stepped) + stepping * steps / taken)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

"""What a worker does: train one stack and give its rows. Runs in the driver, in a process or on another machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from quantbench.components import Component, size_settings
from quantbench.config import build_stack, instance, setting
from quantbench.devices import find_device
from quantbench.errors import NotWritten, interrupted
from quantbench.points import Points
from quantbench.results.schema import Status
from quantbench.sweeps.trial import Record, Trial, failure
from quantbench.training import NOTHING, Keep, Outcome, TrainSettings, train
from quantbench.training.phases import PHASES

Advance = Callable[[float, str], None]
"""Told by how many trials the work has come forward, parts of trials counted, and what is done now."""

TAIL = 0.1
"""Share of a trial that counts as done only once it is measured: a bar that waits for that does not stand at its end."""

Job = Callable[[Sequence[Trial], str, Advance, Keep], list[Record]]
"""What a worker does with a stack, on a device; gives a record of each trial."""

NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
"""Signs of it in the text of a RuntimeError; PyTorch has an error of its own for the GPU's allocator only."""


def unheard(trials: float, phase: str) -> None:
    """For whom nobody waits."""


def run_stack(trials: Sequence[Trial], device: str, advance: Advance = unheard, keep: Keep = NOTHING) -> list[Record]:
    """Train a stack. An exception fails the trial it comes from and no other, and is never raised, but for NotWritten.

    Where memory does not suffice, the stack is halved; a single trial that does not fit fails.
    """
    with one_thread():
        return _run(trials, device, advance, keep)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread meanwhile: results are bit-equal whatever a stack's size, and a process a core beats threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # of numpy, for the limits
            yield
    finally:
        torch.set_num_threads(before)


def _run(trials: Sequence[Trial], device: str, advance: Advance, keep: Keep) -> list[Record]:
    done = 0.0

    def count(trials: float, phase: str) -> None:
        nonlocal done
        done += trials
        advance(trials, phase)

    try:
        return _train(trials, device, count, keep)
    except NotWritten:  # so would be what all other trials leave
        raise
    except (Exception, SystemExit) as error:
        if interrupted(error):
            raise KeyboardInterrupt from error
        short = is_out_of_memory(error)
        if len(trials) == 1:
            return [failure(trials[0], _too_large(trials[0], device, error) if short else describe(error))]
    # The error is gone here, and with it the tensors that its traceback held.
    advance(-done, PHASES.training)
    if short:
        free_memory()
    size = math.ceil(len(trials) / 2) if short else 1
    parts = [trials[i : i + size] for i in range(0, len(trials), size)]
    return [record for part in parts for record in _run(part, device, advance, keep)]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, on the CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in NO_MEMORY)


def free_memory() -> None:
    """Give unused memory of the GPU back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _too_large(trial: Trial, device: str, error: BaseException) -> str:
    """What to say of a trial that does not fit by itself: the settings that decide how much memory it takes."""
    parts: dict[str, Component] = {"train": TrainSettings(**trial.config["train"])}
    parts |= {group: instance(group, trial.config[group]) for group in ("codec", "quantizer", "gradient", "loss", "simulator")}
    values = {name: setting(trial.config, name) for group, part in parts.items() for name in size_settings(part, group)}
    # A number that is not whole, as a weight of the rate, takes no memory.
    settings = ", ".join(f"{name}={value}" for name, value in values.items() if isinstance(value, int | tuple | list))
    return f"out of memory: this trial alone does not fit on device={device}; lower {settings} ({' '.join(str(error).split())})"


def _train(trials: Sequence[Trial], device: str, advance: Advance, keep: Keep) -> list[Record]:
    with current(find_device(device)) as found:
        return _train_on(found, trials, advance, keep)


@contextmanager
def current(device: torch.device) -> Iterator[torch.device]:
    """Make a GPU the one that is meant by whoever names none, as a module of another package may."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        yield device


def _train_on(found: torch.device, trials: Sequence[Trial], advance: Advance, keep: Keep) -> list[Record]:
    began = time.process_time()
    forget_peak(found)
    stack = build_stack([trial.config for trial in trials], found, tuple(trial.id for trial in trials))
    step = (1 - TAIL) * len(trials) / stack.train.steps

    def told(phase: str, share: float) -> None:
        advance(TAIL * len(trials) * share, phase)

    outcomes = train(stack, lambda steps: advance(steps * step, PHASES.training), keep, told)
    cost = {"stack_size": len(trials), "device": str(found), "peak_memory_mb": peak_memory(found)}
    cost["cpu_seconds"] = (time.process_time() - began) / len(trials)
    return [_record(trial, outcome, cost) for trial, outcome in zip(trials, outcomes, strict=True)]


def _record(trial: Trial, outcome: Outcome, cost: dict[str, Any]) -> Record:
    status = {"status": Status.DIVERGED if outcome.diverged else Status.COMPLETED, "error": outcome.diverged or ""}
    return Record(trial.id, status | outcome.metrics | cost, Points(outcome.curves))


def describe(error: BaseException) -> str:
    """An exception in one line, with the place it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def forget_peak(device: torch.device) -> None:
    """Measure the peak of memory anew from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux only
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float | None:
    """Most MiB taken at a time since ``forget_peak``: of the GPU, or of this process; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def keep_memory() -> None:
    """Ask glibc to keep freed memory: a step frees and takes the same megabytes again, and fresh pages are slow.

    Worth about 5 % with STE on the CPU. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    trim_threshold, mmap_threshold, gigabyte = -1, -3, 2**30
    mallopt(trim_threshold, gigabyte)
    mallopt(mmap_threshold, gigabyte)

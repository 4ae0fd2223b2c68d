"""Trains one stack from beginning to end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from quantbench.errors import ConfigError, brief
from quantbench.training import checkpoint
from quantbench.training.configuration import configuration
from quantbench.training.export import export
from quantbench.training.keep import NOTHING, Keep
from quantbench.training.measure import measure
from quantbench.training.phases import PHASES, Told, silent
from quantbench.training.stack import Outcome, Stack
from quantbench.training.trainer import BATCHES_AHEAD, Report, Training
from quantbench.training.warm import warm_weights


def train(stack: Stack, report: Report = lambda steps: None, keep: Keep = NOTHING, told: Told = silent) -> list[Outcome]:
    """Train all trials of a stack and measure each with the hard quantizer.

    A trial whose loss or gradient is not finite, or whose distortion explodes, is frozen as it was before that step and
    marked; the others do not notice.

    Args:
        report: called now and then with the number of steps since the last call.
        keep: what to measure beside the metrics, and what to leave in the folder of the run.
        told: of each phase when it begins.

    Raises:
        ConfigError: this is no stack; the checkpoint in the folder is of another configuration, or cannot be read.
    """
    if not isinstance(stack, Stack):
        raise ConfigError(f"stack={brief(stack)}: must be a Stack, as Stack.of gives it")
    began = time.perf_counter()
    told(PHASES.warm_start if stack.train.warm_start else PHASES.training, 0)
    if keep.folder and keep.checkpoint_every:
        training = _with_checkpoints(stack, report, checkpoint.path(keep.folder, stack.names), keep, told)
    else:
        training = begin(stack, keep.folder)
        told(PHASES.training, 0)
        training.advance(report=report)
    outcomes = measure(training, keep, told)
    if keep.folder and keep.export:
        export(training.model, training.held_out, training.streams, keep.folder)
    for outcome in outcomes:
        outcome.metrics["steps_by"] = training.steps_by
        outcome.metrics["seconds"] = (time.perf_counter() - began) / len(outcomes)
    return outcomes


def begin(stack: Stack, folder: Path | None = None) -> Training:
    """A training before its first step: after the warm start, where there is one, and with its quantizer started.

    Args:
        folder: of the run, where warm starts are shared.
    """
    training = Training(stack)
    if stack.train.warm_start:
        training.model.load_codec(warm_weights(stack, folder))
    training.start()
    return training


def _with_checkpoints(stack: Stack, report: Report, file: Path, keep: Keep, told: Told) -> Training:
    """All steps from where the last checkpoint was written."""
    about: dict[str, Any] = {"names": stack.names, "trials": [configuration(stack, trial) for trial in range(len(stack.seeds))]}
    if file.exists():
        training = Training(stack)
        state = checkpoint.load(file, about["trials"], stack.device)
        try:
            training.load_state_dict(state)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}; run the sweep anew, or delete the file to start these trials anew") from error
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise checkpoint.unreadable(file, error) from error
        report(training.step)
    else:
        training = begin(stack, keep.folder)
    told(PHASES.training, 0)
    # Where no frames are drawn ahead: elsewhere these are a part of the state, and most of its bytes.
    between = BATCHES_AHEAD * math.ceil(keep.checkpoint_every / BATCHES_AHEAD)
    while training.step < stack.train.steps:
        training.advance(between, report)
        if training.step < stack.train.steps:
            checkpoint.save(file, training.state_dict(), about)
    return training

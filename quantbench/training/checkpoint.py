"""Checkpoints: all that a training needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quantbench.errors import ConfigError
from quantbench.training.describe import describe, differences

if TYPE_CHECKING:
    from quantbench.training.trainer import Training

FOLDER = "checkpoints"


def path(folder: Path, names: Sequence[str]) -> Path:
    """Where the checkpoint of a stack of these trials lies in the folder of a run."""
    stem = names[0] if len(names) == 1 else hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return folder / FOLDER / f"{stem}.safetensors"


def save(training: Training, step: int, start: Tensor, file: Path) -> None:
    """Write a training's state after ``step``, in one move: a reader never sees half of it.

    Args:
        start: standard deviation of the encoder's output before training, (trials,).
    """
    from safetensors.torch import save_file

    tensors = {f"model.{i}": tensor for i, tensor in enumerate(training.model.tensors())}
    tensors |= {f"snapshot.{i}": tensor for i, tensor in enumerate(training.snapshot)}
    tensors |= {f"generator.{name}": states for name, states in training.streams.state().items()}
    tensors |= {
        "adam.mean": training.adam.mean,
        "adam.square": training.adam.square,
        "frozen": training.frozen,
        "norm": training.norm,
        "start": start,
    }
    if training.critic_adam is not None:
        tensors |= {"critic_adam.mean": training.critic_adam.mean, "critic_adam.square": training.critic_adam.square}
    about = {
        "step": step,
        "names": list(training.stack.names),
        "trials": [describe(training.stack, trial) for trial in range(len(training.stack.seeds))],
        "outcomes": [[one.metrics, one.curves, one.diverged] for one in training.outcomes],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # never through a link
    save_file(
        {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, partial, {"about": json.dumps(about)}
    )
    os.replace(partial, file)


def load(training: Training, file: Path) -> tuple[int, Tensor]:
    """Bring a training of the same trials to where the checkpoint was written; gives the step and ``start``.

    Raises:
        ConfigError: the checkpoint is of another configuration, or cannot be read.
    """
    about, tensors = _read(file, training.stack.device)
    for trial, there in enumerate(about["trials"]):
        if unlike := differences(there, describe(training.stack, trial)):
            raise ConfigError(
                f"{file}: is a checkpoint of another configuration ({'; '.join(unlike)}); delete it to start anew"
            )
    with torch.no_grad():
        for i, tensor in enumerate(training.model.tensors()):
            tensor.copy_(tensors[f"model.{i}"])
    training.snapshot = [tensors[f"snapshot.{i}"] for i in range(sum(name.startswith("snapshot.") for name in tensors))]
    training.streams.restore(
        {name.partition(".")[2]: state for name, state in tensors.items() if name.startswith("generator.")}
    )
    training.adam.mean.copy_(tensors["adam.mean"])
    training.adam.square.copy_(tensors["adam.square"])
    training.adam.steps = about["step"]
    if training.critic_adam is not None:
        training.critic_adam.mean.copy_(tensors["critic_adam.mean"])
        training.critic_adam.square.copy_(tensors["critic_adam.square"])
        training.critic_adam.steps = about["step"]
    training.frozen, training.norm = tensors["frozen"], tensors["norm"]
    for outcome, (metrics, curves, diverged) in zip(training.outcomes, about["outcomes"], strict=True):
        outcome.metrics, outcome.curves, outcome.diverged = metrics, [tuple(point) for point in curves], diverged
    return about["step"], tensors["start"]


def foreign(folder: Path, names: Sequence[str]) -> dict[Path, list[dict[str, Any]]]:
    """Checkpoints in the folder of a run of trials that are not among ``names``, and what those trials are."""
    found = {}
    for file in sorted((folder / FOLDER).glob("*.safetensors")):
        about = _read(file, None)[0]
        if not set(about["names"]) <= set(names):
            found[file] = about["trials"]
    return found


def _read(file: Path, device: torch.device | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint says of itself, and its tensors where a device is given. Raises ConfigError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt", str(device or "cpu")) as stored:
            about = json.loads(stored.metadata()["about"])
            return about, {name: stored.get_tensor(name) for name in stored.keys()} if device else {}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read as a checkpoint ({error}); delete it to start anew") from error

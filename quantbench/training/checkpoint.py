"""Checkpoints: a file of tensors and plain values, and of which trials they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantbench.errors import ConfigError
from quantbench.files import replace_file, writing
from quantbench.training.configuration import differences

FOLDER = "checkpoints"
PLACE = "tensor"
"""In the JSON of a state, ``{"tensor": NAME}`` stands for a tensor."""


def path(folder: Path, names: Sequence[str]) -> Path:
    """Where the checkpoint of a stack of these trials lies in the folder of a run."""
    stem = names[0] if len(names) == 1 else hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return folder / FOLDER / f"{stem}.safetensors"


def save(file: Path, state: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write a checkpoint, in one move: a reader never sees half of it. Raises NotWritten.

    Args:
        state: dictionaries and lists of tensors and of what JSON has, however nested. A tuple comes back as a list.
        metadata: ``names`` of the trials, and ``trials``, their configurations.
    """
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {}

    def aside(tensor: Tensor) -> dict[str, str]:
        name = str(len(tensors))
        tensors[name] = tensor.detach().contiguous().clone()
        return {PLACE: name}

    text = {"state": json.dumps(state, default=aside), "metadata": json.dumps(metadata)}
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, lambda opened: opened.write(to_bytes(tensors, text)), binary=True)


def load(file: Path, trials: Sequence[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """The state in a checkpoint of trials with these configurations, its tensors on a device.

    Raises:
        ConfigError: the checkpoint is of another configuration, or cannot be read.
    """
    metadata, state = _read(file, device)
    if len(metadata["trials"]) != len(trials):
        raise ConfigError(
            f"{file}: is a checkpoint of {len(metadata['trials'])} trials, not {len(trials)}; delete it to start anew"
        )
    for there, here in zip(metadata["trials"], trials, strict=True):
        if unlike := differences(there, here):
            raise ConfigError(
                f"{file}: is a checkpoint of another configuration ({'; '.join(unlike)}); delete it to start anew"
            )
    return state


def foreign(folder: Path, names: Sequence[str]) -> dict[Path, list[dict[str, Any]]]:
    """Checkpoints in the folder of a run of trials that are not among ``names``, and what those trials are."""
    found = {}
    for file in sorted((folder / FOLDER).glob("*.safetensors")):
        metadata = _read(file, None)[0]
        if not set(metadata["names"]) <= set(names):
            found[file] = metadata["trials"]
    return found


def _read(file: Path, device: torch.device | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata of a checkpoint, and its state where a device is given. Raises ConfigError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt", str(device or "cpu")) as stored:
            text = stored.metadata()

            def whole(found: dict[str, Any]) -> Any:
                return stored.get_tensor(found[PLACE]) if found.keys() == {PLACE} else found

            metadata = _checked(json.loads(text["metadata"]))
            state = json.loads(text["state"], object_hook=whole) if device else {}
            if not isinstance(state, dict):
                raise ValueError("its state is no mapping")
            return metadata, state
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: Exception) -> ConfigError:
    """What to say of a checkpoint that is damaged."""
    reason = " ".join(str(error).split()) if not isinstance(error, KeyError) else f"it has no {error}"
    return ConfigError(f"{file}: cannot be read as a checkpoint ({reason}); delete it to start anew")


def _checked(metadata: Any) -> dict[str, Any]:
    """Metadata as ``save`` wrote it. Raises ValueError, KeyError or TypeError."""
    names, trials = metadata["names"], metadata["trials"]
    if not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        raise ValueError("its names are no list of trials")
    if not (isinstance(trials, list) and trials and all(isinstance(one, dict) for one in trials)):
        raise ValueError("its trials are no list of configurations")
    return {"names": names, "trials": trials}

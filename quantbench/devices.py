"""The devices that PyTorch finds on this machine."""

from __future__ import annotations

import re

import torch

from quantbench.errors import ConfigError


def find_device(name: str) -> torch.device:
    """The torch device called ``name``; ``auto`` takes a GPU where there is one. Raises ConfigError."""
    count = _count()
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name == "cpu" or (count and name == "cuda"):
        return torch.device(name)
    kind, _, index = name.partition(":")
    if kind == "mps":
        raise ConfigError(
            f"device={name}: Apple's GPUs have no double precision, in which errors and rates are added up; use device=cpu"
        )
    if kind != "cuda" or (name != "cuda" and not re.fullmatch(r"[0-9]{1,4}", index)):
        raise ConfigError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    if int(index or 0) >= count:
        gpus = ", cuda, " + ", ".join(f"cuda:{i}" for i in range(count)) if count else ""
        raise ConfigError(f"device={name}: must be auto, cpu{gpus} here; PyTorch finds {count} CUDA devices on this machine")
    return torch.device("cuda", int(index))


def workers_devices(device: torch.device) -> list[str]:
    """The devices that workers of this machine share out: every GPU that PyTorch sees for ``cuda``, else the one named.

    PyTorch sees those that CUDA_VISIBLE_DEVICES names, where it is set, as in a job of a cluster.
    """
    count = _count() if device.type == "cuda" and device.index is None else 0
    return [f"cuda:{i}" for i in range(count)] if count > 1 else [str(device)]


def _count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0

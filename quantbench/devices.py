"""The devices that PyTorch finds on this machine."""

from __future__ import annotations

import re

import torch

from quantbench.errors import ConfigError


def find_device(name: str) -> torch.device:
    """The torch device called ``name``; ``auto`` takes a GPU where there is one. Raises ConfigError."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name == "cpu" or (count and name == "cuda"):
        return torch.device(name)
    kind, _, index = name.partition(":")
    if kind != "cuda" or (name != "cuda" and not re.fullmatch(r"[0-9]{1,4}", index)):
        raise ConfigError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    if int(index or 0) >= count:
        gpus = ", cuda, " + ", ".join(f"cuda:{i}" for i in range(count)) if count else ""
        raise ConfigError(f"device={name}: must be auto, cpu{gpus} here; PyTorch finds {count} CUDA devices on this machine")
    return torch.device("cuda", int(index))

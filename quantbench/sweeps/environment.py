"""What a run ran with, for whoever wants to repeat it: ``environment.json``."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from quantbench import kernels
from quantbench.devices import workers_devices
from quantbench.paths import config_folder
from quantbench.precision import TF32
from quantbench.version import __version__

PACKAGES = {"torch": "torch", "numpy": "numpy", "pandas": "pandas", "hydra-core": "hydra", "omegaconf": "omegaconf"}
"""Packages by the name under which they are installed, and the module that each has."""
PATIENCE_SECONDS = 10


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, what computes there, threads and git revision of a run."""
    return {
        "quantbench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name, module) for name, module in PACKAGES.items()},
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cuda": cuda(device) if device.type == "cuda" else None,
        "cores": os.cpu_count(),
        "threads_per_worker": 1,
        "kernels": "PyTorch's for CUDA" if device.type == "cuda" else _kernels(),
        "git_revision": _git_revision(),
    }


def cuda(device: torch.device) -> dict[str, Any]:
    """The GPUs on which a run with this device trains, what drives them, and PyTorch's flags for TF32.

    ``tf32`` is what these are outside of trainings, for products and for convolutions; within, ``train.precision`` decides.
    """
    cudnn: Any = torch.backends.cudnn
    names = [torch.cuda.get_device_name(torch.device(one)) for one in workers_devices(device)]
    return {
        "gpus": names,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "driver": _driver(),
        "version": torch.version.cuda,
        "cudnn": cudnn.version(),
        "tf32": {"products": _takes_tf32(torch.backends.cuda.matmul), "convolutions": _takes_tf32(cudnn.conv)},
    }


def _takes_tf32(operations: Any) -> bool:
    return bool(operations.fp32_precision == TF32)


def _kernels() -> str:
    """What computes the hot parts on a CPU, or why PyTorch does."""
    return kernels.ready() or " by ".join(filter(None, ["compiled", kernels.own_compiler()]))


def _version(name: str, module: str) -> str | None:
    """The version of a package that is installed, or lies on the path; None where it does not say."""
    try:
        return version(name)
    except PackageNotFoundError:
        found = getattr(import_module(module), "__version__", None)
        return None if found is None else str(found)


def _driver() -> str | None:
    """Version of the GPU's driver; None where nvidia-smi does not say."""
    found = _asked(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    return found.splitlines()[0].strip() if found else None


def _git_revision() -> str | None:
    """Revision of the checkout that this code runs from; None when it is installed or git is missing."""
    root = config_folder().parent
    if not (root / ".git").exists():
        return None
    return _asked(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"])


def _asked(command: Sequence[str]) -> str | None:
    """What a command prints; None where it cannot."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

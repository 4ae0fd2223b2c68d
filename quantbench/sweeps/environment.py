"""What a run ran with, for whoever wants to repeat it: ``environment.json``."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from typing import Any

import torch

from quantbench import kernels
from quantbench.paths import config_folder
from quantbench.version import __version__


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads and git revision of a run."""
    packages = ("torch", "numpy", "pandas", "hydra-core", "omegaconf")
    return {
        "quantbench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in packages},
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cores": os.cpu_count(),
        "threads_per_worker": 1,
        "kernels": kernels.ready() or " by ".join(filter(None, ["compiled", kernels.own_compiler()])),
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Revision of the checkout that this code runs from; None when it is installed or git is missing."""
    root = config_folder().parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None

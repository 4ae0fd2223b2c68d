"""Where the YAML choices are, and what is kept from run to run."""

from __future__ import annotations

import os
from pathlib import Path

LATEST = "latest"
"""In the place of a run's folder: the last one."""
OUTPUTS = "outputs"
"""Where results go that are given no other place."""
SWEEP_FILE = "sweep.yaml"
"""What a run writes before it trains anything."""
DESIGN_FILE = "design.json"
"""What a search writes first, in its folder; its two sweeps are in folders therein."""


def whole(folder: Path) -> Path:
    """The folder of a search, where a folder is that of one of its sweeps; any other folder as it is."""
    return folder.parent if (folder.parent / DESIGN_FILE).is_file() else folder


def config_folder() -> Path:
    """Inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def published_folder() -> Path:
    """Results of the project's own searches: inside the package when installed, in ``docs`` in a checkout. It may not exist."""
    package = Path(__file__).parent
    inside = package / "published"
    return inside if inside.is_dir() else package.parent / "docs" / "data" / "verdict"


def cache_folder() -> Path:
    """What can be made again but takes time: compiled kernels, the table of pairs. It may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quantbench"

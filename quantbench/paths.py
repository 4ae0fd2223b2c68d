"""Where the YAML choices are."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """Inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"

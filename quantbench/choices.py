"""The choices of every group, as their YAML files name them; needs neither Hydra nor torch."""

from __future__ import annotations

from pathlib import Path

from quantbench.errors import ConfigError
from quantbench.files import read_text
from quantbench.paths import config_folder

LARGEST = 2**20
"""Bytes of a choice's file."""
GROUPS = ("experiment", "simulator", "codec", "quantizer", "gradient", "loss", "executor")


def choices(group: str, config_dir: Path | None = None) -> dict[str, Path]:
    """Name and file of every choice in a group; of equal names the project's own counts, as it does for Hydra."""
    mine = choices_in(config_dir / group) if config_dir else {}
    ours = choices_in(config_folder() / group)
    return ours | {name: path for name, path in mine.items() if name not in ours}


def choices_in(folder: Path) -> dict[str, Path]:
    """Name and file of every choice in a group's folder; of one in a folder within it, ``folder/name``."""
    names = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")}
    return dict(sorted(names.items(), key=lambda item: ("/" in item[0], item[0])))


def description(path: Path) -> str:
    """The first comment of a choice's file that is no directive of Hydra's. Raises ConfigError."""
    try:
        lines = read_text(path, LARGEST, links=True).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    for line in lines:
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ")
    return ""


def class_name(target: str) -> str:
    """How tables name the class of a component within a component: short where it is this project's, for these are unique."""
    return target.rpartition(".")[2] if target.startswith("quantbench.") else target

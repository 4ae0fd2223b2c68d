"""The YAML files of choices, with the settings of their classes that they leave out."""

from __future__ import annotations

import copy
import io
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from quantbench.choices import GROUPS, LARGEST, choices_in
from quantbench.errors import ConfigError
from quantbench.files import read_text
from quantbench.paths import config_folder
from quantbench.suggest import dotted
from quantbench.sweeps.kept import kept
from quantbench.yaml_text import check

SPACE, RECOMMENDED = "space", "recommended"
"""What a choice's file says to a search (``spaces.py``), and what is no setting of its component."""


def file_of(folder: str, name: str) -> Path:
    """The file of a choice ``group/name``."""
    return Path(folder, name if name.endswith(".yaml") else f"{name}.yaml")


def names(folder: str, group: str, groups: bool, files: bool) -> list[str]:
    """Names of the groups and of the files in a group; a group of choices has those of the folders within it, too."""
    place = Path(folder, group)
    found = {path.name for path in place.iterdir() if groups and path.is_dir() and path.name != "__pycache__"}
    if files:
        found |= {*choices_in(place)} if group in GROUPS else {path.stem for path in place.glob("*.yaml")}
    return sorted(found)


def read(path: Path) -> dict[str, Any]:
    """The content of a file as it is written. Raises ConfigError."""
    try:
        text = read_text(path, LARGEST, links=True)
        check(text)
        content = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except (YAMLError, OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of settings, with _target_")
    return {str(name): value for name, value in content.items()}


def filled(path: Path) -> dict[str, Any]:
    """The content of a file; of the class that it names, the defaults of all settings of which it does not speak.

    Raises:
        ConfigError: it cannot be read, or its class cannot be loaded.
    """
    if not path.is_relative_to(config_folder()):
        return _filled(path)  # a user's classes may change
    found: dict[str, Any] = copy.deepcopy(_ours()[path.relative_to(config_folder()).as_posix()])
    return found


@cache
def _ours() -> dict[str, Any]:
    """Every file of the project."""
    root = config_folder()
    return kept("choices", lambda: {path.relative_to(root).as_posix(): _filled(path) for path in root.rglob("*.yaml")})


def settings() -> list[str]:
    """Dotted names of the settings of all of the project's choices, and of the groups."""
    found: dict[str, None] = {}
    for name, content in _ours().items():
        group, _, file = name.rpartition("/")
        if group != "experiment":
            found |= dict.fromkeys([group, *dotted(content, f"{group}.")] if file != "config.yaml" else dotted(content))
    return [name for name in found if name.partition(".")[0] not in ("defaults", "hydra")]


def _filled(path: Path) -> dict[str, Any]:
    content = {name: value for name, value in read(path).items() if name not in (SPACE, RECOMMENDED)}
    from quantbench.sweeps.defaults import over_defaults  # and with it torch

    return over_defaults(content, path)

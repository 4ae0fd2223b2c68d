"""Components of the choices in YAML files, without Hydra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from quantbench.choices import choices
from quantbench.config import COMPONENTS, check_settings, construct, find_class, without_target
from quantbench.errors import ConfigError


def default_component(group: str, name: str, config_dir: Path | None = None, settings: Mapping[str, Any] | None = None) -> Any:
    """The component of a choice with the settings of its file, but for those given. Raises ConfigError."""
    files = choices(group, config_dir)
    if name not in files:
        raise ConfigError(f"{group}={name}: no such choice; there are {', '.join(files)}")
    try:
        node = OmegaConf.to_container(OmegaConf.load(files[name]))
    except (YAMLError, OSError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{files[name]}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{files[name]}: must be a mapping of settings, with _target_")
    cls = find_class(node.get("_target_"), COMPONENTS[group], group)
    given = {name: value for name, value in without_target(node).items() if "${" not in str(value)}  # type: ignore[arg-type]
    return construct(cls, check_settings(cls, given | dict(settings or {}), group))

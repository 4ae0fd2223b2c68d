"""What a choice's file leaves out: the defaults of its class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantbench.components import Component
from quantbench.config import RunSettings
from quantbench.paths import config_folder
from quantbench.schema import find_class, name_of, plain
from quantbench.training import TrainSettings

MISSING = "???"
"""What Hydra calls a value that must be given."""


def over_defaults(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """A file's content with all settings of the class that it names. Raises ConfigError where that cannot be loaded."""
    if path == config_folder() / "config.yaml":
        return content | _over(RunSettings, content) | {"train": _over(TrainSettings, content.get("train") or {})}
    if "_target_" not in content:
        return content
    cls = find_class(content["_target_"], Component, str(path))
    settings = {name: value for name, value in content.items() if name not in ("_target_", "defaults")}
    found = {"_target_": content["_target_"]} | _over(cls, settings)
    if "defaults" in content:
        # What the defaults list puts into a setting is a choice of its own, with all of its settings.
        chosen = {one.partition("@")[2] for entry in content["defaults"] if isinstance(entry, dict) for one in entry}
        found = {name: value for name, value in found.items() if name in settings or name not in chosen}
        found["defaults"] = content["defaults"]
    return found


def _over(cls: type[Component], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over the defaults of their class, in its order; those of components within it likewise."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        default = MISSING if field.default is dataclasses.MISSING else field.default
        value = given.get(field.name, default)
        if isinstance(value, Component):
            value = plain(value)
        elif isinstance(default, Component) and isinstance(value, dict):
            target = value.get("_target_", name_of(type(default)))
            value = {"_target_": target} | _over(find_class(target, Component, field.name), value)
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found | {name: value for name, value in given.items() if name not in found}

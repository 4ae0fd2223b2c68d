"""Components of the choices in YAML files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantbench.choices import choices, choices_in
from quantbench.components import Component
from quantbench.config import COMPONENTS
from quantbench.schema import Settings, check_settings, construct, find_class, without_target
from quantbench.suggest import no_such_choice
from quantbench.sweeps.choice_files import filled, read


def named_classes(config_dir: Path) -> Iterator[type[Component]]:
    """Every class that a choice in a folder of the user's own names. Raises ConfigError."""
    for group in COMPONENTS:
        for path in choices_in(config_dir / group).values():
            for target in _targets(read(path)):
                yield find_class(target, Component, str(path))


def _targets(node: Any) -> Iterator[Any]:
    """Every ``_target_`` in a file's settings."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "_target_":
                yield value
            else:
                yield from _targets(value)


def resolved(group: str, name: str, config_dir: Path | None = None) -> Settings:
    """All settings of a choice, none of which stands for another. Raises ConfigError."""
    files = choices(group, config_dir)
    if name not in files:
        raise no_such_choice(group, name, files)
    node = filled(files[name])
    if "defaults" not in node and "${" not in str(node):
        return node
    from quantbench.sweeps.compose import component  # Hydra alone knows what these stand for

    return component(group, name, config_dir)


def default_component(group: str, name: str, config_dir: Path | None = None, settings: Mapping[str, Any] | None = None) -> Any:
    """The component of a choice with the settings of its file, but for those given, by dotted name. Raises ConfigError."""
    node = resolved(group, name, config_dir)
    cls = find_class(node.get("_target_"), COMPONENTS[group], group)
    given = without_target(node)
    for dotted, value in (settings or {}).items():
        *parents, last = dotted.split(".")
        inner = given
        for parent in parents:
            inner[parent] = inner = dict(found) if isinstance(found := inner.get(parent), dict) else {}
        inner[last] = value
    return construct(cls, check_settings(cls, given, group))

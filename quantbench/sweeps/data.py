"""The data that a sweep is trained on: where it is, and what it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from quantbench.components import Component
from quantbench.config import COMPONENTS, instance, setting
from quantbench.errors import ConfigError
from quantbench.schema import Settings, find_class
from quantbench.sweeps.sweep import Combination, Sweep, copy_nodes

DATA = "_data_"
"""Stands for what the data is in the settings that make a trial's identity; no setting has such a name."""


def with_absolute_paths(sweep: Sweep) -> Sweep:
    """The sweep with relative paths taken from the folder in which this process runs, so that they hold everywhere.

    A path that begins with an interpolation stays as it is. Raises ConfigError where a class cannot be loaded.
    """
    combinations = [Combination(one.choices, copy_nodes(one.config)) for one in sweep.combinations]
    names = set()
    known: dict[tuple[str, str], type[Component]] = {}
    for one in combinations:
        for group in COMPONENTS:
            for name, node, cls in _classes(group, one.config.get(group), known):
                defaults = {field.name: field.default for field in dataclasses.fields(cls)}
                for path in cls.paths:
                    names.add(f"{name}.{path}")
                    if path in node or isinstance(defaults.get(path), str):
                        node[path] = _absolute(node.get(path, defaults[path]))
    axes = {name: [_absolute(one) for one in values] if name in names else values for name, values in sweep.axes.items()}
    return replace(sweep, combinations=combinations, axes=axes)


def _classes(
    name: str, node: Any, known: dict[tuple[str, str], type[Component]]
) -> Iterator[tuple[str, Settings, type[Component]]]:
    """Every component's settings and class below a setting, by dotted name; ``known`` keeps what was looked up."""
    if not isinstance(node, dict):
        return  # planning tells what is wrong
    if "_target_" in node:
        key = name, str(node["_target_"])
        if key not in known:
            known[key] = find_class(node["_target_"], COMPONENTS.get(name, Component), name)
        yield name, node, known[key]
    for inner, value in node.items():
        yield from _classes(f"{name}.{inner}", value, known)


def _absolute(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_absolute(one) for one in value]
    return os.path.abspath(value) if isinstance(value, str) and value and not value.startswith("${") else value


HOW = ("graph",)
"""Settings of ``train`` that say how a step is computed, not what."""


def identity(group: str, node: Settings, data: dict[str, str]) -> Settings:
    """The settings of a group that belong to a trial's identity: of data, what it is, and not where.

    Args:
        data: takes the fingerprint, by where the data is.
    """
    if group == "train":
        return {name: value for name, value in node.items() if name not in HOW}
    if group != "simulator":
        return node
    simulator = instance(group, node)
    found = simulator.fingerprint()
    if not found:
        return node
    data[", ".join(str(setting(node, name)) for name in simulator.paths) or type(simulator).__name__] = found
    return {name: value for name, value in node.items() if name not in simulator.paths} | {DATA: found}


def check_unchanged(sweep: Sweep, data: Mapping[str, str]) -> None:
    """Raise ConfigError where the data that a plan found is not what the sweep began with."""
    for where, found in data.items():
        if not sweep.data:
            raise ConfigError(f"{where}: an earlier version began this sweep, and did not note what is in it; run it again")
        if found not in sweep.data.values():
            raise ConfigError(
                f"{where}: the data in it is not what this sweep began with, and trials on both cannot be compared; put it "
                f"back as it was, or run the sweep again"
            )

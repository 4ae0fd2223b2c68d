"""A sweep: base configurations and the values that vary, enough to run it again without Hydra."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from quantbench.errors import ConfigError
from quantbench.resolvers import interpolated, register
from quantbench.suggest import dotted, unknown_setting
from quantbench.sweeps import frame_features, stored

register()
frame_features.register()


@dataclass(frozen=True)
class Combination:
    """One choice in every group.

    Attributes:
        choices: group to name.
        config: the composed configuration; interpolations are not resolved, for values may still change.
    """

    choices: dict[str, str]
    config: dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """All trials of one command.

    Attributes:
        command: the words after ``quantbench run``.
        search_path: folders from which the command may import classes.
        combinations: the base configurations.
        axes: values of each setting that varies within a combination, by dotted name.
        points: ``[combination, index into each axis]`` of each trial, -1 for an axis that its combination does not have; None
            for the full product.
        data: fingerprints of the data of its sources, by where it is.
    """

    command: list[str]
    search_path: list[str]
    combinations: list[Combination]
    axes: dict[str, list[Any]] = field(default_factory=dict)
    points: list[list[int]] | None = None
    data: dict[str, str] = field(default_factory=dict)

    def configs(self) -> Iterator[tuple[Combination, dict[str, Any]]]:
        """Every trial's combination and resolved configuration, combination by combination.

        Raises:
            ConfigError: an axis names a setting that is not there, or an interpolation cannot be resolved.
        """
        for number, combination in enumerate(self.combinations):
            template = _Template(combination.config)
            for indices in self.points_of(number):
                values = {name: self.axes[name][i] for name, i in zip(self.axes, indices, strict=True) if i >= 0}
                yield combination, template.apply(values)

    @property
    def size(self) -> int:
        """Number of points; as many trials, unless an axis names a value twice."""
        if self.points is not None:
            return len(self.points)
        return len(self.combinations) * math.prod(map(len, self.axes.values()))

    def points_of(self, number: int) -> Iterator[tuple[int, ...]]:
        """Indices into the axes of every point of a combination. Of one combination all points have the same axes."""
        if self.points is None:
            yield from itertools.product(*(range(len(values)) for values in self.axes.values()))
        else:
            yield from (tuple(point[1:]) for point in self.points if point[0] == number)

    def given(self, settings: Mapping[str, str]) -> Sweep:
        """The same with settings of the whole run as plain text, which stands for nothing else."""
        plain = {key: literal(value) for key, value in settings.items()}
        changed = [Combination(one.choices, one.config | plain) for one in self.combinations]
        return replace(self, combinations=changed)

    def save(self, path: Path) -> None:
        """Write ``sweep.yaml``. Raises QuantBenchError."""
        stored.write(asdict(self), path)

    @staticmethod
    def load(path: Path) -> Sweep:
        """Read ``sweep.yaml``. Raises ConfigError when it is not one."""
        return Sweep.of(stored.read(path).content)

    @staticmethod
    def of(content: dict[str, Any]) -> Sweep:
        """The sweep with these fields, which were checked."""
        return Sweep(**content | {"combinations": [Combination(**one) for one in content["combinations"]]})


def literal(text: str) -> str:
    """Text for a setting that stands for itself: OmegaConf takes a backslash before an interpolation as one that is none."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


class _Template:
    """A configuration into which values are put, again and again."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.plain = config
        self.live = OmegaConf.create(config)
        assert isinstance(self.live, DictConfig)
        self.interpolated = list(interpolated(config))
        self.applied: dict[str, Any] = {}

    def apply(self, values: dict[str, Any]) -> dict[str, Any]:
        """A copy with ``values`` set and everything resolved."""
        config: dict[str, Any] = copy_nodes(self.plain)
        for name, value in values.items():
            put(config, name, value)
        # Resolving costs most, so only what changed is told to OmegaConf, and only interpolated leaves are asked for.
        interpolated = [name for name in self.interpolated if _holds(config, name)]  # null may stand for a whole mapping
        interpolated += [name for name, value in values.items() if "${" in str(value)]
        if interpolated:
            for name in values:
                value = _at(config, name)  # of settings that were merged all, or those of the trial before would stay
                if name not in self.applied or self.applied[name] != value:
                    OmegaConf.update(self.live, name, value, merge=False)
                    self.applied[name] = value
            try:
                for name in interpolated:
                    value = OmegaConf.select(self.live, name)
                    put(config, name, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value)
            except OmegaConfBaseException as error:
                raise ConfigError(f"{name}: cannot be resolved ({str(error).splitlines()[0]})") from error
        return config


def copy_nodes(value: Any) -> Any:
    """A copy of nested dictionaries; everything else is shared."""
    return {name: copy_nodes(item) for name, item in value.items()} if isinstance(value, dict) else value


def _holds(config: Any, name: str) -> bool:
    """Whether there is anything at a dotted name."""
    for part in name.split("."):
        if not isinstance(config, dict) or part not in config:
            return False
        config = config[part]
    return True


def _at(config: dict[str, Any], name: str) -> Any:
    """What is at a dotted name."""
    node: Any = config
    for part in name.split("."):
        node = node[part]
    return node


def put(config: dict[str, Any], name: str, value: Any) -> None:
    """Set a setting by its dotted name; settings within it are merged. Raises ConfigError unless all of it is there."""
    *parents, last = name.split(".")
    node: Any = config
    for i, parent in enumerate([*parents, last]):
        if not isinstance(node, dict) or parent not in node:
            where = ".".join(parents[:i]) or "a run"
            allowed = [key for key in node if key != "_target_"] if isinstance(node, dict) else []
            raise unknown_setting(name, value, where, allowed, dotted(config))
        if i < len(parents):
            node = node[parent]
    if isinstance(value, dict) and isinstance(node[last], dict):
        for key, item in value.items():
            put(config, f"{name}.{key}", item)
    else:
        node[last] = copy.deepcopy(value)

"""From Hydra's overrides to a sweep, composing as little as possible.

Composing costs tens of milliseconds. So a job's overrides are parted into those that Hydra must compose (choices of groups,
added or deleted settings, and whatever all jobs share) and plain values that vary, which are put into copies.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from quantbench.config import COMPONENTS, Settings
from quantbench.errors import ConfigError
from quantbench.imports import import_from
from quantbench.sweeps.plan import PER_RUN
from quantbench.sweeps.sweep import Combination, Sweep

Job = Sequence[str]

MOST_TRIALS = 1_000_000
"""Points of a grid: a range with a few zeros too many is told, and does not take all memory."""


def expand(
    params: Settings,
    points: Sequence[Settings],
    exclude: Sequence[Settings],
    arguments: Sequence[str],
    loader: ConfigLoader,
) -> list[list[str]]:
    """All jobs of a grid, each a list of overrides.

    Args:
        params: axes of the experiment, ``key: "value,value"``.
        points: values that go together, each a dictionary; every one of them is combined with the whole grid.
        exclude: points to leave out, each a dictionary of values that such a point has.
        arguments: the command line; an axis or a value here takes the place of the experiment's axis, and of such a value in
            ``points``.

    Raises:
        ConfigError: an axis is empty or of a kind that is no list of values.
    """
    parser = OverridesParser.create(config_loader=loader)
    axes: dict[str, list[str]] = {}
    for override in parser.parse_overrides([f"{key}={_axis_text(key, value)}" for key, value in params.items()] + [*arguments]):
        key = override.get_key_element()
        if override.type == OverrideType.DEL:
            axes[key] = [str(override.input_line)]
        elif not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values = itertools.islice(override.sweep_string_iterator(), MOST_TRIALS + 1)
            axes[key] = [f"{key}={value}" for value in values]
        else:
            raise ConfigError(f"{override.input_line}: a grid takes values, ranges and globs, no intervals")
        if not axes[key]:
            raise ConfigError(f"{override.input_line}: this axis has no values")
    for key in axes:
        if key.lstrip("+").partition(".")[0] in PER_RUN and len(axes[key]) > 1:
            raise ConfigError(f"{key}: is a setting of the whole run and cannot vary within it")
    given = {key.lstrip("+") for key in axes}
    together = [[f"{key}={_text(value)}" for key, value in point.items() if key not in given] for point in points] or [[]]
    together = [list(point) for point in dict.fromkeys(map(tuple, together))]  # once, where the command line took a place
    if len(together) * math.prod(map(len, axes.values())) > MOST_TRIALS:
        raise ConfigError(f"{' '.join(arguments)}: these axes have more than {MOST_TRIALS} points; run several sweeps")
    grid = [[*point, *job] for point in together for job in itertools.product(*axes.values())]
    if not exclude:
        return grid
    value = {text: parser.parse_override(text) for text in dict.fromkeys(text for job in grid for text in job)}

    def left_out(job: list[str]) -> bool:
        point = {value[text].get_key_element(): value[text].value() for text in job}
        return any(all(point.get(key) == unwanted for key, unwanted in one.items()) for one in exclude)

    jobs = [job for job in grid if not left_out(job)]
    if not jobs:
        raise ConfigError("hydra.sweeper.exclude leaves out every point of this grid; hydra.sweeper.exclude=[] keeps them")
    return jobs


def _text(value: Any) -> str:
    """A value of a point as an override has it."""
    if OmegaConf.is_list(value) or isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _axis_text(key: str, value: Any) -> str:
    text = "" if value is None else ",".join(map(str, value)) if OmegaConf.is_list(value) else str(value)
    if not text:
        raise ConfigError(f"hydra.sweeper.params.{key}: this axis has no values")
    return text


def collect(jobs: Sequence[Job], master: DictConfig, loader: ConfigLoader, command: list[str]) -> Sweep:
    """The sweep that a list of jobs amounts to.

    Args:
        master: the composed configuration of the command, with its ``hydra`` node.
    """
    parser = OverridesParser.create(config_loader=loader)

    @cache
    def parse(text: str) -> Override:
        return parser.parse_override(text)

    texts: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        for text in job:
            texts[parse(text).get_key_element()].add(text)
    shared = set.intersection(*({parse(text).get_key_element() for text in job} for job in jobs)) if jobs else set()
    plain = {
        key
        for key, found in texts.items()
        if len(found) > 1 and key in shared and all(_is_plain_value(parse(text), loader) for text in found)
    }

    combinations: dict[tuple[str, ...], int] = {}
    axes: dict[str, list[Any]] = {}
    places: dict[str, int] = {}
    points = []
    for job in jobs:
        composed = tuple(text for text in job if parse(text).get_key_element() not in plain)
        point = {"": combinations.setdefault(composed, len(combinations))}
        for text in job:
            override = parse(text)
            if override.get_key_element() in plain:
                values = axes.setdefault(override.key_or_group, [])
                if text not in places:
                    places[text] = len(values)
                    values.append(_plain(override.value()))
                point[override.key_or_group] = places[text]
        points.append([point[name] for name in ["", *axes]])
    size = len(combinations)
    for values in axes.values():
        size *= len(values)
    full = size == len(points) == len(set(map(tuple, points)))
    return Sweep(
        command=command,
        search_path=search_path(master.hydra),
        combinations=[_compose(list(overrides), master, loader) for overrides in combinations],
        axes=axes,
        points=None if full else points,
    )


def single(config: DictConfig, hydra: DictConfig) -> Sweep:
    """The sweep of one trial, from a job's configuration as Hydra composed it."""
    command = list(OmegaConf.to_container(hydra.overrides.task))  # type: ignore[arg-type]
    return Sweep(command, search_path(hydra), [_combination(config, hydra)])


def search_path(hydra: DictConfig) -> list[str]:
    """Folders given with ``--config-dir``: classes beside the YAML files in them can be imported."""
    sources = hydra.runtime.config_sources
    found = [source.path for source in sources if source.provider == "command-line"]
    for path in found:
        import_from(path)
    return found


def _is_plain_value(override: Override, loader: ConfigLoader) -> bool:
    """Whether an override only gives an existing setting another value."""
    is_group = bool(loader.get_group_options(override.key_or_group, ObjectType.CONFIG))
    return override.type == OverrideType.CHANGE and override.package is None and not is_group


def _plain(value: Any) -> Any:
    """A parsed value as plain data: numbers, text, lists and dictionaries."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else getattr(value, "text", str(value))


def _compose(overrides: list[str], master: DictConfig, loader: ConfigLoader) -> Combination:
    config = loader.load_sweep_config(master, overrides)
    return _combination(config, config.hydra)


def _combination(config: DictConfig, hydra: DictConfig) -> Combination:
    """Choices, and the settings with interpolations as they are written."""
    choices = {group: str(hydra.runtime.choices.get(group)) for group in COMPONENTS}
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return Combination(choices, {str(key): node for key, node in plain.items() if key != "hydra"})

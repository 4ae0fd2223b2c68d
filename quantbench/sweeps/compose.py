"""From overrides to a sweep: the one way in, of the command line, of scripts and of notebooks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from quantbench.choices import choices
from quantbench.config import COMPONENTS, canonical
from quantbench.errors import ConfigError
from quantbench.paths import config_folder
from quantbench.schema import Settings
from quantbench.sweeps import grid
from quantbench.sweeps.choice_files import filled, read
from quantbench.sweeps.grid import Axis, Grid, IsGroup, must_compose, point_word
from quantbench.sweeps.hydra_tools import own_folders, search_path, searching, told
from quantbench.sweeps.sweep import Combination, Sweep, copy_nodes, put

OURS = "hydra_plugins.quantbench_plugins."
"""Where our sweeper and our launcher are."""
Compose = Callable[[Sequence[str]], DictConfig]


class OtherEngine(ConfigError):
    """Hydra's sweeper or launcher is another than ours, so Hydra itself must run the command."""


def compose(overrides: Sequence[str], config_dir: Path | None = None, multirun: bool = True) -> Sweep:
    """The sweep of a command.

    Args:
        overrides: in Hydra's grammar, as after ``quantbench run``; ``key=a,b`` is an axis.
        config_dir: a folder with choices of the user's own; classes beside them can be imported.
        multirun: whether to sweep; without it only an experiment whose ``hydra.mode`` is ``MULTIRUN`` has axes.

    Raises:
        ConfigError: something in it is wrong, or names what is not there.
        OtherEngine: it asks for a sweeper or a launcher of Hydra's.
    """
    with _composer(config_dir) as (once, parser, is_group):
        with told():
            words = parser.parse_overrides(list(overrides))
        for one in words:
            grid.check_choice(one, is_group)
            if one.input_line and one.input_line.startswith("experiment="):
                raise ConfigError(
                    f"{one.input_line}: choose one with +{one.input_line}; `quantbench list experiment` shows them"
                )
        # Which sweeper is asked for does not follow from single settings, and some of these need a choice that is an axis.
        chosen = [one for one in words if is_group(one.key_or_group) and not (one.is_delete() or one.is_sweep_override())]
        hydra = once([str(one.input_line) for one in words if grid.for_hydra(one) or one in chosen]).hydra
        for part in ("sweeper", "launcher"):
            if not OmegaConf.is_dict(hydra.get(part)):
                raise ConfigError(f"hydra.{part}={hydra.get(part)}: must hold settings; leave it as it is for QuantBench's own")
        if not all(str(hydra[part].get("_target_")).startswith(OURS) for part in ("sweeper", "launcher")):
            raise OtherEngine("hydra/sweeper, hydra/launcher: another than QuantBench's own is for `quantbench run` alone")
        with told():
            asked = grid.of_command(words, is_group)
        if multirun or str(OmegaConf.select(hydra, "mode")).endswith("MULTIRUN"):
            with told():
                asked = grid.with_experiment(asked, plain_node(hydra.sweeper), parser, is_group)
        elif asked.axes:
            raise ConfigError(f"{_written(asked.axes[0])}: -m sweeps over several values; one that is a list is [a,b]")
        return _sweep(asked, once, is_group, list(overrides), search_path(config_dir))


def jobs(arguments: Sequence[str], sweeper: Mapping[str, Any], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of every trial, for launchers that are not ours."""
    is_group = _groups(loader)
    parser = OverridesParser.create(config_loader=loader)
    asked = grid.with_experiment(grid.of_command(parser.parse_overrides(list(arguments)), is_group), sweeper, parser, is_group)
    return [[*asked.hydra, *job] for job in grid.jobs(asked, is_group)]


def of_configs(configs: Sequence[DictConfig], hydra: DictConfig) -> Sweep:
    """The sweep of trials that Hydra composed one by one, each with its ``hydra`` node."""
    command = [str(word) for word in hydra.overrides.task]
    return Sweep(command, own_folders(hydra), [_combination(config) for config in configs])


def component(group: str, name: str, config_dir: Path | None = None) -> Settings:
    """The settings of one choice, with every other at its default and nothing that stands for another. Raises ConfigError."""
    with _composer(config_dir) as (once, _, _), told():
        node = OmegaConf.to_container(OmegaConf.select(once([f"{group}={name}"]), group), resolve=True)
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}


@contextmanager
def _composer(config_dir: Path | None) -> Iterator[tuple[Compose, OverridesParser, IsGroup]]:
    """Hydra over the project's choices and the user's; a configuration is composed once, and must not be changed."""
    known: dict[tuple[str, ...], DictConfig] = {}

    def once(words: Sequence[str]) -> DictConfig:
        key = tuple(words)
        if key not in known:
            with told():
                known[key] = hydra_compose("config", list(key), return_hydra_config=True)
        return known[key]

    with searching(search_path(config_dir)), initialize_config_dir(str(config_folder()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield once, OverridesParser.create(config_loader=loader), _groups(loader)


def _groups(loader: ConfigLoader) -> IsGroup:
    """Tells whether a key is a group of choices; each key is looked up once."""

    @cache
    def is_group(key: str) -> bool:
        return bool(loader.get_group_options(key, ObjectType.CONFIG))

    return is_group


def _group(word: str) -> str:
    return word.lstrip("+").partition("=")[0].partition("@")[0]


def _written(axis: Axis, most: int = 3) -> str:
    return f"{axis.key}={','.join(map(str, axis.values[:most]))}{',...' * (len(axis.values) > most)}"


def _sweep(asked: Grid, once: Compose, is_group: IsGroup, command: list[str], folders: list[str]) -> Sweep:
    """What Hydra must compose makes combinations; all other values that vary are axes."""
    plain_keys = [{key for key in point if not must_compose(key, is_group)} for point in asked.points]
    shared = [key for key in (asked.points or [{}])[0] if all(key in keys for keys in plain_keys)]
    together = {key: _distinct(point[key] for point in asked.points) for key in shared}
    axes = together | {axis.key: list(axis.values) for axis in asked.axes if not axis.words}
    combine = _Combine(once, [*asked.hydra, *asked.fixed])
    numbers: dict[str, int] = {}
    combinations: list[Combination] = []
    points: list[list[int]] = []
    for point, chosen in itertools.product(asked.points or [{}], itertools.product(*_composed(asked))):
        first = [[canonical(value) for value in values].index(canonical(point[key])) for key, values in together.items()]
        places = itertools.product(*([i] for i in first), *(range(len(axes[key])) for key in axes if key not in together))
        rows = [list(place) for place in places]
        if asked.exclude:
            settings = asked.choices | {key.lstrip("+"): value for key, value in point.items()}
            settings |= {key: value for key, _, value in chosen}
            rows = [row for row in rows if not grid.left_out(settings | _at(axes, row), asked.exclude)]
        if not rows:
            continue
        words = [point_word(key, value, is_group) for key, value in point.items() if must_compose(key, is_group)]
        words += [word for _, word, _ in chosen]
        own = {key: value for key, value in point.items() if key not in shared and not must_compose(key, is_group)}
        number = numbers.setdefault(canonical([words, own]), len(combinations))
        if number == len(combinations):
            combinations.append(_with(combine(words), asked.values | own))
        points += [[number, *row] for row in rows]
    if not points:
        raise ConfigError("hydra.sweeper.exclude leaves out every point of this grid; hydra.sweeper.exclude=[] keeps them")
    full = len(points) == len(combinations) * math.prod(map(len, axes.values()))
    return Sweep(command, folders, combinations, axes, None if full else points)


class _Combine:
    """Combinations of choices. Hydra takes long for each, so choices of several groups are put together where that is the same.

    It is where each choice, by itself, changes nothing but the settings of its group, and its file asks for no other choice.
    """

    def __init__(self, once: Compose, always: list[str]) -> None:
        self.once, self.always = once, always
        self.alone: dict[str, Combination | None] = {}

    def __call__(self, words: Sequence[str]) -> Combination:
        parts = [self._alone(word) for word in words] if len(words) > 1 else []
        found = _combination(self.once(self.always)) if parts and all(parts) else None
        if found is None:
            return _combination(self.once([*self.always, *words]))
        choices, config = dict(found.choices), dict(found.config)
        for word, part in zip(words, parts, strict=True):
            assert part is not None
            group = _group(word)
            choices[group], config[group] = part.choices[group], part.config[group]
        return Combination(choices, config)

    def _alone(self, word: str) -> Combination | None:
        """The combination with one choice beside those that hold for all; None where it does more than to fill its group."""
        if word not in self.alone:
            self.alone[word] = self._found_alone(word)
        return self.alone[word]

    def _found_alone(self, word: str) -> Combination | None:
        group, _, name = word.partition("=")
        file = config_folder() / group / f"{name}.yaml"
        if group not in COMPONENTS or not file.is_file() or "${" in str(read(file).get("defaults")):
            return None
        try:
            base, found = _combination(self.once(self.always)), _combination(self.once([*self.always, word]))
        except ConfigError:  # some settings fit only all of the choices together
            return None
        alike = all(base.config.get(key) == node for key, node in found.config.items() if key != group)
        return found if alike and len(base.config) == len(found.config) else None


def _composed(asked: Grid) -> list[list[tuple[str, str, Any]]]:
    """Key, override and value of every value of every axis that Hydra must compose."""
    axes = [axis for axis in asked.axes if axis.words]
    return [[(axis.key.lstrip("+"), word, value) for word, value in zip(axis.words, axis.values, strict=True)] for axis in axes]


def _at(axes: Mapping[str, Sequence[Any]], place: Sequence[int]) -> Settings:
    return {key: values[i] for (key, values), i in zip(axes.items(), place, strict=True)}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({canonical(value): value for value in values}.values())


def plain_node(node: Any) -> dict[str, Any]:
    """A node of a configuration as plain data, interpolations as they are written."""
    found = OmegaConf.to_container(node, resolve=False)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _combination(config: DictConfig) -> Combination:
    """Choices, and the settings with interpolations as they are written."""
    chosen = {str(key): str(name) for key, name in config.hydra.runtime.choices.items()}
    settings = {key: node for key, node in plain_node(config).items() if key != "hydra"}
    if any("@" in key for key in chosen):
        _forget_others(settings, chosen, next(map(Path, own_folders(config.hydra)), None))
    return Combination({group: chosen.get(group, "None") for group in COMPONENTS}, settings)


def _forget_others(settings: Settings, chosen: Mapping[str, str], config_dir: Path | None) -> None:
    """Drop what is left of a default where another choice took its place, as a stage's by ``quantizer@quantizer.stage=fsq``.

    Hydra merges choices, so settings that only the default has would stay.
    """
    defaults: Settings = {}
    for key, name in sorted(chosen.items(), key=lambda item: (item[0].count("."), item[0])):
        group, at, package = key.partition("@")
        file = choices(group, config_dir).get(name) if group in COMPONENTS else None
        if file is None:
            continue
        content = filled(file)
        *parents, last = (package if at else group).split(".")
        known, node = defaults, settings
        for parent in parents:
            known, node = known.get(parent) or {}, node.get(parent) or {}
        if at and isinstance(node.get(last), dict):
            for left in [name for name in node[last] if name in (known.get(last) or {}) and name not in content]:
                del node[last][left]
        known[last] = content


def _with(combination: Combination, values: Settings) -> Combination:
    """A combination with other values of some settings. Raises ConfigError where there is none of such a name."""
    config = copy_nodes(combination.config)
    for key, value in values.items():
        put(config, key, value)
    return Combination(combination.choices, config)

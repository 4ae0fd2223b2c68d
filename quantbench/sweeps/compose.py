"""From overrides to a sweep: the one way in, of the command line, of scripts and of notebooks."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from quantbench.config import canonical
from quantbench.errors import ConfigError
from quantbench.imports import forget_config_dirs
from quantbench.paths import config_folder
from quantbench.schema import Settings
from quantbench.sweeps import excluded, grid
from quantbench.sweeps.advice import check_words
from quantbench.sweeps.combine import Combine, Compose, combination, plain_node, with_values
from quantbench.sweeps.grid import Axis, Grid
from quantbench.sweeps.hydra_tools import search_path, searching, told, users_folders
from quantbench.sweeps.sweep import Combination, Sweep
from quantbench.sweeps.words import IsGroup, bare, plain, quoted, word_of

OURS = "hydra_plugins.quantbench_plugins."
"""Where our sweeper and our launcher are."""


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
    if config_dir is not None:
        forget_config_dirs()
    check_words(overrides, config_dir)
    with _composer(config_dir) as (once, parser, is_group):
        words = _parsed([quoted(word) for word in overrides], parser)
        for one in words:
            if not one.is_sweep_override():
                grid.check_choices(one, [plain(one.value())], is_group)
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
        own, terms = grid.of_command(words, is_group)
        if multirun or str(OmegaConf.select(hydra, "mode")).endswith("MULTIRUN"):
            asked = grid.with_experiment(own, terms, plain_node(hydra.sweeper), parser, is_group)
        elif not (swept := [one for one in terms if one.swept]):
            asked = grid.settled(own, terms, [], [], is_group)
        else:
            raise ConfigError(f"{_written(swept[0])}: -m sweeps over several values; one that is a list is [a,b]")
        return _sweep(asked, once, is_group, list(overrides), search_path(config_dir))


def jobs(arguments: Sequence[str], sweeper: Mapping[str, Any], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of every trial, for launchers that are not ours."""
    is_group = _groups(loader)
    parser = OverridesParser.create(config_loader=loader)
    own, terms = grid.of_command(parser.parse_overrides([quoted(word) for word in arguments]), is_group)
    asked = grid.with_experiment(own, terms, sweeper, parser, is_group)
    return [[*asked.hydra, *job] for job in grid.jobs(asked, is_group)]


def of_configs(configs: Sequence[DictConfig], hydra: DictConfig) -> Sweep:
    """The sweep of trials that Hydra composed one by one, each with its ``hydra`` node."""
    command = [str(word) for word in hydra.overrides.task]
    return Sweep(command, users_folders(hydra), [combination(config) for config in configs])


def component(group: str, name: str, config_dir: Path | None = None) -> Settings:
    """The settings of one choice, with every other at its default and nothing that stands for another. Raises ConfigError."""
    with _composer(config_dir) as (once, _, _), told():
        node = OmegaConf.to_container(OmegaConf.select(once([quoted(f"{group}={name}")]), group), resolve=True)
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}


def _parsed(overrides: Sequence[str], parser: OverridesParser) -> list[Override]:
    """The overrides as Hydra reads them. Raises ConfigError, with the word in quotes where these are what it lacks."""
    try:
        with told():
            return parser.parse_overrides(list(overrides))
    except ConfigError as error:
        for word in overrides:
            key, equals, value = word.partition("=")
            quoted = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
            plain_text = equals and not set(value) & set("()[]{},'\"")  # else a bracket may be missing
            if plain_text and not _readable(word, parser) and _readable(quoted, parser):
                own = f", or --{key} {shlex.quote(value)}" if key in ("output", "name") else ""
                raise ConfigError(f"{error}\ntext with such characters stands in quotes: {shlex.quote(quoted)}{own}") from error
        raise


def _readable(word: str, parser: OverridesParser) -> bool:
    try:
        parser.parse_override(word)
    except HydraException:
        return False
    return True


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
    """Tells whether a key is a group of choices; each key is looked up once.

    In the folders themselves: the loader's own look-up copies all that it knows, which takes longer than to compose.
    """
    sources = loader.get_sources()

    @cache
    def is_group(key: str) -> bool:
        return any(one.is_group(key) and one.list(key, ObjectType.CONFIG) for one in sources)

    return is_group


def _written(axis: Axis, most: int = 3) -> str:
    return f"{axis.key}={','.join(map(str, axis.values[:most]))}{',...' * (len(axis.values) > most)}"


def _sweep(asked: Grid, once: Compose, is_group: IsGroup, command: list[str], folders: list[str]) -> Sweep:
    """What Hydra must compose makes combinations; all other values that vary are axes."""
    plain_keys = [{key for key in point if key not in asked.composed} for point in asked.points]
    shared = [key for key in (asked.points or [{}])[0] if all(key in keys for keys in plain_keys)]
    together = {key: _distinct(point[key] for point in asked.points) for key in shared}
    indices = {key: {canonical(value): i for i, value in enumerate(values)} for key, values in together.items()}
    axes = together | {axis.key: list(axis.values) for axis in asked.axes if not axis.words}
    combine = Combine(once, [*asked.hydra, *asked.fixed])
    numbers: dict[str, int] = {}
    combinations: list[Combination] = []
    points: list[list[int]] = []
    for point, chosen in itertools.product(asked.points or [{}], itertools.product(*_composed(asked))):
        first = [[indices[key][canonical(point[key])]] for key in together]
        places = itertools.product(*first, *(range(len(axes[key])) for key in axes if key not in together))
        rows = [list(place) for place in places]
        if asked.exclude:
            pairs = [*point.items(), *((key, value) for key, _, value in chosen)]
            settings = asked.held | dict(excluded.spelled((bare(key), value) for key, value in pairs))
            rows = [row for row in rows if not excluded.left_out(settings | _at(axes, row), asked.exclude)]
        if not rows:
            continue
        words = [word_of(key, value, is_group) for key, value in point.items() if key in asked.composed]
        words += [word for _, word, _ in chosen]
        own = {key: value for key, value in point.items() if key not in shared and key not in asked.composed}
        number = numbers.setdefault(canonical([words, own]), len(combinations))
        if number == len(combinations):
            combinations.append(with_values(combine(words), [*asked.values, *own.items()]))
        points += [[number, *row] for row in rows]
    if not points:
        raise ConfigError("hydra.sweeper.exclude leaves out every point of this grid; hydra.sweeper.exclude=[] keeps them")
    full = len(points) == len(combinations) * math.prod(map(len, axes.values()))
    return Sweep(command, folders, combinations, axes, None if full else points)


def _composed(asked: Grid) -> list[list[tuple[str, str, Any]]]:
    """Key, override and value of every value of every axis that Hydra must compose."""
    axes = [axis for axis in asked.axes if axis.words]
    return [[(bare(axis.key), word, value) for word, value in zip(axis.words, axis.values, strict=True)] for axis in axes]


def _at(axes: Mapping[str, Sequence[Any]], place: Sequence[int]) -> Settings:
    return dict(excluded.spelled((key, values[i]) for (key, values), i in zip(axes.items(), place, strict=True)))


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({canonical(value): value for value in values}.values())

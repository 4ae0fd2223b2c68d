"""What varies in a sweep: words of the command line, and the axes and points of an experiment, in Hydra's grammar."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString, Transformer
from hydra.errors import HydraException

from quantbench.config import PER_RUN, canonical
from quantbench.errors import ConfigError
from quantbench.schema import Settings
from quantbench.sweeps.stored import MOST_TRIALS

IsGroup = Callable[[str], bool]


@dataclass(frozen=True)
class Axis:
    """The values of one key.

    Attributes:
        key: as it is written, a plus included.
        values: plain data; names of choices where the key is a group.
        words: an override a value where Hydra must compose it; empty for values of a setting that is there.
    """

    key: str
    values: Sequence[Any]
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Grid:
    """Every point of a sweep: each of ``points`` with each combination of the axes' values, but for ``exclude``.

    Attributes:
        hydra: overrides of Hydra's own settings.
        fixed: overrides that hold for all trials and that Hydra must compose.
        values: settings that hold for all trials.
    """

    hydra: list[str]
    fixed: list[str]
    values: Settings
    axes: list[Axis]
    points: list[Settings]
    exclude: list[Settings]

    @property
    def choices(self) -> Settings:
        """What holds for all trials, by key, for exclusions to be matched with."""
        return {_bare(_key(word)): word.partition("=")[2] for word in self.fixed} | self.values


def of_command(overrides: Sequence[Override], is_group: IsGroup) -> Grid:
    """The grid of a command line alone; of a key that is there twice the last word counts. Raises ConfigError."""
    hydra: list[str] = []
    fixed: dict[str, str] = {}
    values: Settings = {}
    axes: dict[str, Axis] = {}
    for one in overrides:
        key, word = one.get_key_element(), str(one.input_line)
        bare = _bare(key)
        if for_hydra(one):
            hydra.append(word)
            continue
        values.pop(bare, None)
        axes.pop(bare, None)
        if one.type != OverrideType.CHANGE or is_group(one.key_or_group):  # a plain value needs an addition before it
            fixed.pop(bare, None)
        if one.is_sweep_override():
            axes[bare] = _axis(key, one, is_group)
        elif composed(one, is_group):
            fixed[bare] = word
        elif any(_overlap(bare, other) for other in axes):
            axes[bare] = Axis(key, [plain(one.value())])  # after that axis, whose settings it changes
        else:
            values[bare] = plain(one.value())
    return Grid(hydra, list(fixed.values()), values, list(axes.values()), [], [])


def check_choice(one: Override, is_group: IsGroup) -> None:
    """Raise ConfigError where a choice is no name."""
    value = plain(one.value())
    if is_group(one.key_or_group) and not (one.is_delete() or one.is_sweep_override() or isinstance(value, str | list)):
        group = one.key_or_group
        raise ConfigError(f"{one.input_line}: must name a choice; `quantbench list {group}` shows those of {group}")


def _overlap(first: str, second: str) -> bool:
    """Whether two keys are of settings one of which is within the other."""
    return first != second and (first.startswith(f"{second}.") or second.startswith(f"{first}."))


def for_hydra(one: Override) -> bool:
    """Whether an override is of Hydra's own settings."""
    return one.key_or_group.partition(".")[0].partition("/")[0] == "hydra"


def with_experiment(grid: Grid, sweeper: Mapping[str, Any], parser: OverridesParser, is_group: IsGroup) -> Grid:
    """The grid with the axes, points and exclusions of an experiment, whose place the command line's own keys take.

    Args:
        sweeper: ``params``, axes by key: text in Hydra's grammar, or a list of values; ``points``, values that go together;
            ``exclude``, values that a point to leave out has.

    Raises:
        ConfigError: an axis is empty or no list of values, or there are far too many points.
    """
    params, told, exclude = _checked(sweeper)
    given = {_bare(key) for key in [*grid.values, *(axis.key for axis in grid.axes), *map(_key, grid.fixed)]}
    axes = {_bare(key): _param(key, value, parser, is_group) for key, value in params.items() if _bare(key) not in given}
    points = [{key: value for key, value in one.items() if _bare(key) not in given} for one in told]
    points = list({canonical(one): one for one in points}.values())  # once, where the command line took a place
    others = [*axes, *(_bare(key) for one in points for key in one)]
    late = {key: value for key, value in grid.values.items() if any(_overlap(key, other) for other in others)}
    values = {key: value for key, value in grid.values.items() if key not in late}
    axes |= {_bare(axis.key): axis for axis in grid.axes} | {key: Axis(key, [value]) for key, value in late.items()}
    varying = {axis.key for axis in axes.values() if len(axis.values) > 1} | {
        key for one in points for key, value in one.items() if any(other.get(key) != value for other in points)
    }
    for key in varying:
        if _bare(key).partition(".")[0] in PER_RUN:
            raise ConfigError(f"{key}: is a setting of the whole run and cannot vary within it")
    if max(1, len(points)) * math.prod(len(axis.values) for axis in axes.values()) > MOST_TRIALS:
        raise ConfigError(f"{' '.join(axes)}: these axes have more than {MOST_TRIALS} points; run several sweeps")
    return Grid(grid.hydra, grid.fixed, values, list(axes.values()), points, exclude)


def _checked(sweeper: Mapping[str, Any]) -> tuple[Settings, list[Settings], list[Settings]]:
    """Axes, points and exclusions of an experiment, the latter without a plus. Raises ConfigError for what is none of these."""
    params: Any = sweeper.get("params") or {}
    points: Any = sweeper.get("points") or []
    exclude: Any = sweeper.get("exclude") or []
    if not isinstance(params, Mapping):
        raise ConfigError(f"hydra.sweeper.params={params}: must hold axes by key")
    for name, some in (("points", points), ("exclude", exclude)):
        if not isinstance(some, list) or not all(isinstance(one, Mapping) for one in some):
            raise ConfigError(f"hydra.sweeper.{name}={some}: must be a list, each {{key: value}}")
    if any(not _bare(str(key)) for one in (params, *points, *exclude) for key in one):
        raise ConfigError("hydra.sweeper: holds a key without a name")
    return dict(params), [dict(one) for one in points], [{_bare(key): value for key, value in one.items()} for one in exclude]


def composed(one: Override, is_group: IsGroup) -> bool:
    """Whether Hydra must compose an override; others only give a setting that is there another value."""
    return one.type != OverrideType.CHANGE or one.package is not None or is_group(one.key_or_group)


def plain(value: Any) -> Any:
    """A parsed value as plain data: numbers, text, lists and dictionaries."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else getattr(value, "text", str(value))


def word_of(key: str, value: Any) -> str:
    """An override that gives ``key`` a value, in Hydra's grammar."""
    return f"{key}={_text(value)}"


def jobs(grid: Grid, is_group: IsGroup) -> list[list[str]]:
    """The overrides of every point, for launchers that are not ours."""
    always = [*grid.fixed, *(word_of(key, value) for key, value in grid.values.items())]
    every = [
        list(zip(axis.words or [word_of(axis.key, v) for v in axis.values], axis.values, strict=True)) for axis in grid.axes
    ]
    keys = [_bare(axis.key) for axis in grid.axes]
    found = []
    for point in grid.points or [{}]:
        for row in itertools.product(*every):
            settings = {_bare(key): value for key, value in point.items()} | dict(zip(keys, (v for _, v in row), strict=True))
            if not left_out(grid.choices | settings, grid.exclude):
                own = [point_word(key, value, is_group) for key, value in point.items()]
                found.append([*always, *own, *(word for word, _ in row)])
    return found


def point_word(key: str, value: Any, is_group: IsGroup) -> str:
    """A point's value as an override; the names of choices need no quotes."""
    return f"{key}={value}" if is_group(_bare(key).partition("@")[0]) else word_of(key, value)


def left_out(point: Mapping[str, Any], exclude: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a point, values by key without a plus, has all values of one that is to be left out."""
    return any(all(key in point and point[key] == value for key, value in one.items()) for one in exclude)


def _axis(key: str, one: Override, is_group: IsGroup) -> Axis:
    if not one.is_discrete_sweep():
        raise ConfigError(f"{one.input_line}: a grid takes values, ranges and globs, no intervals")
    try:
        found = list(itertools.islice(one.sweep_iterator(), MOST_TRIALS + 1))  # once: a shuffle would give another order
    except (HydraException, ValueError) as error:  # as of a range with a step of 0
        raise ConfigError(f"{one.input_line}: has no values ({error})") from error
    if not found:
        raise ConfigError(f"{one.input_line}: this axis has no values")
    words = [f"{key}={Transformer.str(value)}" for value in found] if composed(one, is_group) else []
    return Axis(key, [plain(value) for value in found], words)


def _param(key: str, value: Any, parser: OverridesParser, is_group: IsGroup) -> Axis:
    """An axis of an experiment."""
    if value is None or value == "" or value == []:
        raise ConfigError(f"hydra.sweeper.params.{key}: this axis has no values")
    if isinstance(value, str):
        try:
            one = parser.parse_override(f"{key}={value}")
        except HydraException as error:
            reason = str(error).splitlines()[1:2] or [str(error)]
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: cannot be read in Hydra's grammar ({reason[0]})") from error
        if one.is_sweep_override():
            return _axis(one.get_key_element(), one, is_group)
        return Axis(key, [plain(one.value())], [f"{key}={value}"] if composed(one, is_group) else [])
    values = value if isinstance(value, list) else [value]
    words = [point_word(key, one, is_group) for one in values] if must_compose(key, is_group) else []
    return Axis(key, values, words)


def must_compose(key: str, is_group: IsGroup) -> bool:
    """Whether Hydra must compose what a key of an experiment's axis or point gives."""
    return key[0] in "+~" or "@" in key or is_group(key)


def group_of(word: str) -> str:
    """The group of an override that chooses."""
    return _bare(_key(word)).partition("@")[0]


def _bare(key: str) -> str:
    return key.lstrip("+")


def _key(word: str) -> str:
    return word.partition("=")[0]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)

"""What varies in a sweep: words of the command line, and the axes and points of an experiment, in Hydra's grammar."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from quantbench.config import PER_RUN, canonical
from quantbench.errors import ConfigError
from quantbench.schema import Settings
from quantbench.sweeps import excluded
from quantbench.sweeps.stored import MOST_TRIALS
from quantbench.sweeps.words import IsGroup, bare, check_name, group_of, plain, quoted, word_of

Pair = tuple[str, Any]
"""A key, without a sign, and a value."""


@dataclass(frozen=True)
class Axis:
    """The values of one key.

    Attributes:
        key: as it is written, a plus included.
        values: plain data; names of choices where the key is a group.
        words: an override a value where Hydra must compose it; empty for values of a setting that is there.
        swept: whether it was written as an axis, and not as the one value of all trials.
    """

    key: str
    values: Sequence[Any]
    words: Sequence[str] = ()
    swept: bool = True

    @property
    def pairs(self) -> list[Pair]:
        return [(bare(self.key), value) for value in self.values]


@dataclass(frozen=True)
class Grid:
    """Every point of a sweep: each of ``points`` with each combination of the axes' values, but for ``exclude``.

    Attributes:
        hydra: overrides of Hydra's own settings.
        fixed: overrides that hold for all trials and that Hydra must compose.
        values: settings that hold for all trials, in order.
        held: all that holds for all trials, by key, for exclusions to be matched with.
        axes: in order.
        composed: keys, as they are written, of what Hydra must compose of the points.
    """

    hydra: list[str]
    fixed: list[str]
    values: list[Pair]
    held: Settings
    axes: list[Axis]
    points: list[Settings]
    exclude: list[Settings]
    composed: frozenset[str]


def of_command(overrides: Sequence[Override], is_group: IsGroup) -> tuple[list[str], list[Axis]]:
    """Overrides of Hydra's own settings, and what the other words of a command line say, in order. Raises ConfigError."""
    hydra = [str(one.input_line) for one in overrides if for_hydra(one)]
    terms: list[Axis] = []
    for one in overrides:
        if not for_hydra(one):
            terms = _with(terms, _term(one, is_group), is_group)
    return hydra, terms


def for_hydra(one: Override) -> bool:
    """Whether an override is of Hydra's own settings."""
    return one.key_or_group.partition(".")[0].partition("/")[0] == "hydra"


def _with(terms: list[Axis], new: Axis, is_group: IsGroup) -> list[Axis]:
    """Terms and a later one: of a key that is there twice the last counts, but a mapping changes only what it holds."""
    before = [one for one in terms if bare(one.key) == bare(new.key)]
    if any(isinstance(value, dict) for value in new.values):
        return [*terms, new]
    if new.key.startswith("~"):  # what was added must be there to be deleted
        gone = [one for one in before if not one.key.startswith("+")]
    else:
        gone = [one for one in before if not one.key.startswith("~")]
        added = next((one.key for one in gone if one.key.startswith("+")), "")
        if added and new.key == bare(new.key):
            new = replace(new, key=added, words=[word_of(added, value, is_group) for value in new.values])
    return [*(one for one in terms if one not in gone), new]


def _term(one: Override, is_group: IsGroup) -> Axis:
    """What an override says."""
    key, group, swept = one.get_key_element(), is_group(one.key_or_group), one.is_sweep_override()
    values = _values(one) if swept else [plain(one.value())]
    check_choices(one, values, is_group)
    if one.type == OverrideType.CHANGE and one.package is None and not group:
        return Axis(key, values, swept=swept)
    words = [word_of(key, value, is_group) for value in values] if swept else [str(one.input_line)]
    return Axis(key, values, words, swept)


def check_choices(one: Override, values: Sequence[Any], is_group: IsGroup) -> None:
    """Raise ConfigError where one of an override's values is to be a choice and names none."""
    if is_group(one.key_or_group) and not one.is_delete():
        for value in values:
            check_name(str(one.input_line), one.key_or_group, value)


def _values(one: Override) -> list[Any]:
    if not one.is_discrete_sweep():
        raise ConfigError(f"{one.input_line}: a grid takes values, ranges and globs, no intervals")
    try:
        found = list(itertools.islice(one.sweep_iterator(), MOST_TRIALS + 1))  # once: a shuffle would give another order
    except (HydraException, ValueError) as error:  # as of a range with a step of 0
        raise ConfigError(f"{one.input_line}: has no values ({error})") from error
    if not found:
        raise ConfigError(f"{one.input_line}: this axis has no values")
    return [plain(value) for value in found]


def with_experiment(
    hydra: list[str], terms: Sequence[Axis], sweeper: Mapping[str, Any], parser: OverridesParser, is_group: IsGroup
) -> Grid:
    """The grid of a command line and of an experiment, whose axes' and points' place the command line's own keys take.

    Args:
        sweeper: ``params``, axes by key: text in Hydra's grammar, or a list of values; ``points``, values that go together;
            ``exclude``, values that a point to leave out has.

    Raises:
        ConfigError: an axis is empty or no list of values, a value to exclude is nowhere, or there are far too many points.
    """
    params, told, exclude = _checked(sweeper, is_group)
    own = [_param(key, value, parser, is_group) for key, value in params.items()]
    written = [pair for axis in [*own, *terms] for pair in axis.pairs]
    excluded.check(exclude, [*written, *((bare(key), value) for one in told for key, value in one.items())])
    given: dict[str, list[Any]] = {}
    for term in terms:
        given.setdefault(bare(term.key), []).extend(term.values)

    def taken(key: str, values: Sequence[Any]) -> bool:
        """Whether the command line takes the place of these; of mappings it changes what its own mapping holds."""
        later = given.get(bare(key))
        return later is not None and not all(isinstance(value, dict) for value in [*later, *values])

    axes = [axis for axis in own if not taken(axis.key, axis.values)]
    points = [{key: value for key, value in one.items() if not taken(key, [value])} for one in told]
    points = list({canonical([*one.items()]): one for one in points}.values())  # once, where the command line took a place
    found = settled(hydra, [*axes, *terms], points, exclude, is_group)
    _check_extent(found)
    return found


def _check_extent(grid: Grid) -> None:
    """Raise ConfigError where what holds for a whole run varies, or there are far too many points."""
    varying = {axis.key for axis in grid.axes if len(axis.values) > 1} | {
        key for one in grid.points for key, value in one.items() if any(other.get(key) != value for other in grid.points)
    }
    for key in sorted(varying):
        if bare(key).partition(".")[0] in PER_RUN:
            raise ConfigError(f"{key}: is a setting of the whole run and cannot vary within it")
    if max(1, len(grid.points)) * math.prod(len(axis.values) for axis in grid.axes) > MOST_TRIALS:
        names = " ".join(axis.key for axis in grid.axes)
        raise ConfigError(f"{names}: these axes have more than {MOST_TRIALS} points; run several sweeps")


def _checked(sweeper: Mapping[str, Any], is_group: IsGroup) -> tuple[Settings, list[Settings], list[Settings]]:
    """Axes, points and exclusions of an experiment, the latter without a plus. Raises ConfigError for what is none of these."""
    params: Any = sweeper.get("params") or {}
    points: Any = sweeper.get("points") or []
    exclude: Any = sweeper.get("exclude") or []
    if not isinstance(params, Mapping):
        raise ConfigError(f"hydra.sweeper.params={params}: must hold axes by key")
    for name, some in (("points", points), ("exclude", exclude)):
        if not isinstance(some, list) or not all(isinstance(one, Mapping) for one in some):
            raise ConfigError(f"hydra.sweeper.{name}={some}: must be a list, each {{key: value}}")
    if any(not bare(str(key)) for one in (params, *points, *exclude) for key in one):
        raise ConfigError("hydra.sweeper: holds a key without a name")
    for name, some in (("points", points), ("exclude", exclude)):
        for key, value in [(str(key), value) for one in some for key, value in one.items()]:
            if is_group(group_of(key)) and not key.startswith("~"):
                check_name(f"hydra.sweeper.{name}: {key}: {value}", group_of(key), value)
    return dict(params), [dict(one) for one in points], [{bare(key): value for key, value in one.items()} for one in exclude]


def _param(key: str, value: Any, parser: OverridesParser, is_group: IsGroup) -> Axis:
    """An axis of an experiment."""
    if value is None or value == "" or value == []:
        raise ConfigError(f"hydra.sweeper.params.{key}: this axis has no values")
    if isinstance(value, str):
        try:
            (one,) = parser.parse_overrides([quoted(f"{key}={value}")])  # in a list, or a glob would not find choices
        except HydraException as error:
            reason = str(error).splitlines()[1:2] or [str(error)]
            raise ConfigError(f"hydra.sweeper.params.{key}={value}: cannot be read in Hydra's grammar ({reason[0]})") from error
        return replace(_term(one, is_group), swept=True)
    values = value if isinstance(value, list) else [value]
    if is_group(group_of(key)):
        for name in values:
            check_name(f"hydra.sweeper.params.{key}: {name}", group_of(key), name)
    words = [word_of(key, one, is_group) for one in values] if must_compose(key, is_group) else []
    return Axis(key, values, words)


def settled(
    hydra: list[str], terms: Sequence[Axis], points: list[Settings], exclude: list[Settings], is_group: IsGroup
) -> Grid:
    """The grid of terms in their order, and of points before them.

    A term that holds for all trials need not be composed in its turn, unless another one is of the same settings: then Hydra
    composes all of these in order.
    """
    keys = list(dict.fromkeys(key for one in points for key in one))
    entries = [(bare(key), False) for key in keys if not is_group(group_of(key))]
    entries += [(bare(one.key), not (one.swept or one.words)) for one in terms if not is_group(group_of(one.key))]
    in_order = _entangled(entries)
    fixed: list[str] = []
    values: list[Pair] = []
    axes: list[Axis] = []
    held: list[Pair] = []
    for one in terms:
        ordered = bare(one.key) in in_order
        if ordered and not one.words:
            one = replace(one, words=[word_of(one.key, value, is_group) for value in one.values])
        if ordered or one.swept:
            axes.append(one)
            continue
        held += one.pairs
        if one.words:
            fixed += one.words
        else:
            values += one.pairs
    composed = frozenset(key for key in keys if must_compose(key, is_group) or bare(key) in in_order)
    return Grid(hydra, fixed, values, dict(excluded.spelled(held)), axes, points, exclude, composed)


def _entangled(entries: Sequence[tuple[str, bool]]) -> set[str]:
    """Keys of settings that more than one term is of, but for terms that are plain values of all trials.

    Args:
        entries: the key of every term, and whether it is such a value.
    """
    found: set[str] = set()
    while True:
        more = set()
        for (key, easy), (other, as_easy) in itertools.permutations(entries, 2):
            if key not in found and _overlap(key, other) and (not (easy and as_easy) or other in found):
                more.add(key)
        if not more:
            return found
        found |= more


def _overlap(first: str, second: str) -> bool:
    """Whether two keys are of the same settings, or one of settings within the other."""
    return first == second or first.startswith(f"{second}.") or second.startswith(f"{first}.")


def jobs(grid: Grid, is_group: IsGroup) -> list[list[str]]:
    """The overrides of every point, for launchers that are not ours."""
    always = [*grid.fixed, *(word_of(key, value, is_group) for key, value in grid.values)]
    every = [
        list(zip(axis.words or [word_of(axis.key, value, is_group) for value in axis.values], axis.pairs, strict=True))
        for axis in grid.axes
    ]
    found = []
    for point in grid.points or [{}]:
        own = [word_of(key, value, is_group) for key, value in point.items()]
        held = grid.held | dict(excluded.spelled((bare(key), value) for key, value in point.items()))
        for row in itertools.product(*every):
            if not (grid.exclude and excluded.left_out(held | dict(excluded.spelled(pair for _, pair in row)), grid.exclude)):
                found.append([*always, *own, *(word for word, _ in row)])
    return found


def must_compose(key: str, is_group: IsGroup) -> bool:
    """Whether Hydra must compose what a key of an experiment's axis or point gives."""
    return key[0] in "+~" or "@" in key or is_group(key)

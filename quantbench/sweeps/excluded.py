"""Points of a grid that are to be left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from quantbench.errors import ConfigError
from quantbench.suggest import did_you_mean, like_setting


def spelled(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Keys with values; of a mapping the settings within it, too."""
    for key, value in pairs:
        yield key, value
        if isinstance(value, Mapping):
            yield from spelled((f"{key}.{name}", item) for name, item in value.items())


def left_out(point: Mapping[str, Any], exclude: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a point, values by key without a sign, has all values of one that is to be left out."""
    return any(all(key in point and same(point[key], value) for key, value in one.items()) for one in exclude)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal: 1 and 1.0 are, 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def check(exclude: Sequence[Mapping[str, Any]], grid: Iterable[tuple[str, Any]]) -> None:
    """Raise ConfigError for a key or a value that is nowhere in a grid: a slip would leave out nothing.

    Args:
        grid: every key, without a sign, and value that the experiment or the command line names.
    """
    known: dict[str, list[Any]] = {}
    for key, value in spelled(grid):
        known.setdefault(key, []).append(value)
    for one in exclude:
        if not one:
            raise ConfigError(f"hydra.sweeper.exclude={list(exclude)}: one of these names no value; leave it away")
        for key, value in one.items():
            where = f"hydra.sweeper.exclude: {key}: {value}"
            if key not in known:
                there = ", ".join(known) or "nothing"
                raise ConfigError(
                    f"{where}: {key} is not in this grid, which has {there}, so nothing would be left out; "
                    f"hydra.sweeper.exclude=[] gives up all exclusions{did_you_mean(like_setting(key, known, 1))}"
                )
            if not any(same(value, other) for other in known[key]):
                there = ", ".join(dict.fromkeys(str(other) for other in known[key][:20]))
                raise ConfigError(f"{where}: no point of this grid has this value; {key} is {there}")

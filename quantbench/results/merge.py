"""Whole configurations of runs, from their sweep.yaml, so that runs of unlike settings are never taken for alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from quantbench.choices import class_name
from quantbench.errors import ConfigError
from quantbench.files import read_text
from quantbench.resolvers import resolved
from quantbench.results.schema import GROUPS
from quantbench.yaml_text import parse

LARGEST = 2**25
"""Bytes of a sweep.yaml that is read: those of millions of points say nothing more of what is constant."""
MOST_SETTINGS = 200_000
"""Settings of all combinations together; a file whose aliases multiply them has more."""

Configuration = dict[str, dict[str, dict[str, Any]]]
"""By group and choice: each setting (by dotted name) with its value, or that the run varies it. ``train`` has the choice ''."""

_VARIES = object()


def read_configuration(path: Path) -> Configuration | None:
    """What a run's sweep.yaml says of settings that it does not vary; None where there is none.

    Raises:
        ConfigError: it is no sweep.yaml.
    """
    try:
        content = parse(read_text(path, LARGEST))
        axes = {str(name): list(values) for name, values in content["axes"].items()}
        combinations = [(dict(one["choices"]), dict(one["config"])) for one in content["combinations"]]
        data = {str(where): str(what) for where, what in dict(content.get("data") or {}).items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as a sweep ({type(error).__name__})") from error
    fixed = {name: values[0] for name, values in axes.items() if len(values) == 1}
    varied = {name for name, values in axes.items() if len(values) > 1}
    found: Configuration = {}
    count = 0
    for choices, config in combinations:
        for group, name, value in _settings(resolved(config, fixed)):
            count += 1
            if count > MOST_SETTINGS:
                raise ConfigError(f"{path}: holds more settings than a sweep has")
            value = data.get(str(value), value)  # the same recordings elsewhere are the same, others in their place are not
            known = found.setdefault(group, {}).setdefault(str(choices.get(group, "")), {})
            if name in varied or known.get(name, value) != value:
                value = _VARIES
            known[name] = value
    return found


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Group, dotted name and value of every setting that may change what a trial finds."""

    def flat(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items():
            if isinstance(value, dict):
                if isinstance(target := value.get("_target_"), str):
                    yield f"{prefix}.{name}", class_name(target)
                yield from flat({key: one for key, one in value.items() if key != "_target_"}, f"{prefix}.{name}")
            else:
                yield f"{prefix}.{name}", value

    for group in (*GROUPS, "train"):
        if isinstance(node := config.get(group), dict):
            yield from ((group, name, value) for name, value in flat(node, group))


def told_apart(
    tables: Sequence[pd.DataFrame], configurations: Sequence[Configuration | None], names: Sequence[str]
) -> tuple[list[pd.DataFrame], list[str], list[str]]:
    """The tables of runs, each with a column for every setting in which they differ; these settings; what could not be told."""
    columns = {str(name) for table in tables for name in table if "." in str(name)}
    apart = sorted({name for name in differing(configurations) if "." in name})
    columns |= set(apart)
    order = [str(name) for table in tables for name in table if "." in str(name)]
    found, notes = [], []
    for table, configuration, run in zip(tables, configurations, names, strict=True):
        lacking = [name for name in dict.fromkeys([*order, *sorted(columns)]) if name not in table]
        unknown = []
        for name in lacking:
            values = None if configuration is None else _column(table, configuration, name)
            if values is None:
                unknown.append(name)
            else:
                table = table.assign(**{name: values})
        if unknown:
            notes.append(f"{', '.join(unknown)}: no column of {run}, and no sweep.yaml beside it tells the value there")
        found.append(table)
    return found, apart, notes


def differing(configurations: Sequence[Configuration | None]) -> dict[str, list[Any]]:
    """Settings with unlike values in runs that have the same choice there: by dotted name, the values by run.

    A run's value is None where it has no such setting, or varies it. Whole values are compared: a run of a new version may
    have settings that one of an old version did not write.
    """
    known = [one for one in configurations if one is not None]
    found: dict[str, list[Any]] = {}
    for group in (*GROUPS, "train"):
        for choice in dict.fromkeys(choice for one in known for choice in one.get(group, {})):
            nodes = [one.get(group, {}).get(choice) if one else None for one in configurations]
            for name in dict.fromkeys(name for node in nodes for name in node or {}):
                values = [None if node is None else node.get(name) for node in nodes]
                own = [value for node, value in zip(nodes, values, strict=True) if node is not None and value is not _VARIES]
                if any(value != own[0] for value in own):
                    found.setdefault(name, [None if value is _VARIES else value for value in values])
    return found


def _column(table: pd.DataFrame, configuration: Configuration, name: str) -> pd.Series[Any] | None:
    """The value of a setting in every row, by the row's choice; None where a choice of the table is not told of."""
    group = name.partition(".")[0]
    choices = configuration.get(group, {})
    if group == "train":
        value = choices.get("", {}).get(name)
        return None if value is _VARIES else pd.Series([_cell(value)] * len(table), index=table.index, dtype=object)
    own = [str(choice) for choice in table[group].dropna().unique()] if group in table else []
    if not own or any(one not in choices or choices[one].get(name) is _VARIES for one in own):
        return None
    values = [_cell(choices.get(str(choice), {}).get(name)) for choice in table[group]]
    return pd.Series(values, index=table.index, dtype=object)


def _cell(value: Any) -> Any:
    """As results.csv holds it: a list as text."""
    return json.dumps(value) if isinstance(value, list | dict) else value

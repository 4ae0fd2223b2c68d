"""``sweep.yaml``: what a sweep is, with a checksum. Whoever wrote or changed it, each part is checked before it is used."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quantbench.config import COMPONENTS, canonical
from quantbench.errors import ConfigError, brief
from quantbench.files import read_text, write_text
from quantbench.version import __version__
from quantbench.yaml_text import parse

LARGEST = 2**28
"""Bytes of a sweep of a million trials, and more."""
MOST_TRIALS = 1_000_000
"""Points of a grid: a range with a few zeros too many is told, and does not take all memory."""
UNUSABLE = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
"""No name of a file and no text on a disk can hold these; bytes of a name that are no text are between them."""
KEYS = ("command", "search_path", "combinations", "axes", "points", "data")


@dataclass(frozen=True)
class Stored:
    """What a file holds.

    Attributes:
        content: the fields of a sweep, as plain data.
        version: of QuantBench, which wrote it.
        changed: whether it was changed since; what an earlier version wrote has no checksum, and does not tell.
    """

    content: dict[str, Any]
    version: str
    changed: bool


def write(content: dict[str, Any], path: Path) -> None:
    """Write ``sweep.yaml``. Raises QuantBenchError."""
    whole = {"quantbench": __version__, "checksum": _checksum(content)} | content
    form: Any = {"sort_keys": False, "default_flow_style": None, "width": 120}
    try:
        text = yaml.dump(whole, Dumper=_dumper("CSafeDumper"), **form)
    except UnicodeEncodeError:  # bytes of a file's name that are no text, for which libyaml has no escapes
        text = yaml.dump(whole, Dumper=_dumper("SafeDumper"), **form)
    write_text(path, text)


def read(path: Path) -> Stored:
    """Read ``sweep.yaml``. Raises ConfigError, with the place in it, when it is not one."""
    try:
        content = parse(read_text(path, LARGEST))
        _need(isinstance(content, dict), "", content, "a mapping")
        version, noted = content.pop("quantbench", None), content.pop("checksum", None)
        _need(isinstance(version, str), "quantbench", version, "a version")
        _need(noted is None or isinstance(noted, str), "checksum", noted, "text")
        _check({"points": None, "axes": {}, "data": {}} | content)
        return Stored(content, version, noted is not None and noted != _checksum(content))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path.parent}: no folder of a run (it has no {path.name})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as a sweep ({error})") from error


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """``NAME: VALUE there, VALUE here`` for every setting in which two sweeps are unlike; once for all combinations."""
    there, here = dict(_leaves(one)), dict(_leaves(other))
    unlike = [place for place in dict.fromkeys([*there, *here]) if there.get(place) != here.get(place)]
    names = {place: re.sub(r"^combinations\[\d+\]\.(config\.)?", "", place) for place in unlike}
    return list(dict.fromkeys(f"{names[p]}: {brief(there.get(p))} there, {brief(here.get(p))} here" for p in unlike))


def _leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """What is at every place of plain data; a list of values is one."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{place}.{name}" if place else name)
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        for i, value in enumerate(node):
            yield from _leaves(value, f"{place}[{i}]")
    else:
        yield place, node


def _checksum(content: dict[str, Any]) -> str:
    """Of what a file says, however it is written down."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]


def _need(holds: bool, place: str, value: Any, words: str) -> None:
    """Raise ValueError where a part is not what it must be."""
    if not holds:
        raise ValueError(f"{place or 'it'}={brief(value)}: must be {words}")


def _check(content: dict[str, Any]) -> None:
    """Raise ValueError, with the place, unless these are the fields of a sweep."""
    for name in content:
        _need(name in KEYS, str(name), content[name], f"left out; a sweep has {', '.join(KEYS)}")
    for name in KEYS:
        if name not in content:
            raise ValueError(f"{name}: is missing")
    for name in ("command", "search_path"):
        _need(_is_list_of(str, content[name]), name, content[name], "a list of texts")
        _plain(content[name], name)
    combinations = content["combinations"]
    _need(_is_list_of(dict, combinations) and bool(combinations), "combinations", combinations, "a list of choices with config")
    for i, one in enumerate(combinations):
        _check_combination(one, f"combinations[{i}]")
    data, axes = content["data"], content["axes"]
    _need(isinstance(data, dict) and _is_list_of(str, [*data, *data.values()]), "data", data, "a mapping of texts to texts")
    _plain(data, "data")
    _need(isinstance(axes, dict), "axes", axes, "a mapping of settings to lists of values")
    _plain(axes, "axes")
    for name, values in axes.items():
        _need(isinstance(values, list) and bool(values), f"axes.{name}", values, "a list of values")
    _check_points(content["points"], len(combinations), [len(values) for values in axes.values()])


def _check_combination(one: dict[str, Any], place: str) -> None:
    for name in one:
        _need(name in ("choices", "config"), f"{place}.{name}", one[name], "left out; a combination has choices and config")
    choices: Any = one.get("choices")
    config: Any = one.get("config")
    _need(isinstance(choices, dict), f"{place}.choices", choices, "a mapping of groups to names")
    for group, name in choices.items():
        _need(group in COMPONENTS, f"{place}.choices.{group}", name, f"left out; groups are {', '.join(COMPONENTS)}")
    for group in COMPONENTS:
        name = choices.get(group, "" if group == "loss" else None)  # of which the first files said nothing
        _need(isinstance(name, str), f"{place}.choices.{group}", name, f"the name of a {group}")
    _plain(choices, f"{place}.choices")
    _need(isinstance(config, dict), f"{place}.config", config, "a mapping of settings")
    _plain(config, f"{place}.config")


def _check_points(points: Any, combinations: int, lengths: list[int]) -> None:
    if points is None:
        count = combinations * math.prod(lengths)
        _need(count <= MOST_TRIALS, "axes", count, f"at most {MOST_TRIALS:,} trials together")
        return
    _need(
        isinstance(points, list) and 0 < len(points) <= MOST_TRIALS, "points", points, f"null, or 1 to {MOST_TRIALS:,} points"
    )
    bounds = [combinations, *lengths]
    for i, point in enumerate(points):
        fits = isinstance(point, list) and len(point) == len(bounds)
        fits = fits and all(type(at) is int and -1 <= at < bound for at, bound in zip(point, bounds, strict=True))
        fits = fits and point[0] >= 0
        words = f"the numbers of a combination and of a value of each axis, -1 for none, below {bounds}"
        _need(fits, f"points[{i}]", point, words)


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _plain(value: Any, place: str) -> None:
    """Raise ValueError unless a value is made of numbers, texts, lists and mappings, as the settings of a run are."""
    if isinstance(value, dict):
        for name, one in value.items():
            _need(isinstance(name, str) and not UNUSABLE.search(name), f"{place}.{name!r}", one, "named by a text")
            _plain(one, f"{place}.{name}")
    elif isinstance(value, list):
        for i, one in enumerate(value):
            _plain(one, f"{place}[{i}]")
    elif isinstance(value, str):
        _need(not UNUSABLE.search(value), place, value, "text that a file can hold")
    elif type(value) is int:
        _need(abs(value) < 2**63, place, "a number of more digits", "a number of 64 bits")
    else:
        _need(
            value is None or isinstance(value, bool | float),
            place,
            value,
            "a number, text, true, false, null, or a list of these",
        )


def _dumper(name: str) -> Any:
    """A YAML writer without anchors for shared values; the fast one, CSafeDumper, where libyaml is there."""

    class Dumper(getattr(yaml, name, yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return Dumper

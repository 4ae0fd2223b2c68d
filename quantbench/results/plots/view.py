"""What a user asks of a picture: a logarithmic axis, ends of axes, names of methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quantbench.errors import ConfigError, brief
from quantbench.results.plots.picture import Axis, Floats, Picture
from quantbench.suggest import did_you_mean, like

Limits = tuple[float, float]


@dataclass(frozen=True)
class View:
    """How a picture is to be seen: ``log`` is of the axis that the metric is on; limits are of the axes of numbers."""

    log: bool = False
    xlim: Limits | None = None
    ylim: Limits | None = None

    @property
    def options(self) -> list[str]:
        """Those that were given."""
        return [f"--{name}" for name in ("log", "xlim", "ylim") if getattr(self, name)]


def limits_of(option: str, words: str | None) -> Limits | None:
    """The two ends of an axis, of ``LOW,HIGH``. Raises ConfigError."""
    if words is None:
        return None
    try:
        low, high = (float(word) for word in words.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {words}: must be two numbers, as in {option} 0,1") from error
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{option} {words}: both ends must be finite numbers")
    if low >= high:
        raise ConfigError(f"{option} {words}: the first number must be less than the second")
    return low, high


def labels_of(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """What methods are to be called, of ``METHOD=text``. A method's name may itself hold ``=``: the longest name counts.

    Raises:
        ConfigError: no such method, no text, or a name that two methods would have.
    """
    found: dict[str, str] = {}
    for one in given:
        known = [name for name in names if one.startswith(f"{name}=")]
        if not known:
            raise ConfigError(f"--label {brief(one)}: {_unknown(one, names)}")
        name = max(known, key=len)
        text = one[len(name) + 1 :].strip()
        if not text:
            raise ConfigError(f"--label {brief(one)}: there is no text after the name; write METHOD=text")
        if found.get(name, text) != text:
            raise ConfigError(f"--label {brief(one)}: {name} has the label {found[name]!r} already")
        found[name] = text
    shown = [found.get(name, name) for name in names]
    if twice := [name for name in found if shown.count(found[name]) > 1]:
        raise ConfigError(f"--label {brief(f'{twice[0]}={found[twice[0]]}')}: another method would have the same name")
    return found


def _unknown(one: str, names: Sequence[str]) -> str:
    if "=" not in one:
        return "must be METHOD=text, as in --label 'vq ste=straight-through'"
    asked = one.rpartition("=")[0]
    listed = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    if not names:
        return "there is no method"
    return f"no such method; there are {listed}{did_you_mean(like(asked, names, most=1))}"


def viewed(picture: Picture, view: View) -> Picture:
    """The picture with the axes asked for.

    Raises:
        ConfigError: an axis that has no numbers; a logarithm of what is negative; limits between which nothing lies.
    """
    for name, limits in (("x", view.xlim), ("y", view.ylim)):
        if limits is not None:
            picture = _limited(picture, name, limits)
    return _logarithmic(picture, view) if view.log else picture


def _limited(picture: Picture, name: str, limits: Limits) -> Picture:
    axis: Axis = getattr(picture, name)
    option = f"--{name}lim {limits[0]:g},{limits[1]:g}"
    _check_numbers(picture, axis, option)
    values = _values(picture, name)
    inside = (values >= limits[0]) & (values <= limits[1])
    if not inside.any():
        raise ConfigError(f"{option}: nothing lies there; {axis.title} goes from {values.min():.4g} to {values.max():.4g}")
    if axis.log and limits[0] <= 0:
        raise ConfigError(f"{option}: the axis is logarithmic, and must begin above 0")
    notes = [] if inside.all() else [f"{int((~inside).sum())} of {len(values)} values lie outside {option}"]
    changed: Mapping[str, Axis] = {name: replace(axis, limits=limits, words="")}
    return replace(picture, **changed, notes=[*picture.notes, *notes], words=[*picture.words, *notes])  # type: ignore[arg-type]


def _logarithmic(picture: Picture, view: View) -> Picture:
    name = "x" if picture.y.names else "y"
    axis: Axis = getattr(picture, name)
    _check_numbers(picture, axis, "--log")
    values = _values(picture, name)
    if (negative := int((values < 0).sum())) or not (values > 0).any():
        what = f"{negative} of its {len(values)} values are negative" if negative else "all its values are 0"
        raise ConfigError(f"--log: {axis.title} has no logarithm: {what}; leave --log out")
    limits = axis.limits
    if limits is not None and limits[0] <= 0:
        if limits == getattr(view, f"{name}lim"):
            raise ConfigError(f"--{name}lim {limits[0]:g},{limits[1]:g}: with --log it must begin above 0")
        limits = (math.nan, limits[1])
    zeros = int((values == 0).sum())
    notes = [f"{zeros} of {len(values)} values are 0, and not on the logarithmic axis"] if zeros else []
    changed: Mapping[str, Axis] = {name: replace(axis, log=True, limits=limits)}
    return replace(picture, **changed, notes=[*picture.notes, *notes], words=[*picture.words, *notes])  # type: ignore[arg-type]


def _check_numbers(picture: Picture, axis: Axis, option: str) -> None:
    if axis.names or axis.ticks is not None:
        raise ConfigError(f"{option}: this axis of the picture ({picture.title}) has no numbers of its own that could be moved")


def _values(picture: Picture, name: str) -> Floats:
    """Finite values of what stands where it was measured."""
    shown = [getattr(one, name) for panel in picture.panels for one in panel.series if not (name == "x" and one.look.edge)]
    found = np.concatenate(shown) if shown else np.zeros(0)
    return np.asarray(found[np.isfinite(found)])

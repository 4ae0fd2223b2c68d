"""The components of a bottleneck from the names and settings of the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from quantbench.components import Component, One, within
from quantbench.errors import ConfigError, brief
from quantbench.gradients import STE, Gradient, Own, misfit
from quantbench.quantizers import External, Module, Quantizer
from quantbench.schema import checked
from quantbench.suggest import unknown_setting
from quantbench.sweeps.catalogue import default_component
from quantbench.sweeps.spaces import recommended_of

GROUPS = ("quantizer", "gradient")


def chosen(
    quantizer: str | Quantizer, gradient: str | Gradient | None, settings: Mapping[str, Any], recommended: bool
) -> tuple[Quantizer, Gradient]:
    """Quantizer and strategy with their settings, checked.

    Args:
        quantizer, gradient: names of choices, or components; no gradient: the quantizer's own where it has one, else ``ste``.
        settings: by name. A short one is of the quantizer, or of its parts, or of the strategy, whichever has it; a dotted one
            goes on from the quantizer or the strategy, and may begin with ``quantizer.`` or ``gradient.``.
        recommended: whether what authors recommend beyond the defaults holds, where ``settings`` say nothing else.

    Raises:
        ConfigError: no such choice, no such setting, a value that cannot be used, or a pair that does not fit.
    """
    first = _component("quantizer", quantizer)
    if isinstance(first, External | Module):
        raise ConfigError(f"quantizer={brief(quantizer)}: is a module of another package; use that module, or Bottleneck.like")
    second = (Own() if first.own_gradient else STE()) if gradient is None else _component("gradient", gradient)
    parts: dict[str, Component] = {"quantizer": first, "gradient": second}
    every = dict(settings)
    if recommended:
        said = [
            recommended_of(group, one) for group, one in zip(GROUPS, (quantizer, gradient), strict=True) if isinstance(one, str)
        ]
        for name, value in (pair for one in said for pair in one.items()):
            if _places(parts, name) and name not in settings and name.rpartition(".")[2] not in settings:
                every[name] = value
    # A component comes before its settings.
    for whole in (True, False):
        for name, value in every.items():
            place = _place(parts, name, value)
            old = _at(parts, place)
            if isinstance(old, Component) is whole:
                group, *path = place.split(".")
                parts[group] = _changed(parts[group], path, _value(old, place, value))
    found, strategy = checked(parts["quantizer"], "quantizer"), checked(parts["gradient"], "gradient")
    assert isinstance(found, Quantizer)
    assert isinstance(strategy, Gradient)
    if reason := misfit(found, strategy):
        raise ConfigError(f"gradient={type(strategy).__name__} does not fit quantizer={type(found).__name__}: {reason}")
    return found, strategy


def _component(group: str, one: Any) -> Any:
    base = Quantizer if group == "quantizer" else Gradient
    found = default_component(group, one) if isinstance(one, str) else one
    if not isinstance(found, base):
        raise ConfigError(f"{group}={brief(one)}: must be the name of a choice, or a {base.__name__}")
    return found


def _value(old: Any, place: str, value: Any) -> Any:
    if not isinstance(old, Component):
        return value
    if isinstance(value, str) and isinstance(old, Quantizer | Gradient):
        return default_component("quantizer" if isinstance(old, Quantizer) else "gradient", value)
    if not isinstance(value, Component):
        raise ConfigError(f"{place}={brief(value)}: must be the name of a choice, or a component")
    return value


def _places(parts: Mapping[str, Component], name: str) -> list[str]:
    """Dotted names of the settings that a name may mean; of those in different depth only the least deep."""
    group, _, rest = name.partition(".")
    groups, wanted = ((group,), rest) if group in GROUPS and rest else (GROUPS, name)
    found = []
    for group in groups:
        own = [
            f"{where}.{field.name}"
            for where, one in within(parts[group], group)
            for field in dataclasses.fields(one)
            if f"{group}.{wanted}" == f"{where}.{field.name}" or ("." not in wanted and field.name == wanted)
        ]
        least = min((place.count(".") for place in own), default=0)
        found += [place for place in own if place.count(".") == least]
    return found


def _place(parts: Mapping[str, Component], name: str, value: Any) -> str:
    found = _places(parts, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{name}={brief(value)}: may be {' or '.join(found)}; give one of these, as **{{'{found[0]}': ...}}")
    known = [
        f"{where}.{field.name}"
        for group in GROUPS
        for where, one in within(parts[group], group)
        for field in dataclasses.fields(one)
    ]
    raise unknown_setting(name, value, "this bottleneck", known, known)


def _at(parts: Mapping[str, Component], place: str) -> Any:
    group, *path = place.split(".")
    found: Any = parts[group]
    for name in path:
        found = getattr(found, name)
    return found


def _changed(one: One, path: list[str], value: Any) -> One:
    name, *rest = path
    changed: Any = {name: _changed(getattr(one, name), rest, value) if rest else value}
    return dataclasses.replace(one, **changed)

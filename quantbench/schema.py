"""Components from plain data and back: the fields of a component's class are the schema of its settings.

Plain settings are dictionaries. A component within a component names its class with ``_target_``.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import torch

from quantbench import imports
from quantbench.components import Component, One, alike, hints, over_trials
from quantbench.errors import ConfigError
from quantbench.suggest import unknown_setting

Settings = dict[str, Any]

LARGEST_FLOAT = torch.finfo(torch.float32).max
"""Numbers of a trial become float32."""


def check_settings(cls: type[Component], given: Mapping[str, Any], where: str) -> Settings:
    """All settings of ``cls`` in its own types: those given, and defaults for the rest.

    Raises:
        ConfigError: an unknown setting, a missing one, a wrong type, or a value that ``cls.check`` refuses.
    """
    return without_target(plain(checked(construct(cls, given, where), where)))


def checked(one: One, where: str) -> One:
    """A component with its settings in their own types. Raises ConfigError where a value cannot be used."""
    values: Settings = {}
    for field in dataclasses.fields(one):
        hint, value, name = hints(type(one))[field.name], getattr(one, field.name), _below(where, field.name)
        within = _is_component(hint) and isinstance(value, hint)
        values[field.name] = _checked_within(value, name) if within else _coerce(value, hint, name)
    found = type(one)(**values)
    found.check()
    return found


def _checked_within(one: One, where: str) -> One:
    """As ``checked``, for a component within another one, which may not know its own name."""
    try:
        return checked(one, where)
    except ConfigError as error:
        message, group = str(error), where.partition(".")[0]
        if message.startswith(tuple(f"{where}{sign}" for sign in ".=:,")):
            raise
        if message.startswith(f"{group}."):  # it speaks of its settings as if it were not within another
            raise ConfigError(where + message.removeprefix(group)) from error
        raise ConfigError(f"{where}: {message}") from error


def _is_component(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Component)


def construct(cls: type[One], given: Mapping[str, Any], where: str = "") -> One:
    """A component from plain settings, and defaults for the rest; types and values are not checked.

    Raises:
        ConfigError: a setting is unknown or missing, or a class is.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, value in given.items():
        if name not in fields:
            raise unknown_setting(_below(where, name), value, cls.__name__, fields, _names(cls, where))
    for name, field in fields.items():
        if name not in given and field.default is dataclasses.MISSING:
            raise ConfigError(f"{_below(where, name)}: must be given; {cls.__name__} has no default for it")
    values: Settings = {}
    for name, value in given.items():
        hint = hints(cls)[name]
        values[name] = _nested(hint, fields[name].default, value, _below(where, name)) if _is_component(hint) else value
    return cls(**values)


def _names(cls: type[Component], where: str) -> Iterator[str]:
    """Dotted names of the settings of a class, those of components within it among them."""
    for field in dataclasses.fields(cls):
        yield _below(where, field.name)
        if isinstance(field.default, Component):
            yield from _names(type(field.default), _below(where, field.name))


def _nested(base: type[Component], default: Any, value: Any, where: str) -> Component:
    """The component within a component; what is not given is as in ``default`` where that is of the same class."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}={value!r}: must hold settings")
    known = plain(default) if isinstance(default, Component) else {"_target_": name_of(base)}
    target = value.get("_target_", known["_target_"])
    if target == known["_target_"]:
        value = known | dict(value)
    return construct(find_class(target, base, where), without_target(value), where)


def plain(one: Component) -> Settings:
    """A component's settings as plain data, with the name of its class."""
    values = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    settings = {name: plain(value) if isinstance(value, Component) else value for name, value in values.items()}
    return {"_target_": name_of(type(one))} | settings


def name_of(cls: type[Component]) -> str:
    """The shortest name under which a class of this project can be imported."""
    package = cls.__module__.rpartition(".")[0]
    return f"{package if package.startswith('quantbench.') else cls.__module__}.{cls.__qualname__}"


def find_class(target: Any, base: type[One], where: str) -> type[One]:
    """The class named by ``_target_``. Raises ConfigError when there is none, or it is no subclass of ``base``."""
    if not isinstance(target, str):
        raise ConfigError(f"{where}._target_={target}: must name a class, as in 'package.module.Class'")
    if reason := imports.refusal(target):
        raise ConfigError(f"{where}._target_={target}: {reason}")
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        reason = "" if isinstance(error, SystemExit) else str(error).strip()
        reason = (reason or repr(error)).splitlines()[0]
        raise ConfigError(f"{where}._target_={target}: cannot be loaded ({reason})") from error
    if not (isinstance(cls, type) and issubclass(cls, base) and dataclasses.is_dataclass(cls)):
        raise ConfigError(f"{where}._target_={target}: must be a dataclass that derives from {base.__qualname__}")
    if inspect.isabstract(cls):
        raise ConfigError(f"{where}._target_={target}: is abstract; name a class that derives from it")
    return cls


def structural(cls: type[Component], settings: Mapping[str, Any]) -> Settings:
    """The settings that trials of one stack must share."""
    shared = {name: value for name, value in settings.items() if over_trials(hints(cls).get(name)) is None}
    for name, value in shared.items():
        if holds_component(value):
            nested = find_class(value["_target_"], Component, name)
            shared[name] = {"_target_": value["_target_"]} | structural(nested, without_target(value))
        elif value in (values := alike(hints(cls).get(name))):
            shared[name] = list(values)
    return shared


def holds_component(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a setting's value is the settings of a component within the component."""
    return isinstance(value, Mapping) and "_target_" in value


def without_target(node: Mapping[str, Any]) -> Settings:
    """Settings without the name of their class."""
    return {name: value for name, value in node.items() if name != "_target_"}


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}


def describe(hint: Any) -> str:
    """What values a setting with this annotation takes, in words."""
    hint = _plain(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, args))
    if origin in (tuple, list):
        return f"a list, each {describe(args[0])}"
    if hint is Any:
        return "any value"
    return f"a {hint.__name__}" if _is_component(hint) else _NAMES.get(hint, str(hint))


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """``value`` in the type ``hint``. Raises ConfigError."""
    hint = _plain(hint)
    found = _try_coerce(value, hint)
    if found is _NO:
        raise ConfigError(f"{where}={value!r}: must be {describe(hint)}")
    return found


def _plain(hint: Any) -> Any:
    """The type of a setting's value outside of a stack."""
    if over_trials(hint):
        return float
    return typing.get_args(hint)[0] if alike(hint) else hint


_NO = object()


def _try_coerce(value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return value if value in args else _NO
    if origin in (typing.Union, types.UnionType):
        return next((found for found in (_try_coerce(value, arg) for arg in args) if found is not _NO), _NO)
    if origin in (tuple, list):
        items = [_try_coerce(item, args[0]) for item in value] if isinstance(value, list | tuple) and value else [_NO]
        return _NO if _NO in items else tuple(items)
    if hint is Any:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and abs(value) <= LARGEST_FLOAT else _NO
    if hint in (int, bool, str, types.NoneType) and type(value) is hint:
        return value
    return _NO

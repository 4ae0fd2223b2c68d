"""The configuration: its schema, its checks, and how it becomes components.

A configuration arrives as plain dictionaries. Every choice of a group names its class with ``_target_``; the fields of
that dataclass are the schema.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from quantbench import imports
from quantbench.choices import class_name
from quantbench.codecs import Codec
from quantbench.components import PER_TRIAL, Component, at_least, component
from quantbench.errors import ConfigError
from quantbench.gradients import Gradient
from quantbench.losses import Loss
from quantbench.quantizers import Quantizer
from quantbench.simulators import Simulator
from quantbench.training import Stack, TrainSettings

COMPONENTS: dict[str, type[Component]] = {
    "simulator": Simulator,
    "codec": Codec,
    "quantizer": Quantizer,
    "gradient": Gradient,
    "loss": Loss,
}
"""Groups of which a trial is made, and the class that a choice must derive from."""

Settings = dict[str, Any]

LARGEST_FLOAT = torch.finfo(torch.float32).max
"""Numbers of a trial become float32."""


@component
class RunSettings(Component):
    """Settings of a run that are no group's and no component's.

    Attributes:
        experiment: a name; results go to ``output/experiment``.
        seed: of all random numbers of a trial.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        output: folder of all results.
        checkpoint_every: optimizer steps between checkpoints of every training in the run's folder, so that a long one can
            be resumed; 0 for none.
        export: write reconstructions of the evaluation's frames (of waveforms, as FLAC) and the weights into the run's folder.
        format: of the tables of results and curves: ``csv``, or ``parquet`` for sweeps of a million trials.
        dry_run: plan, check and print what would run; train nothing.
    """

    experiment: str
    seed: int = 0
    device: str = "auto"
    output: str = "outputs"
    checkpoint_every: int = 0
    export: bool = False
    format: str = "csv"
    dry_run: bool = False

    def check(self) -> None:
        if not self.experiment or "/" in self.experiment or self.experiment.startswith("."):
            raise ConfigError(f"experiment={self.experiment}: must be a name that can be a folder's")
        if self.format not in ("csv", "parquet"):
            raise ConfigError(f"format={self.format}: must be csv or parquet")
        if self.format == "parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ConfigError("format=parquet: needs pyarrow; install it with pip install 'quantbench[parquet]'")
        at_least("checkpoint_every", self.checkpoint_every, 0)
        find_device(self.device)


def find_device(name: str) -> torch.device:
    """The torch device called ``name``; ``auto`` takes a GPU where there is one. Raises ConfigError."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name == "cpu" or (count and name == "cuda"):
        return torch.device(name)
    kind, _, index = name.partition(":")
    if kind != "cuda" or (name != "cuda" and not re.fullmatch(r"[0-9]{1,4}", index)):
        raise ConfigError(f"device={name}: must be auto, cpu, cuda or cuda:N")
    if int(index or 0) >= count:
        gpus = ", cuda, " + ", ".join(f"cuda:{i}" for i in range(count)) if count else ""
        raise ConfigError(f"device={name}: must be auto, cpu{gpus} here; PyTorch finds {count} CUDA devices on this machine")
    return torch.device("cuda", int(index))


def find_class(target: Any, base: type[Component], where: str) -> type[Component]:
    """The class named by ``_target_``. Raises ConfigError when there is none, or it is no subclass of ``base``."""
    from hydra.utils import get_class

    if not isinstance(target, str):
        raise ConfigError(f"{where}._target_={target}: must name a class, as in 'package.module.Class'")
    if reason := imports.refusal(target):
        raise ConfigError(f"{where}._target_={target}: {reason}")
    try:
        cls = get_class(target)
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConfigError(f"{where}._target_={target}: cannot be loaded ({reason})") from error
    if not issubclass(cls, base) or not dataclasses.is_dataclass(cls):
        raise ConfigError(f"{where}._target_={target}: must be a dataclass that derives from {base.__qualname__}")
    if inspect.isabstract(cls):
        raise ConfigError(f"{where}._target_={target}: is abstract; name a class that derives from it")
    return cls


def check_settings(cls: type[Component], given: Mapping[str, Any], where: str) -> Settings:
    """All settings of ``cls`` in its own types: those given, and defaults for the rest.

    Raises:
        ConfigError: an unknown setting, a missing one, a wrong type, or a value that ``cls.check`` refuses.
    """
    prefix = f"{where}." if where else ""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, value in given.items():
        if name not in fields:
            raise ConfigError(f"{prefix}{name}={value}: unknown setting; {cls.__name__} takes {', '.join(fields)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    settings: Settings = {}
    for name, field in fields.items():
        if name not in given and field.default is dataclasses.MISSING:
            raise ConfigError(f"{prefix}{name}: must be given; {cls.__name__} has no default for it")
        value = given.get(name, field.default)
        if _is_component(hints[name]):
            settings[name] = _check_nested(hints[name], field.default, value, f"{prefix}{name}")
        else:
            settings[name] = _coerce(value, hints[name], f"{prefix}{name}")
    construct(cls, settings).check()
    return settings


def _is_component(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Component)


def _check_nested(base: type[Component], default: Any, value: Any, where: str) -> Settings:
    """All settings of a component within a component, with the name of its class. Raises ConfigError."""
    if isinstance(value, Component):
        value = _settings_of(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}={value!r}: must hold settings")
    known = _settings_of(default) if isinstance(default, Component) else {}
    target = value.get("_target_", known.get("_target_", name_of(base)))
    if target == known.get("_target_"):
        value = known | dict(value)
    cls = find_class(target, base, where)
    try:
        return {"_target_": target} | check_settings(cls, without_target(value), where)
    except ConfigError as error:
        raise error if where in str(error) else ConfigError(f"{where}: {error}") from error


def name_of(cls: type[Component]) -> str:
    """The shortest name under which a class of this project can be imported."""
    package = cls.__module__.rpartition(".")[0]
    return f"{package if package.startswith('quantbench.') else cls.__module__}.{cls.__qualname__}"


def _settings_of(component: Component) -> Settings:
    """A component's settings as plain data."""
    values = {field.name: getattr(component, field.name) for field in dataclasses.fields(component)}
    plain = {name: _settings_of(value) if isinstance(value, Component) else value for name, value in values.items()}
    return {"_target_": name_of(type(component))} | plain


def construct(cls: type[Component], settings: Mapping[str, Any]) -> Any:
    """A component from checked settings."""
    return build(cls, [settings], None)


def instance(group: str, node: Mapping[str, Any]) -> Any:
    """The component of a group from its checked settings, with the name of its class among them."""
    return construct(find_class(node["_target_"], COMPONENTS[group], group), without_target(node))


def structural(cls: type[Component], settings: Mapping[str, Any]) -> Settings:
    """The settings that trials of one stack must share."""
    stacked = per_trial_fields(cls)
    shared = {name: value for name, value in settings.items() if name not in stacked}
    for name, value in shared.items():
        if _holds_component(value):
            nested = find_class(value["_target_"], Component, name)
            shared[name] = {"_target_": value["_target_"]} | structural(nested, without_target(value))
    return shared


def _holds_component(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def per_trial_fields(cls: type[Component]) -> frozenset[str]:
    """Settings that may differ between the trials of one stack."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return frozenset(name for name, hint in hints.items() if PER_TRIAL in getattr(hint, "__metadata__", ()))


def build(cls: type[Component], settings: Sequence[Mapping[str, Any]], device: torch.device | None) -> Any:
    """One component for several trials that differ only in per-trial settings, which become tensors (trials,).

    Without a device, the component of one trial; its per-trial settings stay numbers.
    """
    stacked = per_trial_fields(cls) if device else frozenset()
    values: Settings = {}
    for name, value in settings[0].items():
        if _holds_component(value):
            nested = find_class(value["_target_"], Component, name)
            values[name] = build(nested, [without_target(one[name]) for one in settings], device)
        elif name in stacked:
            values[name] = torch.tensor([one[name] for one in settings], dtype=torch.float32, device=device)
        else:
            values[name] = value
    return cls(**values)


def build_stack(configs: Sequence[Mapping[str, Any]], device: torch.device, names: tuple[str, ...] = ()) -> Stack:
    """The stack of trials with checked configurations of equal shape."""
    parts: dict[str, Any] = {}
    for group, base in COMPONENTS.items():
        cls = find_class(configs[0][group]["_target_"], base, group)
        parts[group] = build(cls, [without_target(config[group]) for config in configs], device)
    train = build(TrainSettings, [config["train"] for config in configs], device)
    seeds = tuple(config["seed"] for config in configs)
    return Stack(**parts, train=train, seeds=seeds, device=device, names=names)


def without_target(node: Mapping[str, Any]) -> Settings:
    """A group's settings without the name of its class."""
    return {name: value for name, value in node.items() if name != "_target_"}


def setting(config: Any, name: str) -> Any:
    """A setting by its dotted name, of a component within a component the name of its class; None where there is none."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return class_name(config["_target_"]) if _holds_component(config) else config


def flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Settings by dotted name, those of components within a component among them, as ``setting`` gives them."""
    for name, value in without_target(node).items():
        if not isinstance(value, Mapping) or _holds_component(value):
            yield f"{prefix}.{name}", setting(node, name)
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}.{name}")


def canonical(value: Any) -> str:
    """One text for equal settings, whatever their order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _describe(args[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_describe, args))
    if origin in (tuple, list):
        return f"a list, each {_describe(args[0])}"
    return _NAMES.get(hint, str(hint))


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """``value`` in the type ``hint``. Raises ConfigError."""
    found = _try_coerce(value, hint)
    if found is _NO:
        raise ConfigError(f"{where}={value!r}: must be {_describe(hint)}")
    return found


_NO = object()


def _try_coerce(value: Any, hint: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _try_coerce(value, args[0])
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

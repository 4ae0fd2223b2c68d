"""The configuration of a trial of a stack: what two trainings must have in common to continue one another."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor

from quantbench.components import Component, alike, hints
from quantbench.training.stack import Stack

PARTS = ("simulator", "codec", "quantizer", "gradient", "loss", "train")


HOW = ("train.graph",)
"""Settings that say how a step is computed, not what: another training may go on with others."""


def configuration(stack: Stack, trial: int) -> dict[str, Any]:
    """Every setting of a trial by its dotted name; ``GROUP`` alone names the class."""
    found: dict[str, Any] = {"seed": stack.seeds[trial], "device": stack.device.type}
    for name in PARTS:
        found |= _settings(getattr(stack, name), trial, name)
    return {name: value for name, value in found.items() if name not in HOW}


def _settings(one: Component, trial: int, prefix: str) -> dict[str, Any]:
    """The settings of a component, those of components within it among them, for one trial of a stack."""
    found: dict[str, Any] = {prefix: type(one).__qualname__}
    for field in fields(one):
        value, name = getattr(one, field.name), f"{prefix}.{field.name}"
        if isinstance(value, Component):
            found |= _settings(value, trial, name)
        elif isinstance(value, Tensor):
            found[name] = float(f"{float(value[trial]):.7g}")  # as it was written: a float32 has seven digits
        elif isinstance(value, tuple) and alike(hints(type(one))[field.name]):
            found[name] = value[trial]
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """``NAME: VALUE there, VALUE here`` for every setting that is not alike."""
    names = dict.fromkeys([*one, *other])
    return [f"{name}: {one.get(name)} there, {other.get(name)} here" for name in names if one.get(name) != other.get(name)]

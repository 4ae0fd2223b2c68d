"""Why the parts of a trial do not fit together. Each question is asked once, however many trials share the parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from quantbench.choices import choices
from quantbench.config import COMPONENTS, instance
from quantbench.errors import ConfigError
from quantbench.gradients import Gradient, misfit
from quantbench.quantizers import Quantizer
from quantbench.schema import Settings
from quantbench.sweeps.catalogue import default_component
from quantbench.training import TrainSettings
from quantbench.training.stack import check_inputs, check_precision, check_step


class Fit:
    """Answers for the checked settings of a plan; settings are told apart by identity, so the plan must keep them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def misfit(self, checked: Settings, names: Mapping[str, str]) -> str | None:
        """Why a quantizer cannot take the latents, or a strategy not train it; None where all fits.

        Raises:
            ConfigError: the source does not fit the codec or the loss.
        """
        parts = {group: self._part(group, checked[group]) for group in COMPONENTS}
        self._once(("inputs", *map(id, (parts["simulator"], parts["codec"], parts["loss"]))), lambda: _inputs(parts, names))
        quantizer, dim = parts["quantizer"], parts["codec"].latent_dim
        if reason := self._once(("dim", id(quantizer), dim), lambda: _dim(quantizer, dim)):
            return f"quantizer={names['quantizer']}: {reason}"
        if not (reason := misfit(quantizer, parts["gradient"])):
            return self._few(parts, checked["train"]) or self._precision(quantizer, checked["train"])
        others = self._once(("others", id(quantizer)), lambda: _fitting(quantizer))
        return f"gradient={names['gradient']} does not fit quantizer={names['quantizer']}: {reason}; {others}"

    def _few(self, parts: Mapping[str, Any], train: Settings) -> str | None:
        """Why a step has too few latents; None where it has enough."""
        trained = ("simulator", "codec", "quantizer", "gradient")
        key = ("step", *(id(parts[group]) for group in trained), train["batch"])
        reason: str | None = self._once(key, lambda: _step({group: parts[group] for group in trained}, TrainSettings(**train)))
        return reason

    def _precision(self, quantizer: Quantizer, train: Settings) -> str | None:
        """Why a quantizer cannot compute in the precision that is asked for; None where it can."""
        key = ("precision", id(quantizer), id(train))
        reason: str | None = self._once(key, lambda: _precision(quantizer, TrainSettings(**train)))
        return reason

    def _part(self, group: str, node: Settings) -> Any:
        return self._once(("part", id(node)), lambda: instance(group, node))

    def _once(self, question: tuple[Any, ...], ask: Any) -> Any:
        if question not in self._known:
            self._known[question] = ask()
        return self._known[question]


def _inputs(parts: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise ConfigError where the source does not fit; a class does not know the choice that it was chosen by."""
    try:
        check_inputs(parts["simulator"], parts["codec"], parts["loss"])
    except ConfigError as error:
        group, colon, message = str(error).partition(": ")
        raise ConfigError(f"{group}={names[group]}{colon}{message}" if group in names else str(error)) from error


def _dim(quantizer: Quantizer, dim: int) -> str | None:
    """Why a quantizer cannot take latents of ``dim`` dimensions."""
    try:
        quantizer.check_dim(dim)
    except ConfigError as error:
        return str(error)
    return None


def _step(parts: Mapping[str, Any], train: TrainSettings) -> str | None:
    try:
        check_step(**parts, train=train)
    except ConfigError as error:
        return str(error)
    return None


def _precision(quantizer: Quantizer, train: TrainSettings) -> str | None:
    try:
        check_precision(quantizer, train)
    except ConfigError as error:
        return str(error)
    return None


def _fitting(quantizer: Quantizer) -> str:
    """The gradients of this project that fit a quantizer, in words."""
    return f"gradients that fit it: {', '.join(name for name, one in _gradients().items() if misfit(quantizer, one) is None)}"


@cache
def _gradients() -> dict[str, Gradient]:
    return {name: default_component("gradient", name) for name in choices("gradient")}

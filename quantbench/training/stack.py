"""Trials of equal shape, built and ready to be trained together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import index
from typing import Any, SupportsIndex

import torch

from quantbench import quantizers
from quantbench.codecs import Codec
from quantbench.components import Component, joined, within
from quantbench.devices import find_device
from quantbench.errors import ConfigError, brief
from quantbench.gradients import Gradient, misfit
from quantbench.losses import MSE, Loss
from quantbench.quantizers import External, Quantizer
from quantbench.quantizers.search import MOST_WEIGHTS
from quantbench.schema import checked
from quantbench.simulators import Simulator
from quantbench.training.settings import CHUNK, TrainSettings

BASES: dict[str, type[Component]] = {
    "simulator": Simulator,
    "codec": Codec,
    "quantizer": Quantizer,
    "gradient": Gradient,
    "loss": Loss,
    "train": TrainSettings,
}
"""Parts of a stack, and the class that each derives from."""


@dataclass(frozen=True)
class Stack:
    """The components of a stack; their per-trial settings are tensors.

    Attributes:
        seeds: one a trial.
        names: of the trials, for files about them.
    """

    simulator: Simulator
    codec: Codec
    quantizer: Quantizer
    gradient: Gradient
    loss: Loss
    train: TrainSettings
    seeds: tuple[int, ...]
    device: torch.device
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        simulator: Simulator | Sequence[Simulator],
        codec: Codec | Sequence[Codec],
        quantizer: Quantizer | Sequence[Quantizer],
        gradient: Gradient | Sequence[Gradient],
        loss: Loss | Sequence[Loss] = MSE(),  # noqa: B008 (nothing can change it)
        train: TrainSettings | Sequence[TrainSettings] = TrainSettings(),  # noqa: B008
        seeds: Iterable[SupportsIndex] = (0,),
        device: str = "auto",
        names: Sequence[str] = (),
    ) -> Stack:
        """A stack of one trial a seed, checked as the command line checks its settings.

        Args:
            simulator, codec, quantizer, gradient, loss, train: one for all trials, or a list of one a trial.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

        Raises:
            ConfigError: a setting cannot be used, parts do not fit together, or trials cannot share a stack.
        """
        given: dict[str, Any] = dict(zip(BASES, (simulator, codec, quantizer, gradient, loss, train), strict=True))
        whole = _whole(seeds)
        trials: list[dict[str, Any]] = [{} for _ in whole]
        for name, one in given.items():
            each = list(one) if isinstance(one, list | tuple) else [one] * len(whole)
            if len(each) != len(whole) or not whole:
                raise ConfigError(f"{name}: {len(each)} are given for {len(whole)} seeds; give one, or one a seed")
            for other in each:
                if not isinstance(other, BASES[name]):
                    raise ConfigError(f"{name}={brief(other)}: must be a {BASES[name].__name__}, or a list of one a seed")
            usable = {id(one): checked(one, name) for one in each}
            for trial, one in zip(trials, each, strict=True):
                trial[name] = usable[id(one)]
        for trial in {tuple(map(id, trial.values())): trial for trial in trials}.values():
            check_fit(trial["simulator"], trial["codec"], trial["quantizer"], trial["loss"])
            if reason := misfit(trial["quantizer"], trial["gradient"]):
                pair = f"gradient={type(trial['gradient']).__name__} does not fit quantizer={type(trial['quantizer']).__name__}"
                raise ConfigError(f"{pair}: {reason}")
            check_step(**{name: trial[name] for name in ("simulator", "codec", "quantizer", "gradient", "train")})
            check_precision(trial["quantizer"], trial["train"])
        return cls.join(trials, whole, find_device(device), names)

    @classmethod
    def join(
        cls, trials: Sequence[Mapping[str, Component]], seeds: Sequence[int], device: torch.device, names: Sequence[str] = ()
    ) -> Stack:
        """A stack from each trial's checked components, by the name that they have here."""
        parts: dict[str, Any] = {name: joined([trial[name] for trial in trials], device) for name in trials[0]}
        parts["train"].check_device(device)
        return cls(**parts, seeds=tuple(seeds), device=device, names=tuple(names))


def _whole(seeds: Iterable[SupportsIndex]) -> list[int]:
    """Seeds as plain integers, whatever kind of integer they are. Raises ConfigError."""
    try:
        given: list[Any] = list(seeds)
    except TypeError as error:
        raise ConfigError(f"seeds={brief(seeds)}: must be a list of integers, as range(8)") from error
    for place, seed in enumerate(given):
        with suppress(TypeError):
            given[place] = seed if isinstance(seed, bool) else index(seed)
        check_seed(given[place])
    return given


def check_seed(seed: object) -> None:
    """Raise ConfigError unless this can be a trial's seed."""
    if type(seed) is not int:
        raise ConfigError(f"seed={seed!r}: must be an integer")
    if abs(seed) >= 2**63:
        raise ConfigError(f"seed={seed}: must fit into 64 bits")


def check_fit(simulator: Simulator, codec: Codec, quantizer: Quantizer, loss: Loss) -> None:
    """Raise ConfigError where the parts of a trial cannot work on each other's frames and latents."""
    check_inputs(simulator, codec, loss)
    quantizer.check_dim(codec.latent_dim)


def check_step(simulator: Simulator, codec: Codec, quantizer: Quantizer, gradient: Gradient, train: TrainSettings) -> None:
    """Raise ConfigError where a step has too few latents for a strategy or a quantizer, or too many codes to weigh."""
    latents = train.batch * codec.latents_per_frame(simulator.input_dim)
    try:
        for _, one in within(gradient, "gradient"):
            if isinstance(one, Gradient) and latents < one.fewest_latents:
                needed = f"{type(one).__name__} needs at least {one.fewest_latents} latents a step, of each trial"
                raise ConfigError(f"{needed}; there are {latents}")
        quantizer.check_latents(codec.latent_dim, latents)
    except ConfigError as error:
        raise ConfigError(f"train.batch={train.batch}: {error}; use a larger train.batch") from error
    _check_weights(quantizer.alphabet(codec.latent_dim), gradient, max(latents, CHUNK))


def _check_weights(alphabet: Sequence[int], gradient: Gradient, latents: int) -> None:
    """Raise ConfigError where a strategy would keep too large a table of weights."""
    numbers = latents * max(alphabet, default=0)
    for name, one in within(gradient, "gradient"):
        if isinstance(one, Gradient) and one.keeps_weights and numbers > MOST_WEIGHTS:
            raise ConfigError(
                f"{name}={type(one).__name__}: keeps a weight of each of {max(alphabet)} codes for each of {latents} latents, "
                f"{numbers} numbers; at most {MOST_WEIGHTS} are allowed, {MOST_WEIGHTS // latents} codes: use fewer codes, or "
                f"a strategy that keeps none, as ste, rotation or soft_to_hard"
            )


def check_precision(quantizer: Quantizer, train: TrainSettings) -> None:
    """Raise ConfigError where a quantizer cannot compute in the precision that is asked for."""
    if train.bottleneck == "float32":
        return
    for name, one in within(quantizer, "quantizer"):
        if isinstance(one, External | quantizers.Module):
            raise ConfigError(
                f"train.quantizer_precision=same: modules of other packages ({name}: {type(one).__name__}) choose the "
                f"precision that they compute in; it must be float32"
            )


def check_inputs(simulator: Simulator, codec: Codec, loss: Loss) -> None:
    """Raise ConfigError where a codec or a loss cannot work on a source's frames."""
    codec.check_input(simulator.waveform_rate, simulator.lengths)
    codec.check_frames(simulator.input_dim, simulator.side_dim, simulator.target_dim)
    loss.check_input(simulator.waveform_rate, simulator.lengths)


@dataclass
class Outcome:
    """What the training of one trial gave.

    Attributes:
        metrics: by column name; None where a metric does not apply.
        curves: ``(step, metric, value)``.
        diverged: why the trial was frozen, or None.
    """

    metrics: dict[str, float | str | None]
    curves: list[tuple[int, str, float]] = field(default_factory=list)
    diverged: str | None = None

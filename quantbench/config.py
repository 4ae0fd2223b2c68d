"""The configuration of a trial and of a run, and how trials become a stack."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from quantbench.choices import class_name
from quantbench.codecs import Codec
from quantbench.components import Component, at_least, component
from quantbench.devices import find_device
from quantbench.errors import ConfigError
from quantbench.gradients import Gradient
from quantbench.install import how_to_install
from quantbench.losses import Loss
from quantbench.metrics import METRICS, known
from quantbench.paths import LATEST, OUTPUTS
from quantbench.quantizers import Quantizer
from quantbench.schema import construct, find_class, holds_component, without_target
from quantbench.simulators import Simulator
from quantbench.suggest import no_such_metric
from quantbench.terminal import visible
from quantbench.training import Stack, TrainSettings

COMPONENTS: dict[str, type[Component]] = {
    "simulator": Simulator,
    "codec": Codec,
    "quantizer": Quantizer,
    "gradient": Gradient,
    "loss": Loss,
}
"""Groups of which a trial is made, and the class that a choice must derive from."""


LONGEST_NAME = 255
"""Bytes of a file's name, almost everywhere."""


@component
class RunSettings(Component):
    """Settings of a run that are no group's and no component's.

    Attributes:
        experiment: a name; results go to ``output/experiment``.
        name: of the run's folder there, which must be a new one; null for the time and a few random letters.
        seed: of all random numbers of a trial.
        device: ``auto``, ``cpu``, ``cuda`` (every GPU that PyTorch sees) or ``cuda:N`` (one).
        output: folder of all results.
        checkpoint_every: optimizer steps between checkpoints of every training in the run's folder, so that a long one can
            be resumed, rounded up to the 8 batches that are drawn at a time; 0 for none.
        export: write reconstructions of the evaluation's frames (of waveforms, as FLAC) and the weights into the run's folder.
        references: compare each trial with what a known quantizer reaches at its rate, and with bounds where no limit is known,
            which can take longer than its training.
        format: of the tables of results and curves: ``csv``, or ``parquet`` for sweeps of a million trials.
        dry_run: plan, check and print what would run; train nothing.
        objective: the metric that a sweeper of Hydra's is told of each trial, as ``hydra/sweeper=optuna`` needs it.
    """

    experiment: str
    name: str | None = None
    seed: int = 0
    device: str = "auto"
    output: str = OUTPUTS
    checkpoint_every: int = 0
    export: bool = False
    references: bool = True
    format: str = "csv"
    dry_run: bool = False
    objective: str | None = None

    def check(self) -> None:
        name = self.experiment
        if not name or "/" in name or name.startswith(".") or not name.isprintable():
            raise ConfigError(
                f"experiment={visible(name, keep='')}: must be a name that can be a folder's, of characters that can be seen"
            )
        if self.name is not None:
            check_name(self.name)
        if not self.output:
            raise ConfigError("output='': must be a folder; leave it out for outputs")
        if self.format not in ("csv", "parquet"):
            raise ConfigError(f"format={self.format}: must be csv or parquet")
        if self.format == "parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ConfigError(f"format=parquet: needs pyarrow; install it with {how_to_install('parquet')}")
        at_least("checkpoint_every", self.checkpoint_every, 0)
        if self.objective is not None and not known(self.objective):
            raise no_such_metric("objective=", self.objective, METRICS)
        find_device(self.device)


def check_name(name: str) -> None:
    """Raise ConfigError where a run's folder cannot have this name."""
    if not name.isprintable() or not name.strip() or "/" in name or name.startswith("."):
        raise ConfigError(f"name={name!r}: must be a folder's name, without slashes, control characters and a dot at its start")
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise ConfigError(f"name={name[:20]}...: must have at most {LONGEST_NAME} bytes")
    if name == LATEST:
        raise ConfigError(f"name={name}: stands for the last run in `quantbench rank {name}` and the like; choose another one")


PER_RUN = ("executor", *(field.name for field in dataclasses.fields(RunSettings) if field.name != "seed"))
"""Settings of a whole sweep. They are no part of a trial's identity: they cannot change what it finds."""


def instance(group: str, node: Mapping[str, Any]) -> Any:
    """The component of a group from its checked settings, with the name of its class among them."""
    return construct(find_class(node["_target_"], COMPONENTS[group], group), without_target(node))


def build_stack(configs: Sequence[Mapping[str, Any]], device: torch.device, names: tuple[str, ...] = ()) -> Stack:
    """The stack of trials with checked configurations of equal shape."""
    trials = [
        {group: instance(group, config[group]) for group in COMPONENTS} | {"train": construct(TrainSettings, config["train"])}
        for config in configs
    ]
    return Stack.join(trials, [config["seed"] for config in configs], device, names)


def setting(config: Any, name: str) -> Any:
    """A setting by its dotted name, of a component within a component the name of its class; None where there is none."""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return class_name(config["_target_"]) if holds_component(config) else config


def flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Settings by dotted name, those of components within a component among them, as ``setting`` gives them."""
    for name, value in without_target(node).items():
        if not isinstance(value, Mapping) or holds_component(value):
            yield f"{prefix}.{name}", setting(node, name)
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}.{name}")


def canonical(value: Any) -> str:
    """One text for equal settings, whatever their order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

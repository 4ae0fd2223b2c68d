"""From a sweep to trials: apply values, resolve, check, identify."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from quantbench.components import Component
from quantbench.config import COMPONENTS, RunSettings, canonical, flat
from quantbench.devices import find_device
from quantbench.errors import ConfigError
from quantbench.metrics import Metric
from quantbench.schema import Settings, check_settings, find_class, structural, without_target
from quantbench.suggest import dotted, unknown_setting
from quantbench.sweeps.data import identity
from quantbench.sweeps.executors import Executor
from quantbench.sweeps.facts import added_metrics
from quantbench.sweeps.fit import Fit
from quantbench.sweeps.sweep import Sweep
from quantbench.sweeps.trial import Trial
from quantbench.training import TrainSettings
from quantbench.training.stack import check_seed


class NothingToTrain(ConfigError):
    """No trial of a sweep fits together."""


@dataclass(frozen=True)
class Plan:
    """What a sweep amounts to.

    Attributes:
        run: settings of the whole sweep.
        executor: its checked settings, with ``_target_``.
        trials: all of them, in order.
        columns: settings that vary, by dotted name.
        added: metrics of the classes of the trials beyond those of the project, by name.
        data: fingerprints of the data of the sources, by where it is.
    """

    run: RunSettings
    executor: Settings
    trials: list[Trial]
    columns: list[str]
    added: dict[str, Metric]
    data: dict[str, str]


def plan(sweep: Sweep) -> Plan:
    """Plan a sweep. Contacts nobody, and needs nothing that trains.

    Raises:
        ConfigError: a setting is wrong, or no trial is left that can be trained.
    """
    planner = _Planner()
    trials: dict[str, Trial] = {}
    run: tuple[RunSettings, Settings] | None = None
    for combination, config in sweep.configs():
        if run is None:
            run = _run_settings(config)
            planner.device = find_device(run[0].device)
        trial = planner.trial(config, combination.choices)
        trials.setdefault(trial.id, trial)  # an axis may name a value twice
    if run is None:
        raise ConfigError("the sweep has no trials")
    settings, executor = run
    every = list(trials.values())
    added = added_metrics(every)
    if all(trial.skipped for trial in every):
        raise NothingToTrain(f"nothing to train: {every[0].skipped}")
    return Plan(settings, executor, every, _columns(every, sweep), added, planner.data)


def _run_settings(config: Mapping[str, Any]) -> tuple[RunSettings, Settings]:
    known = {*COMPONENTS, "train", "executor"}
    given = {name: value for name, value in config.items() if name not in known}
    fields = [field.name for field in dataclasses.fields(RunSettings)]
    if other := next((name for name in given if name not in fields), None):  # put there with a plus
        there = {name: node for name, node in config.items() if name in known or name in fields}
        raise unknown_setting(other, given[other], "a run", there, dotted(there))
    settings = RunSettings(**check_settings(RunSettings, given, ""))
    return settings, _checked("executor", _mapping(config, "executor"), Executor)


def _checked(group: str, node: Mapping[str, Any], base: type[Component]) -> Settings:
    """All settings of a group's component, with the name of its class. Raises ConfigError."""
    cls = find_class(node.get("_target_"), base, group)
    return {"_target_": node["_target_"]} | check_settings(cls, without_target(node), group)


def _mapping(config: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """The settings of a group. Raises ConfigError when they are not there."""
    node = config.get(group)
    if not isinstance(node, Mapping):
        hint = "" if group == "train" else f"; `quantbench list {group}` shows its choices"
        raise ConfigError(f"{group}={node!r}: must hold settings{hint}")
    return node


@dataclass
class _Planner:
    """Checks each distinct group of settings once, however many trials share it."""

    nodes: dict[tuple[str, str], Settings] = field(default_factory=dict)
    fit: Fit = field(default_factory=Fit)
    shapes: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def trial(self, config: Mapping[str, Any], choices: dict[str, str]) -> Trial:
        checked: Settings = {group: self._component(group, _mapping(config, group)) for group in COMPONENTS}
        train = _mapping(config, "train")
        checked["train"] = self._node("train", train, self._train)
        seed = config.get("seed")
        check_seed(seed)
        texts = [self.texts[id(node)] for node in checked.values()]
        digest = hashlib.sha256(canonical([choices, texts]).encode()).hexdigest()[:12]
        misfit = self.fit.misfit(checked, choices)
        shape = "\n".join(self.shapes[id(node)] for node in checked.values())
        return Trial(
            f"{digest}-{seed}", choices, checked | {"seed": seed}, self.numbers.setdefault(shape, len(self.numbers)), misfit
        )

    def _train(self, given: Settings) -> Settings:
        node = check_settings(TrainSettings, given, "train")
        TrainSettings(**node).check_device(self.device)
        return node

    def _component(self, group: str, given: Mapping[str, Any]) -> Settings:
        return self._node(group, given, lambda node: _checked(group, node, COMPONENTS[group]))

    def _node(self, group: str, given: Mapping[str, Any], check: Any) -> Settings:
        try:
            key = (group, canonical(given))
        except TypeError as error:
            raise ConfigError(f"{group}: holds something that is no plain value ({error})") from error
        if key not in self.nodes:
            node = check(dict(given))
            self.nodes[key] = node
            self.texts[id(node)] = canonical(identity(group, node, self.data))
            self.shapes[id(node)] = canonical(_structural(group, node))
        return self.nodes[key]


def _structural(group: str, node: Settings) -> Settings:
    """The settings that trials of one stack must share."""
    cls = TrainSettings if group == "train" else find_class(node["_target_"], COMPONENTS[group], group)
    return structural(cls, node)


def _columns(trials: list[Trial], sweep: Sweep) -> list[str]:
    """Dotted settings that vary among trials with the same choice in that setting's group, and those swept over."""
    values: dict[str, set[str]] = defaultdict(set)
    seen: set[tuple[str, int]] = set()
    for trial in trials:
        for group in [*COMPONENTS, "train"]:
            node, choice = trial.config[group], trial.choices.get(group, "")
            if (choice, id(node)) in seen:
                continue
            seen.add((choice, id(node)))
            for name, value in flat(node, group):
                values[f"{name}\n{choice}"].add(canonical(value))
    varying = {key.partition("\n")[0] for key, found in values.items() if len(found) > 1}
    varying |= {axis for axis in sweep.axes if "." in axis}
    order = dict.fromkeys(key.partition("\n")[0] for key in values)
    return [name for name in order if name in varying]

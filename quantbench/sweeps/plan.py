"""From a sweep to trials and stacks: apply values, resolve, check, identify, group by shape."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantbench.config import (
    COMPONENTS,
    RunSettings,
    Settings,
    canonical,
    check_settings,
    construct,
    find_class,
    find_device,
    flat,
    instance,
    structural,
    without_target,
)
from quantbench.errors import ConfigError
from quantbench.gradients import misfit
from quantbench.metrics import Metric
from quantbench.sweeps.balance import cut
from quantbench.sweeps.data import identity
from quantbench.sweeps.facts import added_metrics
from quantbench.sweeps.sweep import Sweep
from quantbench.training import TrainSettings

if TYPE_CHECKING:
    from quantbench.sweeps.executors import Executor

PER_RUN = ("experiment", "device", "executor", "output", "checkpoint_every", "export", "format", "dry_run")
"""Settings of a whole sweep. They are no part of a trial's identity: they cannot change what it finds."""
CPU_STACK = 64
"""Largest stack on a CPU where none is set."""


@dataclass(frozen=True)
class Trial:
    """One training of one codec.

    Attributes:
        id: hash of all settings, and of the data that they name, but of the seed; a dash, the seed.
        choices: the name chosen in each group.
        config: checked settings of each group, of ``train``, and the seed.
        shape: a number, equal for trials of a sweep that can share a stack.
        skipped: why the trial cannot be trained, or None.
    """

    id: str
    choices: dict[str, str]
    config: Settings
    shape: int
    skipped: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a sweep amounts to.

    Attributes:
        run: settings of the whole sweep.
        executor: its settings, with ``_target_``.
        trials: all of them, in order.
        stacks: those to train, of equal shape each, the longest first; on a GPU all trials of a shape where the stack size is
            to be measured.
        measured: whether the stack size is still to be measured, on the GPU.
        columns: settings that vary, by dotted name.
        added: metrics of the classes of the trials beyond those of the project, by name.
        data: fingerprints of the data of the sources, by where it is.
    """

    run: RunSettings
    executor: Settings
    trials: list[Trial]
    stacks: list[list[Trial]]
    measured: bool
    columns: list[str]
    added: dict[str, Metric]
    data: dict[str, str]


def plan(sweep: Sweep, done: frozenset[str] = frozenset()) -> Plan:
    """Plan a sweep.

    Args:
        done: identities of trials that need not be trained again.

    Raises:
        ConfigError: a setting is wrong, or no trial is left that can be trained.
    """
    planner = _Planner()
    trials: dict[str, Trial] = {}
    run: tuple[RunSettings, Settings] | None = None
    for combination, config in sweep.configs():
        run = run or _run_settings(config)
        trial = planner.trial(config, combination.choices)
        trials.setdefault(trial.id, trial)  # an axis may name a value twice
    if run is None:
        raise ConfigError("the sweep has no trials")
    settings, executor = run
    every = list(trials.values())
    added = added_metrics(every)
    if all(trial.skipped for trial in every):
        raise ConfigError(f"nothing to train: {every[0].skipped}")
    to_train = [trial for trial in every if not trial.skipped and trial.id not in done]
    engine = make_executor(executor)
    engine.ready()
    device = find_device(settings.device)
    measured = engine.stack_size is None and device.type == "cuda"
    limit = None if measured else engine.stack_size or CPU_STACK
    stacks = _stacks(to_train, limit, engine.workers_on(device))
    return Plan(settings, executor, every, stacks, measured, _columns(every, sweep), added, planner.data)


def make_executor(node: Settings) -> Executor:
    """The executor of checked or unchecked settings. Raises ConfigError."""
    from quantbench.sweeps.executors import Executor

    cls = find_class(node.get("_target_"), Executor, "executor")
    executor: Executor = construct(cls, check_settings(cls, without_target(node), "executor"))
    return executor


def _run_settings(config: Mapping[str, Any]) -> tuple[RunSettings, Settings]:
    known = {*COMPONENTS, "train", "executor"}
    given = {name: value for name, value in config.items() if name not in known}
    settings = RunSettings(**check_settings(RunSettings, given, ""))
    return settings, dict(_mapping(config, "executor"))


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
    misfits: dict[tuple[int, ...], str | None] = field(default_factory=dict)
    shapes: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def trial(self, config: Mapping[str, Any], choices: dict[str, str]) -> Trial:
        checked: Settings = {group: self._component(group, _mapping(config, group)) for group in COMPONENTS}
        train = _mapping(config, "train")
        checked["train"] = self._node("train", train, lambda node: check_settings(TrainSettings, node, "train"))
        seed = config.get("seed")
        if type(seed) is not int:
            raise ConfigError(f"seed={seed!r}: must be an integer")
        if abs(seed) >= 2**63:
            raise ConfigError(f"seed={seed}: must fit into 64 bits")
        texts = [self.texts[id(node)] for node in checked.values()]
        digest = hashlib.sha256(canonical([choices, texts]).encode()).hexdigest()[:12]
        misfit = self._misfit(checked, choices)
        shape = "\n".join(self.shapes[id(node)] for node in checked.values())
        return Trial(
            f"{digest}-{seed}", choices, checked | {"seed": seed}, self.numbers.setdefault(shape, len(self.numbers)), misfit
        )

    def _component(self, group: str, given: Mapping[str, Any]) -> Settings:
        def check(node: Settings) -> Settings:
            cls = find_class(node.get("_target_"), COMPONENTS[group], group)
            return {"_target_": node["_target_"]} | check_settings(cls, without_target(node), group)

        return self._node(group, given, check)

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

    def _misfit(self, checked: Settings, choices: dict[str, str]) -> str | None:
        """Why quantizer and gradient do not fit together, or None. Raises ConfigError where other parts do not."""
        key = tuple(id(checked[group]) for group in COMPONENTS)
        if key not in self.misfits:
            parts = {group: instance(group, checked[group]) for group in COMPONENTS}
            parts["quantizer"].check_dim(parts["codec"].latent_dim)
            for part in ("codec", "loss"):
                parts[part].check_input(parts["simulator"].waveform_rate, parts["simulator"].lengths)
            reason = misfit(parts["quantizer"], parts["gradient"])
            self.misfits[key] = (
                f"gradient={choices['gradient']} does not fit quantizer={choices['quantizer']}: {reason}; "
                f"{_fitting(parts['quantizer'])}"
                if reason
                else None
            )
        return self.misfits[key]


def _fitting(quantizer: Any) -> str:
    """The gradients of this project that fit a quantizer, in words."""
    from quantbench.choices import choices
    from quantbench.sweeps.catalogue import default_component

    fitting = [name for name in choices("gradient") if misfit(quantizer, default_component("gradient", name)) is None]
    return f"gradients that fit it: {', '.join(fitting)}"


def _structural(group: str, node: Settings) -> Settings:
    """The settings that trials of one stack must share."""
    cls = TrainSettings if group == "train" else find_class(node["_target_"], COMPONENTS[group], group)
    return structural(cls, node)


def _stacks(trials: list[Trial], limit: int | None, workers: int) -> list[list[Trial]]:
    """Trials of equal shape in stacks of at most ``limit``, cut so that all workers end at about the same time."""
    groups: dict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.shape].append(trial)
    members = list(groups.values())
    limits = [min(limit or len(group), _fitting_memory(group[0])) if _stackable(group[0]) else 1 for group in members]
    return cut(members, limits, workers)


def _stackable(trial: Trial) -> bool:
    """Whether such trials train faster together than one by one."""
    cls = find_class(trial.config["codec"]["_target_"], COMPONENTS["codec"], "codec")
    return bool(cls.stackable)  # type: ignore[attr-defined]


def _fitting_memory(trial: Trial) -> int:
    """How many trials' sources fit into the memory that one source may take."""
    from quantbench.simulators.base import memory_allowed

    each: int = instance("simulator", trial.config["simulator"]).bytes_per_trial
    return max(1, memory_allowed() // max(1, each))


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

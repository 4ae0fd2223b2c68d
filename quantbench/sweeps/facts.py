"""What the classes of a sweep say of themselves, for readers of its results, who do not import them: ``columns.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from quantbench.components import Component, size_settings, within
from quantbench.config import COMPONENTS, instance
from quantbench.files import write_text
from quantbench.metrics import Metric, declared
from quantbench.results.facts import COLUMNS_FILE
from quantbench.schema import Settings
from quantbench.sweeps.trial import Trial


def components(trials: Sequence[Trial], groups: Sequence[str] = tuple(COMPONENTS)) -> Iterator[tuple[str, Component]]:
    """A group and one component for all trials that have the same classes in it."""
    for group in groups:
        nodes = {id(trial.config[group]): trial.config[group] for trial in trials}
        alike = {tuple(_targets(node)): node for node in nodes.values()}
        for node in alike.values():
            yield group, instance(group, node)


def _targets(node: Settings) -> Iterator[str]:
    """Names of the classes of a component and of those within it."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _targets(value)
        elif name == "_target_":
            yield value


def added_metrics(trials: Sequence[Trial]) -> dict[str, Metric]:
    """Metrics that the classes of a sweep add to the project's. Raises ConfigError where they contradict each other."""
    return declared(dict.fromkeys(type(part) for group, one in components(trials) for _, part in within(one, group)))


def rate_settings(trials: Sequence[Trial]) -> list[str]:
    """Dotted names of the settings that decide how many bits the quantizers of a sweep spend."""
    return list(dict.fromkeys(name for group, one in components(trials, ["quantizer"]) for name in size_settings(one, group)))


def write_facts(trials: Sequence[Trial], added: Mapping[str, Metric], folder: Path) -> None:
    """Write ``columns.json`` into the folder of a run. Raises QuantBenchError.

    Args:
        added: metrics of the classes of the trials beyond those of the project, by name.
    """
    facts = {"sizes": rate_settings(trials), "metrics": [asdict(one) for one in added.values()]}
    write_text(folder / COLUMNS_FILE, json.dumps(facts, indent=2) + "\n")

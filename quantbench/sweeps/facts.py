"""What the classes of a sweep say of themselves, for readers of its results, who do not import them: ``columns.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.components import Component, size_settings, within
from quantbench.config import COMPONENTS, Settings, instance
from quantbench.metrics import Metric, declared
from quantbench.sweeps.sweep import write_text

if TYPE_CHECKING:
    from quantbench.sweeps.plan import Plan, Trial

FILE = "columns.json"


def components(configs: Sequence[Settings], groups: Sequence[str] = tuple(COMPONENTS)) -> Iterator[Component]:
    """One component for all trials that share its settings."""
    for group in groups:
        nodes = {id(config[group]): config[group] for config in configs}
        for node in nodes.values():
            yield instance(group, node)


def added_metrics(trials: Sequence[Trial]) -> dict[str, Metric]:
    """Metrics that the classes of a sweep add to the project's. Raises ConfigError where they contradict each other."""
    every = components([trial.config for trial in trials])
    return declared(dict.fromkeys(type(part) for one in every for _, part in within(one, "")))


def rate_settings(trials: Sequence[Trial]) -> list[str]:
    """Dotted names of the settings that decide how many bits the quantizers of a sweep spend."""
    quantizers = components([trial.config for trial in trials], ["quantizer"])
    return list(dict.fromkeys(name for one in quantizers for name in size_settings(one, "quantizer")))


def write_facts(planned: Plan, folder: Path) -> None:
    """Write ``columns.json`` into the folder of a run. Raises QuantBenchError."""
    facts = {"sizes": rate_settings(planned.trials), "metrics": [asdict(one) for one in planned.added.values()]}
    write_text(folder / FILE, json.dumps(facts, indent=2) + "\n")

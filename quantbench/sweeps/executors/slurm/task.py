"""Stacks as JSON, for a job that runs later and elsewhere: its task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantbench.config import COMPONENTS
from quantbench.errors import QuantBenchError
from quantbench.files import write_text
from quantbench.schema import Settings, check_settings, find_class, without_target
from quantbench.sweeps.remote import own_folders
from quantbench.sweeps.trial import Trial
from quantbench.training import Keep, TrainSettings
from quantbench.version import __version__


def write_task(path: Path, stacks: Sequence[Sequence[Trial]], device: str, keep: Keep, cpus: int, gpus: int = 0) -> None:
    """Write what a job needs to know. Raises QuantBenchError.

    Args:
        cpus: how many stacks to train at a time where they are trained on the CPU.
        gpus: that the job asked for, each of which trains a stack at a time; 0 where it asked for none, and uses one at most.
    """
    content = {
        "version": __version__,
        "folders": own_folders(),
        "run": str(keep.folder),
        "device": device,
        "cpus": cpus,
        "gpus": gpus,
        "checkpoint_every": keep.checkpoint_every,
        "export": keep.export,
        "references": keep.references,
    }
    write_text(path, json.dumps(content | pack(stacks)))


def read_task(path: Path) -> dict[str, Any]:
    """What ``write_task`` wrote. Raises QuantBenchError."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        trials_of(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuantBenchError(f"{path}: cannot be read as the task of a job ({error})") from error
    return content


def pack(stacks: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """Stacks as plain data; settings that trials share are there once."""
    nodes: dict[int, int] = {}
    settings: list[Settings] = []

    def number(node: Settings) -> int:
        if id(node) not in nodes:
            nodes[id(node)] = len(settings)
            settings.append(node)
        return nodes[id(node)]

    def plain(trial: Trial) -> dict[str, Any]:
        parts = {group: number(node) for group, node in trial.config.items() if group != "seed"}
        return {"id": trial.id, "choices": trial.choices, "shape": trial.shape, "seed": trial.config["seed"], "parts": parts}

    packed = [[plain(trial) for trial in stack] for stack in stacks]
    return {"settings": settings, "stacks": packed}


def trials_of(packed: Mapping[str, Any]) -> list[list[str]]:
    """Identities of the trials of each stack."""
    return [[trial["id"] for trial in stack] for stack in packed["stacks"]]


def unpack(packed: Mapping[str, Any]) -> list[list[Trial]]:
    """The stacks that ``pack`` was given. Raises ConfigError where this process does not know what they name."""
    known: dict[tuple[str, int], Settings] = {}

    def node(group: str, number: int) -> Settings:
        if (group, number) not in known:
            known[group, number] = _checked(group, packed["settings"][number])
        return known[group, number]

    def trial(one: Mapping[str, Any]) -> Trial:
        config: Settings = {group: node(group, number) for group, number in one["parts"].items()}
        return Trial(one["id"], one["choices"], config | {"seed": one["seed"]}, one["shape"])

    return [[trial(one) for one in stack] for stack in packed["stacks"]]


def _checked(group: str, settings: Settings) -> Settings:
    """Settings in their own types again: JSON makes lists of tuples."""
    if group == "train":
        return check_settings(TrainSettings, settings, group)
    cls = find_class(settings["_target_"], COMPONENTS[group], group)
    return {"_target_": settings["_target_"]} | check_settings(cls, without_target(settings), group)

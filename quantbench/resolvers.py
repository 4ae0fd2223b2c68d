"""Values in a configuration that stand for others."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

LARGEST_POWER = 62
"""Codes are counted with 64 bits; a much larger power alone would take all time and memory."""


READS_MORE = re.compile(r"\$\{\s*oc\.")
"""OmegaConf's own resolvers read the environment, which is none of a stranger's file's business."""


def two_to(power: float) -> float:
    """What ``${two_to:power}`` stands for. Raises ValueError."""
    if not abs(power) <= LARGEST_POWER:
        raise ValueError(f"two_to:{power} takes at most {LARGEST_POWER}")
    return float(2**power) if isinstance(power, float) else 2**power


def register() -> None:
    """Make them known to OmegaConf."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("two_to", two_to, replace=True)


def interpolated(config: Any, path: str = "") -> Iterator[str]:
    """Dotted names of leaves that hold an interpolation."""
    for name, value in config.items():
        dotted = f"{path}.{name}" if path else str(name)
        if isinstance(value, dict):
            yield from interpolated(value, dotted)
        elif "${" in str(value):
            yield dotted


def resolved(config: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some values set and, as far as possible, nothing that stands for another; for readers.

    What cannot be resolved stays as it is written.
    """
    config = copy.deepcopy(config)
    for name, value in values.items():
        *parents, last = name.split(".")
        node: Any = config
        for parent in parents:
            node = node.get(parent, {}) if isinstance(node, dict) else {}
        if isinstance(node, dict) and last in node:
            node[last] = value
    names = list(interpolated(config))
    if not names or READS_MORE.search(str(config)):
        return config
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register()
    live = OmegaConf.create(config)
    for name in names:
        *parents, last = name.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        try:
            value = OmegaConf.select(live, name)
        except (OmegaConfBaseException, ValueError, TypeError):
            continue
        node[last] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return config

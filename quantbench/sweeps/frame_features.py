"""What ``${frame_features:}`` stands for in a configuration: the number of features of the simulator's frames."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from quantbench.config import instance
from quantbench.errors import ConfigError

UNKNOWN = 1
"""Where the simulator cannot be used; planning, which looks at it first, says why."""


def frame_features(*, _root_: Any) -> int:
    """Features of the frames of the simulator beside which it stands."""
    try:
        node = OmegaConf.to_container(_root_.simulator, resolve=True)
        found = instance("simulator", node).input_dim if isinstance(node, dict) else UNKNOWN  # type: ignore[arg-type]
    except (ConfigError, OmegaConfBaseException, TypeError, ValueError, KeyError, AttributeError):
        return UNKNOWN
    return found if type(found) is int else UNKNOWN


def register() -> None:
    """Make it known to OmegaConf."""
    OmegaConf.register_new_resolver("frame_features", frame_features, replace=True)

"""What a setting names by its import path: modules, functions and classes of other packages, or of the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from quantbench import imports
from quantbench.errors import ConfigError, brief
from quantbench.install import how_to_install

PEERS = "vector_quantize_pytorch"


def found_by(setting: str, path: str) -> Any:
    """What has this import path, as in ``package.module.Name``. Raises ConfigError."""
    if not path or "." not in path:
        raise ConfigError(
            f"{setting}={path or chr(39) * 2}: must name a class or a function, as in my.Name for Name in my.py "
            f"(--config-dir FOLDER tells where my.py is)"
        )
    if reason := imports.refusal(path):
        raise ConfigError(f"{setting}={path}: {reason}")
    package, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(package), name)
    except Exception as error:  # whatever a module does when it is run
        where = (
            f"vector-quantize-pytorch is installed with {how_to_install('peers')}"
            if path.startswith(PEERS)
            else "a file of your own is found in the folder of --config-dir"
        )
        raise ConfigError(f"{setting}={path}: cannot be imported ({said(error)}); {where}") from error


def module_class(setting: str, path: str) -> type[nn.Module]:
    """The class of a torch module with this import path. Raises ConfigError."""
    cls = found_by(setting, path)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # anything else would be called all the same
        raise ConfigError(f"{setting}={path}: must be a class that derives from torch.nn.Module")
    return cls


def built(cls: Any, arguments: Any, setting: str, path: str) -> Any:
    """An object of a class with these keyword arguments. Raises ConfigError, with the name of the setting that holds them."""
    check_arguments(setting, arguments)
    try:
        return cls(**(arguments or {}))
    except Exception as error:
        raise ConfigError(f"{setting}={arguments}: {path} refuses them ({said(error)})") from error


def check_arguments(setting: str, arguments: Any) -> None:
    """Raise ConfigError unless these can be keyword arguments."""
    if arguments is not None and not (isinstance(arguments, Mapping) and all(isinstance(name, str) for name in arguments)):
        raise ConfigError(f"{setting}={brief(arguments)}: must be a mapping of keyword arguments, as in {{dim:8}}")


def said(error: Exception) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

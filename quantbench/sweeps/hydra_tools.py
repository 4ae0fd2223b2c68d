"""What every use of Hydra needs: the user's folder on its search path, and its errors as ours. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.imports import import_from_config_dir


def search_path(config_dir: Path | None) -> list[str]:
    """The user's folder, from which classes can now be imported. Raises ConfigError where it is not there."""
    if config_dir is None:
        return []
    import_from_config_dir(config_dir)
    return [os.path.abspath(config_dir)]


def searched(folders: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """What tells Hydra of the user's folder; a search path among the overrides stays."""
    if not folders:
        return []
    own = [word.partition("=")[2].strip().strip("[]") for word in overrides if word.startswith("hydra.searchpath=")]
    ours = [f"'quantbench://{path}'" for path in folders]
    return [f"hydra.searchpath=[{','.join([*ours, *own])}]"]


def own_folders(hydra: Any) -> list[str]:
    """The user's folder, of a configuration's ``hydra`` node."""
    return [path.removeprefix("quantbench://") for path in hydra.searchpath or [] if path.startswith("quantbench://")]


@contextmanager
def told() -> Iterator[None]:
    """Whatever Hydra stumbles over is something in the command or in a choice. Raises ConfigError."""
    try:
        yield
    except QuantBenchError:
        raise
    except Exception as error:
        if interrupted(error):
            raise KeyboardInterrupt from error
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, QuantBenchError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from error
        lines = [line for line in (str(error), str(error.__cause__ or "")) if line]
        raise ConfigError("\n".join(dict.fromkeys(lines)) or f"Hydra cannot compose this: {type(error).__name__}") from error

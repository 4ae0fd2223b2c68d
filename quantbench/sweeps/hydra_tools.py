"""What every use of Hydra needs: the user's folder on its search path, and its errors as ours. Imports no torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from quantbench.errors import ConfigError, QuantBenchError, interrupted
from quantbench.imports import import_from_config_dir
from quantbench.sweeps.hydra_errors import in_our_words

OWN = "config-dir"
"""Hydra's provider of the user's folder."""
own: list[str] = []
"""The user's folder, if there is one: Hydra's plugin puts it on the search path."""
_turn = threading.RLock()
"""Hydra is one a process."""


def search_path(config_dir: Path | None) -> list[str]:
    """The user's folder, from which classes can now be imported. Raises ConfigError where it is not there."""
    if config_dir is None:
        return []
    import_from_config_dir(config_dir)
    return [os.path.abspath(config_dir)]


@contextmanager
def searching(folders: Sequence[str]) -> Iterator[None]:
    """Have Hydra find choices in the user's folder meanwhile; a Hydra that somebody else began is there again afterwards."""
    with _turn:
        instance = GlobalHydra.instance()
        theirs, before = instance.hydra, list(own)
        instance.clear()
        own[:] = folders
        try:
            yield
        finally:
            own[:] = before
            GlobalHydra.instance().hydra = theirs


def users_folders(hydra: Any) -> list[str]:
    """The user's folder, of a configuration's ``hydra`` node."""
    return [str(source.path) for source in hydra.runtime.config_sources if source.provider == OWN]


def own_settings(overrides: Sequence[str], output: str | None, name: str | None) -> dict[str, str]:
    """What our own flags give, by setting. Raises ConfigError where the overrides give it, too."""
    given = {key: value for key, value in (("output", output), ("name", name)) if value is not None}
    for key, value in given.items():
        if other := [word for word in overrides if word.lstrip("+~").partition("=")[0] == key]:
            raise ConfigError(f"--{key} {value}: {other[0]} says it, too; give one of the two")
    return given


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
        if (ours := in_our_words(error)) is not None:
            raise ours from error
        lines = [line for line in (str(error), str(error.__cause__ or "")) if line]
        raise ConfigError("\n".join(dict.fromkeys(lines)) or f"Hydra cannot compose this: {type(error).__name__}") from error

"""What Hydra says of names that are not there, in the words of this project."""

from __future__ import annotations

import re

from hydra.errors import HydraException, MissingConfigException

from quantbench.errors import ConfigError
from quantbench.suggest import did_you_mean, like_setting, no_such_choice
from quantbench.sweeps.choice_files import settings


def in_our_words(error: BaseException) -> ConfigError | None:
    """Our error in the place of one of Hydra's; None where that is of another kind."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return no_such_choice(group, name, error.options)
    if not isinstance(error, HydraException):
        return None
    if found := re.match(r"Could not override '([^']*)'\.", text):
        name = found.group(1)
        added = re.search(r" use \+(.*)", text)
        word = added.group(1) if added else name
        if "@" in name:
            return ConfigError(f"{word}: nothing is chosen there yet; +{word} puts a choice into a setting")
        if name.startswith("hydra."):
            return ConfigError(f"{word}: no such setting of Hydra's; +{word} adds it")
        return ConfigError(f"{word}: {_unknown(name)}")
    if found := re.match(r"Could not delete from config\. '([^']*)' does not exist\.", text):
        return ConfigError(f"~{found.group(1)}: {_unknown(found.group(1))}")
    return None


def _unknown(name: str) -> str:
    """Hydra does not say what there is; of all settings of all choices one may be meant."""
    return f"unknown setting; `quantbench run --help` shows all{did_you_mean(like_setting(name, settings()))}"

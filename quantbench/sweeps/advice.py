"""What is wrong with a command line before Hydra reads it: words that are no KEY=VALUE, and flags that are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from quantbench.choices import GROUPS, choices
from quantbench.errors import ConfigError
from quantbench.suggest import CHOICES, EXPERIMENT, did_you_mean, like, like_setting
from quantbench.sweeps.choice_files import settings


def check_words(words: Sequence[str], config_dir: Path | None = None) -> None:
    """Raise ConfigError for the first word that is no override, saying what to type."""
    for place, word in enumerate(words):
        if "=" not in word and not word.startswith("~"):
            following = words[place + 1] if place + 1 < len(words) else ""
            raise ConfigError(f"{word}: {_advice(word, following, config_dir)}")


def _advice(word: str, following: str, config_dir: Path | None) -> str:
    """What to type in the place of a word without ``=``."""
    if following.startswith("="):
        return f"write {word}=VALUE as one word, without blanks"
    name, every = word.lstrip("+"), {group: choices(group, config_dir) for group in GROUPS}
    if name in GROUPS:
        if following in every[name]:
            return f"to choose one, type {_choose(name)}={following}"
        return f"to choose one, type {_choose(name)}=NAME; `quantbench list {name}` shows the names"
    if fits := [f"{_choose(group)}={name}" for group in GROUPS if name in every[group]]:
        return f"is a choice; type {' or '.join(fits)}"
    if name in settings():
        return f"type {name}={following or 'VALUE'}"
    meant = [f"{_choose(group)}={one}" for group in GROUPS for one in like(name, every[group], CHOICES, most=1)]
    meant = meant or [one if "=" in one else f"{one}=VALUE" for one in like_setting(name, settings())]
    return f"must be KEY=VALUE, as seed=3; `quantbench run --help` shows all settings{did_you_mean(meant[:3])}"


def _choose(group: str) -> str:
    return EXPERIMENT if group == "experiment" else group


def unknown_flag(flag: str, words: Sequence[str], flags: Iterable[str]) -> ConfigError:
    """The error of a flag that ``run`` does not have; settings and choices have no dashes.

    Args:
        words: the command line.
        flags: those that there are.
    """
    name, sign, value = flag.lstrip("-").partition("=")
    place = words.index(flag) + 1 if flag in words else len(words)
    if not sign and place < len(words) and "=" not in words[place] and not words[place].startswith("-"):
        value = words[place]
    if name in GROUPS:
        return ConfigError(f"{flag}: is no flag; type {_choose(name)}={value or 'NAME'}")
    if near := like(flag.partition("=")[0], flags):
        return ConfigError(f"{flag}: no such flag{did_you_mean(near)} `quantbench run --help` shows all")
    meant = [one if "=" in one else f"{one}={value or 'VALUE'}" for one in like_setting(name, [*settings(), *GROUPS])]
    known = f"; settings have no dashes{did_you_mean(meant)}" if meant else "; `quantbench run --help` shows all"
    return ConfigError(f"{flag}: no such flag{known}")

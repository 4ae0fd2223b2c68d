"""Search spaces of methods, and what their authors recommend: ``space`` and ``recommended`` in the files of choices.

Neither reaches a component. A quantizer's and a gradient's together, behind the learning rate, are the method's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.choices import choices
from quantbench.errors import ConfigError
from quantbench.schema import Settings
from quantbench.suggest import did_you_mean, dotted, like, no_such_choice
from quantbench.sweeps.catalogue import default_component, resolved
from quantbench.sweeps.choice_files import RECOMMENDED, SPACE, read
from quantbench.sweeps.priors import LOG_UNIFORM, Prior, prior

MOST = 5
"""Settings of a method that are searched, the learning rate among them."""
SHARED = {"train.lr": Prior(LOG_UNIFORM, (3e-4, 1e-2))}
"""What is searched of every method, and the same for all."""
WITHIN = ("", "stage.", "part.", "stage.part.")
"""Where a setting of a quantizer may be: its own, that of its stages, of its groups, of what a stage conditions."""
TUNED = ("quantizer", "gradient")
"""Groups whose choices make a method."""


@dataclass(frozen=True)
class Space:
    """What a search tries of a method.

    Attributes:
        priors: of each setting, by its dotted name, in the order in which they count.
        held: settings with one value in all trials of the search.
        recommended: what the authors recommend beyond the defaults, in both tracks.
        left_out: settings beyond the first five.
    """

    priors: dict[str, Prior]
    held: Settings
    recommended: Settings
    left_out: list[str]


def space_of(group: str, name: str, config_dir: Path | None = None) -> dict[str, Prior]:
    """The space of a choice: priors by the name of a setting, below the group; those of a gradient may name ``quantizer.`` too.

    Raises:
        ConfigError: no such setting, a prior that is none or leaves the setting's range, too many settings.
    """
    path = _path(group, name, config_dir)
    written = _mapping(read(path).get(SPACE), f"{path}: {SPACE}")
    found = {key: prior(value, f"{path}: {SPACE}.{key}") for key, value in written.items()}
    own = {key: one for key, one in found.items() if not _of_quantizer(group, key)}
    _check_names(group, name, own, path, SPACE, config_dir)
    for key, one in own.items():
        for value in one.extremes:
            try:
                default_component(group, name, config_dir, {key: value})
            except ConfigError as error:
                raise ConfigError(f"{path}: {SPACE}.{key} leaves the setting's range: {error}") from error
    if len(searched := [key for key, one in own.items() if len(one.extremes) > 1]) > MOST - len(SHARED):
        few = MOST - len(SHARED)
        raise ConfigError(
            f"{path}: {SPACE} has {len(searched)} settings; a choice has at most {few} beside {', '.join(SHARED)}"
        )
    return found


def recommended_of(group: str, name: str, config_dir: Path | None = None) -> Settings:
    """What the authors of a choice recommend beyond its defaults, by dotted name. Raises ConfigError."""
    path = _path(group, name, config_dir)
    written = _mapping(read(path).get(RECOMMENDED), f"{path}: {RECOMMENDED}")
    for key in written:
        if key.partition(".")[0] not in TUNED:
            raise ConfigError(f"{path}: {RECOMMENDED}.{key}: must be a setting of {' or '.join(TUNED)}, named from there on")
    return written


def method_space(
    chosen: Mapping[str, str], config: Mapping[str, Any], varied: Collection[str] = (), config_dir: Path | None = None
) -> Space:
    """The space of a method: the shared settings, then the gradient's, then the quantizer's; of these the first five.

    What the configuration does not have is left out, as settings of a codebook of a quantizer without one.

    Args:
        chosen: its choices by group.
        config: its configuration, resolved.
        varied: settings that the experiment itself varies, which are searched no more.
    """
    gradient = space_of("gradient", chosen["gradient"], config_dir)
    quantizer = {f"quantizer.{key}": one for key, one in space_of("quantizer", chosen["quantizer"], config_dir).items()}
    for key, one in gradient.items():
        if key.startswith("quantizer.") and (place := located(config, key)):
            quantizer[place] = one
    own = {f"gradient.{key}": one for key, one in gradient.items() if not key.startswith("quantizer.")}
    every = {key: one for key, one in (SHARED | own | quantizer).items() if key not in varied and _has(config, key)}
    held = {key: one.values[0] for key, one in every.items() if len(one.extremes) == 1}
    searched = [key for key in every if key not in held]
    said: Settings = {}
    for group in TUNED:
        for key, value in recommended_of(group, chosen[group], config_dir).items():
            if (place := located(config, key)) and place not in varied:
                said[place] = value
    return Space({key: every[key] for key in searched[:MOST]}, held, said, searched[MOST:])


def located(config: Mapping[str, Any], name: str) -> str | None:
    """The dotted name of a setting, perhaps of a quantizer's stages or groups; None where there is none."""
    group, _, setting = name.partition(".")
    return next((place for inner in WITHIN if _has(config, place := f"{group}.{inner}{setting}")), None)


def _has(config: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True


def _of_quantizer(group: str, key: str) -> bool:
    return group == "gradient" and key.startswith("quantizer.")


def _path(group: str, name: str, config_dir: Path | None) -> Path:
    files = choices(group, config_dir)
    if name not in files:
        raise no_such_choice(group, name, files)
    return files[name]


def _mapping(written: Any, where: str) -> dict[str, Any]:
    if written is not None and not isinstance(written, dict):
        raise ConfigError(f"{where}={written!r}: must be a mapping of settings")
    return {str(key): value for key, value in (written or {}).items()}


def _check_names(group: str, name: str, given: Collection[str], path: Path, what: str, config_dir: Path | None) -> None:
    known = [key for key in dotted(resolved(group, name, config_dir)) if not key.endswith("_target_")] if given else []
    for key in given:
        if key not in known:
            allowed = f"there are {', '.join(known)}" if known else f"{name} has none"
            raise ConfigError(f"{path}: {what}.{key}: no such setting; {allowed}{did_you_mean(like(key, known))}")

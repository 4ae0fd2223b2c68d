"""One choice in every group: the combinations over which a sweep's axes go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from quantbench.choices import choices
from quantbench.config import COMPONENTS
from quantbench.errors import ConfigError
from quantbench.paths import config_folder
from quantbench.schema import Settings
from quantbench.sweeps.choice_files import filled, read
from quantbench.sweeps.hydra_tools import users_folders
from quantbench.sweeps.sweep import Combination, copy_nodes, put
from quantbench.sweeps.words import group_of

Compose = Callable[[Sequence[str]], DictConfig]
"""From overrides to what Hydra composes of them; not to be changed."""


class Combine:
    """Combinations of choices. Hydra takes long for each, so choices of several groups are put together where that is the same.

    It is where each choice, by itself, changes nothing but the settings of its group, and its file asks for no other choice.
    """

    def __init__(self, once: Compose, always: list[str]) -> None:
        self.once, self.always = once, always
        self.alone: dict[str, Combination | None] = {}

    def __call__(self, words: Sequence[str]) -> Combination:
        parts = [self._alone(word) for word in words] if len(words) > 1 else []
        found = combination(self.once(self.always)) if parts and all(parts) else None
        if found is None:
            return combination(self.once([*self.always, *words]))
        choices, config = dict(found.choices), dict(found.config)
        for word, part in zip(words, parts, strict=True):
            assert part is not None
            group = group_of(word)
            choices[group], config[group] = part.choices[group], part.config[group]
        return Combination(choices, config)

    def _alone(self, word: str) -> Combination | None:
        """The combination with one choice beside those that hold for all; None where it does more than to fill its group."""
        if word not in self.alone:
            self.alone[word] = self._found_alone(word)
        return self.alone[word]

    def _found_alone(self, word: str) -> Combination | None:
        group, _, name = word.partition("=")
        file = config_folder() / group / f"{name}.yaml"
        if group not in COMPONENTS or not file.is_file() or "${" in str(read(file).get("defaults")):
            return None
        try:
            base, found = combination(self.once(self.always)), combination(self.once([*self.always, word]))
        except ConfigError:  # some settings fit only all of the choices together
            return None
        alike = all(base.config.get(key) == node for key, node in found.config.items() if key != group)
        return found if alike and len(base.config) == len(found.config) else None


def plain_node(node: Any) -> dict[str, Any]:
    """A node of a configuration as plain data, interpolations as they are written."""
    found = OmegaConf.to_container(node, resolve=False)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def combination(config: DictConfig) -> Combination:
    """Choices, and the settings with interpolations as they are written."""
    chosen = {str(key): str(name) for key, name in config.hydra.runtime.choices.items()}
    settings = {key: node for key, node in plain_node(config).items() if key != "hydra"}
    if any("@" in key for key in chosen):
        _forget_others(settings, chosen, next(map(Path, users_folders(config.hydra)), None))
    return Combination({group: chosen.get(group, "None") for group in COMPONENTS}, settings)


def _forget_others(settings: Settings, chosen: Mapping[str, str], config_dir: Path | None) -> None:
    """Drop what is left of a default where another choice took its place, as a stage's by ``quantizer@quantizer.stage=fsq``.

    Hydra merges choices, so settings that only the default has would stay.
    """
    defaults: Settings = {}
    for key, name in sorted(chosen.items(), key=lambda item: (item[0].count("."), item[0])):
        group, at, package = key.partition("@")
        file = choices(group, config_dir).get(name) if group in COMPONENTS else None
        if file is None:
            continue
        content = filled(file)
        *parents, last = (package if at else group).split(".")
        known, node = defaults, settings
        for parent in parents:
            known, node = known.get(parent) or {}, node.get(parent) or {}
        if at and isinstance(node.get(last), dict):
            default = known.get(last) or {}
            for left in [name for name in default if name not in content and node[last].get(name) == default[name]]:
                node[last].pop(left, None)
        known[last] = content


def with_values(combination: Combination, values: Sequence[tuple[str, Any]]) -> Combination:
    """A combination with other values of some settings, in order. Raises ConfigError where there is none of such a name."""
    config = copy_nodes(combination.config)
    for key, value in values:
        put(config, key, value)
    return Combination(combination.choices, config)

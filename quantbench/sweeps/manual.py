"""What every setting means: pages of choices, of a run and of the training, from docstrings, YAML and checks."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from quantbench.choices import choices, class_name, description
from quantbench.errors import ConfigError
from quantbench.suggest import no_such_choice
from quantbench.sweeps.choice_files import filled
from quantbench.sweeps.docstrings import parts_of, told_by
from quantbench.sweeps.kept import kept

if TYPE_CHECKING:
    from quantbench.components import Component

SETTINGS = ("train", "run")
"""Pages of settings that are no group's."""

TUNED = ("quantizer", "gradient")
"""Groups whose choices have a search space."""

CHOSEN_OTHERWISE = ("experiment",)
"""Settings of a run that nobody sets by their name."""


class Setting(TypedDict):
    """A setting as it is typed, its default as it is typed, what it may be, and what it means."""

    setting: str
    default: str
    allowed: str
    description: str


class Page(TypedDict):
    """What there is to say of a choice.

    ``facts`` are its formula, source, recommended settings, and what it offers or needs.
    """

    words: str
    text: list[str]
    facts: dict[str, str]
    settings: list[Setting]


def page(group: str, name: str, config_dir: Path | None = None) -> Page:
    """The page of a choice. Raises ConfigError where there is none of such a name."""
    files = choices(group, config_dir)
    if name not in files:
        raise no_such_choice(group, name, files)
    if config_dir is not None and files[name].is_relative_to(config_dir):
        return _of_choice(group, files[name], config_dir)  # a user's classes may change
    return kept(f"page-{group}-{name}", lambda: _of_choice(group, files[name], None))


def pages() -> dict[str, Page]:
    """The pages of ``SETTINGS``."""
    return kept("page-settings", _settings_pages)


def _settings_pages() -> dict[str, Page]:
    from quantbench.config import RunSettings
    from quantbench.training import TrainSettings

    train, run = TrainSettings(), RunSettings("default")
    rows = [row for row in _settings(run, vars(run), "") if row["setting"] not in CHOSEN_OTHERWISE]
    return {
        "train": Page(words="Settings of the training.", text=[], facts={}, settings=_settings(train, vars(train), "train")),
        "run": Page(words="Settings of a run.", text=[], facts={}, settings=rows),
    }


def _of_choice(group: str, path: Path, config_dir: Path | None) -> Page:
    from quantbench.components import Component
    from quantbench.schema import construct, find_class, without_target
    from quantbench.sweeps.catalogue import resolved

    node = resolved(group, path.stem, config_dir)
    one = construct(find_class(node.get("_target_"), Component, str(path)), without_target(node), group)
    text, facts = parts_of(type(one)).text, parts_of(told_by(one)).facts
    offers, needs = getattr(one, "offers", None), getattr(one, "needs", None)
    facts |= {"Offers": ", ".join(sorted(offers)) or "nothing"} if offers is not None else {}
    facts |= {"Needs": ", ".join(sorted(needs)) or "nothing"} if needs is not None else {}
    facts |= _searched(group, path.stem, config_dir) if group in TUNED else {}
    return Page(words=description(path), text=text, facts=facts, settings=_settings(one, filled(path), group))


def _searched(group: str, name: str, config_dir: Path | None) -> dict[str, str]:
    """What `quantbench tune` tries of a choice, and what it sets in both tracks."""
    from quantbench.sweeps.spaces import recommended_of, space_of

    space, said = space_of(group, name, config_dir), recommended_of(group, name, config_dir)
    told = {"Searched": "; ".join(f"{key}: {prior}" for key, prior in space.items()) or "nothing but train.lr"}
    return told | ({"Tuned with": ", ".join(f"{key}={typed(value)}" for key, value in said.items())} if said else {})


def _settings(one: Component, node: Mapping[str, Any], prefix: str) -> list[Setting]:
    """Every setting of a component, those of components within it below it."""
    return list(_rows(one, node, prefix, _bounds(one)))


def _rows(one: Component, node: Mapping[str, Any], prefix: str, bounds: Mapping[str, str]) -> Iterator[Setting]:
    from quantbench.components import Component, hints
    from quantbench.schema import describe, plain

    words = parts_of(type(one)).attributes
    for field in dataclasses.fields(one):
        name = f"{prefix}.{field.name}" if prefix else field.name
        value, hint = getattr(one, field.name), hints(type(one))[field.name]
        if isinstance(value, Component):
            yield Setting(
                setting=name,
                default=class_name(plain(value)["_target_"]),
                allowed=_chosen(name, hint),
                description=words.get(field.name, ""),
            )
            given = node.get(field.name)
            inner = _bounds(value) | {key: bound for key, bound in bounds.items() if key.startswith(f"{name}.")}
            yield from _rows(value, given if isinstance(given, Mapping) else plain(value), name, inner)
        else:
            bound = bounds.get(name) or bounds.get(field.name)
            allowed = ", ".join(part for part in (describe(hint), bound) if part)
            default = typed(node.get(field.name, value))
            yield Setting(setting=name, default=default, allowed=allowed, description=words.get(field.name, ""))


def _chosen(name: str, hint: Any) -> str:
    """How another component is put into a setting."""
    from quantbench.config import COMPONENTS

    group = next((group for group, base in COMPONENTS.items() if hint is base), None)
    return f"another by +{group}@{name}=CHOICE" if group else "has settings of its own"


def _bounds(one: Component) -> dict[str, str]:
    """What ``check`` asks of numbers, by the name that it gives a setting and by the last word of that name."""
    from quantbench.components import bounds_of_checks

    with bounds_of_checks() as told, contextlib.suppress(ConfigError):  # a folder may not be there yet, nor an extra
        one.check()
    found: dict[str, str] = {}
    for name, bound in told:
        found.setdefault(name, bound)
        if name.count(".") < 2:
            found.setdefault(name.rpartition(".")[2], bound)
    return found


def typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{typed(item)}" for name, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)

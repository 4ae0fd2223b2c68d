"""Pages of the manual as text that a terminal of 80 columns need not break."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quantbench.choices import choices, description
from quantbench.results.render import terminal_width
from quantbench.suggest import EXPERIMENT, dotted
from quantbench.sweeps.choice_files import read
from quantbench.sweeps.manual import Page, Setting, page, pages, typed

WIDEST = 100
"""Columns of prose where the terminal has more, or is none."""


def width() -> int:
    return min(terminal_width() or WIDEST, WIDEST)


def filled_in(text: str, first: str = "", then: str = "") -> str:
    """Prose in lines of the terminal's width, broken between words."""
    return textwrap.fill(
        text, width(), initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )


def entries(named: Mapping[str, str]) -> list[str]:
    """Names with words beside them, set in; the words' further lines stand below their first."""
    wide = max(map(len, named), default=0)
    return [filled_in(words, f"  {name.ljust(wide)}  ", " " * (wide + 4)).rstrip() for name, words in named.items()]


def choice_text(group: str, name: str, config_dir: Path | None) -> str:
    """All that is known of a choice. Raises ConfigError where there is none of such a name."""
    shown = page(group, name, config_dir)
    return _text(f"{group}={name}: {shown['words']}", shown)


def settings_text(name: str) -> str:
    """The page of the settings of a run or of the training."""
    shown = pages()[name]
    return _text(shown["words"], shown)


def _text(title: str, shown: Page) -> str:
    parts = [filled_in(title), *(filled_in(one) for one in shown["text"])]
    if shown["facts"]:
        parts.append("\n".join(filled_in(f"{name}: {words}", "", "  ") for name, words in shown["facts"].items()))
    lines = [line for one in shown["settings"] for line in _setting(one)]
    parts.append("\n".join(["Settings, with their defaults:", *lines] if lines else ["It has no settings."]))
    return "\n\n".join(parts)


def _setting(one: Setting) -> list[str]:
    sign = " is " if one["allowed"].startswith(("another", "has")) else "="
    head = f"  {one['setting']}{sign}{one['default']}"
    words = [one["description"].rstrip("."), f"({one['allowed']})"]
    return [head, filled_in(" ".join(filter(None, words)), "      ", "      ")]


Rows = list[tuple[str, str, str]]
"""What it is of an experiment, key, value."""


def experiment_rows(name: str, config_dir: Path | None) -> Rows:
    """What an experiment chooses, sets and varies. Raises ConfigError where its file cannot be read."""
    content = read(choices("experiment", config_dir)[name])
    rows: Rows = []
    for entry in content.pop("defaults", []):
        for key, value in entry.items() if isinstance(entry, Mapping) else [(EXPERIMENT, entry)]:
            rows.append(("chosen", str(key).removeprefix("override ").lstrip("/"), typed(value)))
    sweeper = (content.pop("hydra", None) or {}).get("sweeper") or {}
    settings = [key for key in dotted(content) if key != "experiment" and not isinstance(_at(content, key), Mapping)]
    rows += [("set", key, typed(_at(content, key))) for key in settings]
    rows += [("varies", str(key), value if isinstance(value, str) else typed(value)[1:-1]) for key, value in _of(sweeper)]
    for kind, part in (("point", "points"), ("left out", "exclude")):
        rows += [(kind, "", " ".join(f"{key}={typed(value)}" for key, value in one.items())) for one in sweeper.get(part) or []]
    return rows


def _of(sweeper: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    params = sweeper.get("params") or {}
    return [(key, value if isinstance(value, str | list) else [value]) for key, value in params.items()]


def _at(node: Any, name: str) -> Any:
    for part in name.split("."):
        node = node[part]
    return node


def experiment_text(name: str, config_dir: Path | None) -> str:
    """The same as text."""
    parts = [filled_in(f"{EXPERIMENT}={name}: {description(choices('experiment', config_dir)[name])}")]
    rows = experiment_rows(name, config_dir)
    for kind, title in (
        ("chosen", "It chooses:"),
        ("set", "It sets:"),
        ("varies", "It varies, each with each:"),
        ("point", "It goes through these points, each with all that varies:"),
        ("left out", "It leaves out:"),
    ):
        lines = [f"{key}={value}" if key else value for one, key, value in rows if one == kind]
        if lines:
            parts.append("\n".join([title, *(filled_in(line, "  ", "      ") for line in lines)]))
    parts.append(filled_in("Whatever is given on the command line takes the place of what is here."))
    return "\n\n".join(parts)

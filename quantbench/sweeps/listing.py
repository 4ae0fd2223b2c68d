"""What `quantbench list` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantbench.choices import GROUPS, choices, description
from quantbench.errors import ConfigError
from quantbench.imports import import_from_config_dir
from quantbench.metrics import METRICS, NUMBERED, declared
from quantbench.results.render import render
from quantbench.suggest import did_you_mean, like, no_such_choice
from quantbench.sweeps.kept import kept
from quantbench.sweeps.manual import SETTINGS, Setting, page, pages
from quantbench.sweeps.manual_text import choice_text, entries, experiment_rows, experiment_text, filled_in, settings_text

OTHERS = ("metrics", *SETTINGS)
"""What is shown beside the groups."""


def listing(group: str | None = None, config_dir: Path | None = None, form: str = "table", choice: str | None = None) -> str:
    """Every choice with one line each, and the table of pairs; for machines the choices alone. Raises ConfigError.

    Args:
        group: one group alone, or ``metrics``, or a page of settings that are no group's.
        choice: one choice of the group, with all of its settings.
    """
    if group is not None and group not in (*GROUPS, *OTHERS):
        raise ConfigError(f"list {group}: no such group; there are {', '.join(GROUPS)}, and {', '.join(OTHERS)}{_meant(group)}")
    if config_dir is not None:
        import_from_config_dir(config_dir)
    if choice is not None:
        return _choice(str(group), choice, config_dir, form)
    if group == "metrics":
        return _metrics(config_dir, form)
    if group in SETTINGS:
        return settings_text(group) if form == "table" else _rows(pages()[group]["settings"], form)
    if form != "table":
        chosen = [(one, choices(one, config_dir)) for one in ([group] if group else GROUPS)]
        rows = [[one, name, description(path)] for one, files in chosen for name, path in files.items()]
        return render(["group", "choice", "description"], rows, form)
    parts = [_group(one, config_dir) for one in ([group] if group else GROUPS)]
    if group in (None, "quantizer", "gradient"):
        parts.append(f"pairs that fit:\n{render(PAIRS, pairs(config_dir))}")
    if group is None:
        parts.append(
            filled_in("`quantbench list GROUP CHOICE` shows the settings of a choice, `list train` and `list run` the others.")
        )
    return "\n\n".join(parts)


def _meant(word: str) -> str:
    """What to ask for in the place of a word that is no group."""
    if fits := [f"`quantbench list {group} {word}`" for group in GROUPS if word in choices(group)]:
        return f"; type {' or '.join(fits)}"
    return did_you_mean(like(word, (*GROUPS, *OTHERS)))


def _choice(group: str, name: str, config_dir: Path | None, form: str) -> str:
    """All that is known of a choice."""
    if group not in GROUPS:
        raise ConfigError(f"list {group} {name}: {group} has no choices; `quantbench list {group}` shows all of it")
    if group != "experiment":
        return (
            choice_text(group, name, config_dir) if form == "table" else _rows(page(group, name, config_dir)["settings"], form)
        )
    if name not in (files := choices(group, config_dir)):
        raise no_such_choice(group, name, files)
    if form == "table":
        return experiment_text(name, config_dir)
    return render(["what", "setting", "value"], experiment_rows(name, config_dir), form)


def _rows(settings: Sequence[Setting], form: str) -> str:
    return render(list(Setting.__annotations__), [[str(cell) for cell in one.values()] for one in settings], form)


def _metrics(config_dir: Path | None, form: str) -> str:
    """The table of metrics, and those that classes in a folder of the user's own add."""
    every = METRICS | NUMBERED
    if config_dir is not None:
        from quantbench.sweeps.catalogue import named_classes  # and with it torch

        every |= declared(dict.fromkeys(named_classes(config_dir)))
    rows = [[one.name, one.unit, one.better, one.words] for one in every.values()]
    return render(["metric", "unit", "better", "description"], rows, form)


def _group(group: str, config_dir: Path | None) -> str:
    found = choices(group, config_dir)
    return "\n".join([f"{group}:", *entries({name: description(path) for name, path in found.items()})])


PAIRS = ("gradient", "needs of the quantizer", "fits")


def pairs(config_dir: Path | None) -> list[list[str]]:
    """Which quantizers fit each gradient, and what it needs of them: the rows of ``PAIRS``."""
    return _find_pairs(config_dir) if config_dir is not None else kept("pairs", lambda: _find_pairs(None))


def _find_pairs(config_dir: Path | None) -> list[list[str]]:
    from quantbench.gradients import misfit
    from quantbench.sweeps.catalogue import default_component

    quantizers = {name: default_component("quantizer", name, config_dir) for name in choices("quantizer", config_dir)}
    gradients = {name: default_component("gradient", name, config_dir) for name in choices("gradient", config_dir)}
    rows = []
    for name, gradient in gradients.items():
        fitting = [other for other, quantizer in quantizers.items() if misfit(quantizer, gradient) is None]
        rows.append([name, ", ".join(sorted(gradient.needs)) or "nothing", _shortest(fitting, list(quantizers))])
    return rows


def _shortest(some: list[str], every: list[str]) -> str:
    """A list of names, or what it lacks of all of them where that is shorter."""
    others = [name for name in every if name not in some]
    return f"all but {', '.join(others)}" if len(others) < len(some) else ", ".join(some)

"""What `quantbench list` shows."""

from __future__ import annotations

from pathlib import Path

from quantbench.choices import GROUPS, choices, description
from quantbench.errors import ConfigError
from quantbench.imports import import_from_config_dir
from quantbench.metrics import METRICS, declared
from quantbench.results.render import render
from quantbench.sweeps.kept import kept


def listing(group: str | None = None, config_dir: Path | None = None, form: str = "table") -> str:
    """Every choice with one line each, and the table of pairs; for machines the choices alone. Raises ConfigError."""
    if group is not None and group not in (*GROUPS, "metrics"):
        raise ConfigError(f"group {group}: there are {', '.join(GROUPS)}, and metrics")
    if config_dir is not None:
        import_from_config_dir(config_dir)
    if group == "metrics":
        return _metrics(config_dir, form)
    if form != "table":
        chosen = [(one, choices(one, config_dir)) for one in ([group] if group else GROUPS)]
        rows = [[one, name, description(path)] for one, files in chosen for name, path in files.items()]
        return render(["group", "choice", "description"], rows, form)
    parts = [_group(one, config_dir) for one in ([group] if group else GROUPS)]
    if group in (None, "quantizer", "gradient"):
        parts.append(pairs(config_dir))
    return "\n\n".join(parts)


def _metrics(config_dir: Path | None, form: str) -> str:
    """The table of metrics, and those that classes in a folder of the user's own add."""
    every = dict(METRICS)
    if config_dir is not None:
        from quantbench.sweeps.catalogue import named_classes  # and with it torch

        every |= declared(dict.fromkeys(named_classes(config_dir)))
    rows = [[one.name, one.unit, one.better, one.words] for one in every.values()]
    return render(["metric", "unit", "better", "description"], rows, form, keys=None)


def _group(group: str, config_dir: Path | None) -> str:
    found = choices(group, config_dir)
    width = max(map(len, found), default=0)
    lines = [f"  {name.ljust(width)}  {description(path)}".rstrip() for name, path in found.items()]
    return "\n".join([f"{group}:", *lines])


def pairs(config_dir: Path | None) -> str:
    """Which gradients fit each quantizer, and what the others would need."""
    return _find_pairs(config_dir) if config_dir is not None else kept("pairs", lambda: _find_pairs(None))


def _find_pairs(config_dir: Path | None) -> str:
    from quantbench.gradients import misfit
    from quantbench.sweeps.catalogue import default_component

    quantizers = {name: default_component("quantizer", name, config_dir) for name in choices("quantizer", config_dir)}
    gradients = {name: default_component("gradient", name, config_dir) for name in choices("gradient", config_dir)}
    rows = []
    for name, gradient in gradients.items():
        fitting = [other for other, quantizer in quantizers.items() if misfit(quantizer, gradient) is None]
        rows.append([name, ", ".join(sorted(gradient.needs)) or "nothing", _shortest(fitting, list(quantizers))])
    return "pairs that fit:\n" + render(["gradient", "needs of the quantizer", "fits"], rows, keys=None)


def _shortest(some: list[str], every: list[str]) -> str:
    """A list of names, or what it lacks of all of them where that is shorter."""
    others = [name for name in every if name not in some]
    return f"all but {', '.join(others)}" if len(others) < len(some) else ", ".join(some)

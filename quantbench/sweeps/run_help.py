"""What `quantbench run --help` shows: flags, choices, and the settings of a run and of the training."""

from __future__ import annotations

import textwrap
from pathlib import Path

from quantbench.choices import GROUPS, choices
from quantbench.suggest import EXPERIMENT
from quantbench.sweeps.manual import Setting, pages
from quantbench.sweeps.manual_text import entries, filled_in, width

FLAGS = {
    "-m, --multirun": "sweep: KEY=A,B,C is an axis (an experiment is a sweep anyway)",
    "--config-dir DIR": "choices of your own in YAML, with their classes beside them",
    "--output DIR": "folder of all results; short for output=DIR",
    "--name NAME": "what the run is called",
    "--export": "write reconstructions and weights, too; short for export=true",
    "--format FORM": "of the tables: csv or parquet; short for format=FORM",
    "--cfg job": "show the composed configuration and do nothing",
    "--hydra-help": "flags of Hydra's own",
    "-h, --help": "show this page",
}

EXAMPLES = """\
Examples:
  quantbench run +experiment=ste_vs_anneal
  quantbench run +experiment=ste_vs_anneal 'seed=range(0,16)' gradient=ste,mste
  quantbench run -m quantizer=fsq,scalar quantizer.levels=3 'seed=range(0,5)'
  quantbench run +experiment=bit_budget dry_run=true"""

MORE = {
    "quantbench list": "what every choice is, and which pairs fit",
    "quantbench list GROUP CHOICE": "its settings: meaning, default, what is allowed",
    "quantbench list train": "the settings of the training in full; likewise run",
}


def run_help(config_dir: Path | None = None) -> str:
    """The page, with the choices of the user's own folder among the others."""
    chosen = {group if group != "experiment" else EXPERIMENT: choices(group, config_dir) for group in GROUPS}
    known = pages()
    parts = [
        "usage: quantbench run [FLAGS] [KEY=VALUE ...]",
        filled_in("Trains every quantizer with every gradient-passing strategy that is asked for, under paired conditions."),
        "\n".join(["Flags:", *entries(FLAGS)]),
        "\n".join(["Choices, as quantizer=fsq:", *entries({group: ", ".join(names) for group, names in chosen.items()})]),
        _settings("Settings of a run, with their defaults:", known["run"]["settings"]),
        _settings("Settings of the training:", known["train"]["settings"]),
        "\n".join(["Settings of a choice, as quantizer.codes=64, and all else:", *entries(MORE)]),
        EXAMPLES,
    ]
    return "\n\n".join(parts)


def _settings(title: str, settings: list[Setting]) -> str:
    """A line a setting; its page has all that there is to say."""
    shown = {f"{one['setting']}={one['default']}": one["description"] for one in settings}
    room = width() - max(map(len, shown)) - 4
    brief = {name: textwrap.shorten(_first(words), max(room, 20), placeholder=" ...") for name, words in shown.items()}
    return "\n".join([title, *entries(brief)])


def _first(words: str) -> str:
    return words.partition(";")[0].replace("`", "").rstrip(".")

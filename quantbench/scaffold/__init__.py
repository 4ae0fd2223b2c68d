"""Writes the files from which a user starts a part of their own: a class, its choice, and its test."""

from __future__ import annotations

import keyword
import shlex
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from quantbench.choices import choices
from quantbench.errors import ConfigError
from quantbench.files import write_text, writing

GROUPS = ("quantizer", "gradient", "simulator", "codec")


def new(group: str, name: str, folder: Path | None = None) -> tuple[list[Path], list[str]]:
    """Write a part's files into a new folder, by default one with its name.

    Returns:
        The files, and commands to type next.

    Raises:
        ConfigError: a name that cannot be used, or files that are there already.
    """
    _check(group, name)
    folder = folder or Path(name)
    words = {
        "NAME": name,
        "CLASS": "".join(part[:1].upper() + part[1:] for part in name.split("_")),
        "GROUP": group,
        "FOLDER": shlex.quote(str(folder)),
    }
    texts = {
        folder / f"{name}.py": _template(f"{group}.txt"),
        folder / f"test_{name}.py": _template(f"{group}_test.txt"),
        folder / group / f"{name}.yaml": f"# A {group} of my own.\n_target_: @NAME@.@CLASS@\n",
    }
    for path in texts:
        if path.exists():
            raise ConfigError(f"{path}: is there already; take another name, or another --folder")
    for path, text in texts.items():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        write_text(path, text)
    place = words["FOLDER"]
    return [*texts], [
        f"python -m pytest {place}",
        f"quantbench run --config-dir {place} {group}={name}",
        f"quantbench list {group} {name} --config-dir {place}",
    ]


def _template(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _check(group: str, name: str) -> None:
    """Raise ConfigError where a part cannot have this name."""
    if not name.isidentifier() or not name.isascii() or name != name.lower() or name.startswith("_") or keyword.iskeyword(name):
        raise ConfigError(f"name={name}: must be a name of small letters, digits and underscores, as my_{group}")
    if name in choices(group):
        raise ConfigError(f"name={name}: the project has a {group} of this name, which would count; take another one")
    if name in sys.stdlib_module_names or PathFinder.find_spec(name) is not None:
        raise ConfigError(f"name={name}: Python has a module of this name, which would be imported instead; take another one")

"""How what an extra needs is installed, for messages: no index has QuantBench, so that depends on where it came from."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path


def how_to_install(extra: str) -> str:
    """The command that installs an extra beside this QuantBench.

    In the environment of a checkout that is its script; in another environment, pip with the checkout; beside a wheel, pip with
    the packages themselves, for the file of the wheel may be gone.
    """
    root = _checkout()
    if root is None:
        return f"pip install {' '.join(shlex.quote(package) for package in _packages(extra))}"
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        return f"pip install --editable {shlex.quote(f'{root}[{extra}]')}"
    script = Path("scripts", "setup.sh")
    return f"{shlex.quote(str(script if Path.cwd() == root else root / script))} {extra}"


def _checkout() -> Path | None:
    """The checkout that this file is a part of; None where the package was installed without one."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() and (root / "scripts" / "setup.sh").is_file() else None


def _packages(extra: str) -> list[str]:
    """What an extra asks for, as the installed package says; its own name where nothing is known of it."""
    try:
        every = requires("quantbench") or []
    except PackageNotFoundError:
        every = []
    marked = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    return [one.partition(";")[0].strip() for one in every if marked.search(one)] or [f"quantbench[{extra}]"]

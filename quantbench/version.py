"""The version of the package, whether or not it is installed."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def find_version(root: Path) -> str:
    """The version of the checkout at ``root``; where there is none, of the package that is installed."""
    try:
        with (root / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        if project["name"] == "quantbench":
            return str(project["version"])
    except (OSError, ValueError, KeyError):  # no checkout, or another project's folder that the package was copied to
        pass
    try:
        return version("quantbench")
    except PackageNotFoundError:
        return "0+not.installed"


__version__ = find_version(Path(__file__).resolve().parents[1])

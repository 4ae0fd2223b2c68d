"""What the classes of a run say of its columns: columns.json, so that a reader needs no class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from quantbench.errors import ConfigError
from quantbench.files import read_text
from quantbench.metrics import OTHER_COLUMNS, Metric, known

COLUMNS_FILE = "columns.json"
TAKEN = {*OTHER_COLUMNS, "run"}
LARGEST = 2**20
"""Bytes of a file that is one; a stranger's may be endless."""


@dataclass(frozen=True)
class Facts:
    """What classes say of columns.

    Attributes:
        sizes: settings that decide a quantizer's rate; None where nobody said.
        metrics: those that classes add to the project's.
        tuned: settings that a search moved.
        protocol: the version of the protocol by which they were; None of other runs.
    """

    sizes: list[str] | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    tuned: list[str] = field(default_factory=list)
    protocol: int | None = None

    @staticmethod
    def joined(parts: Sequence[Facts]) -> Facts:
        """The facts of several runs; a metric is what the last of them says.

        Raises:
            ConfigError: they were tuned by protocols of several versions.
        """
        versions = sorted({one.protocol for one in parts if one.protocol is not None})
        if len(versions) > 1:
            raise ConfigError(
                f"runs were tuned by versions {' and '.join(map(str, versions))} of the protocol, whose scores cannot be "
                f"compared; tune the older ones again"
            )
        tuned = list(dict.fromkeys(name for one in parts for name in one.tuned))
        if any(one.sizes is None for one in parts):
            sizes = None
        else:
            sizes = list(dict.fromkeys(name for one in parts for name in one.sizes or []))
        metrics = {name: metric for one in parts for name, metric in one.metrics.items()}
        return Facts(sizes, metrics, tuned, versions[0] if versions else None)


def read_facts(path: Path) -> Facts:
    """Read columns.json; nothing where there is none. Raises ConfigError where it is none of QuantBench's."""
    try:
        content = json.loads(read_text(path, LARGEST))
        said = {one.name for one in fields(Metric)}
        found = [Metric(**{name: value for name, value in one.items() if name in said}) for one in content["metrics"]]
        sizes = [str(name) for name in content["sizes"]]
        tuned, protocol = [str(name) for name in content.get("tuned", [])], content.get("protocol")
        if protocol is not None and type(protocol) is not int:
            raise TypeError("protocol must be a whole number")
        if any(not isinstance(text, str) for one in found for text in (one.words, one.unit, one.no_goal)):
            raise TypeError("words, unit and no_goal must be text")
    except FileNotFoundError:
        return Facts()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as the columns of a run ({type(error).__name__}: {error})") from error
    if own := next((one.name for one in found if known(one.name) or one.name in TAKEN), None):
        raise ConfigError(f"{path}: declares {own}, which is a column of QuantBench's")
    return Facts(sizes, {one.name: one for one in found}, tuned, protocol)

"""What the docstring of a component says, by its parts."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

FACT = re.compile(r"([A-Z][a-z]+(?: with)?): (.*)")
ATTRIBUTE = re.compile(r"(\w+(?:, \w+)*): (.*)")


class Parts(NamedTuple):
    """Paragraphs; what stands behind ``Formula:``, ``Source:`` and the like; and what each attribute is."""

    text: list[str]
    facts: dict[str, str]
    attributes: dict[str, str]


def parts_of(cls: type) -> Parts:
    """The parts of a class's own docstring, code in single quotes; its attributes are those of its bases, too."""
    text, facts, _ = _parts(cls)
    attributes: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        attributes |= _parts(base).attributes
    return Parts(text, facts, attributes)


def told_by(one: object) -> type:
    """The class whose docstring has formula and source of a component: its own; of a residual quantizer its stage's, if so."""
    from quantbench.quantizers import Residual

    return type(one.stage) if isinstance(one, Residual) and one.stage.tells_of_whole else type(one)


def _parts(cls: type) -> Parts:
    found = Parts([], {}, {})
    written = vars(cls).get("__doc__") or ""
    if written.startswith(f"{cls.__name__}("):  # a dataclass without a docstring is given its signature
        return found
    for block in inspect.cleandoc(written).replace("``", "`").split("\n\n"):
        lines = block.split("\n")
        if lines[0] == "Attributes:":
            found.attributes.update(_entries(inspect.cleandoc("\n".join(["", *lines[1:]])).split("\n"), ATTRIBUTE))
        elif FACT.fullmatch(lines[0]):
            found.facts.update(_entries(lines, FACT))
        elif block.strip():
            found.text.append(" ".join(block.split()))
    return found


def _entries(lines: list[str], begins: re.Pattern[str]) -> dict[str, str]:
    """Entries ``name: words`` or ``name, other: words``, whose words may go on in the next lines."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if begin := begins.fullmatch(line):
            names = begin.group(1).split(", ")
            found |= dict.fromkeys(names, begin.group(2))
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return found

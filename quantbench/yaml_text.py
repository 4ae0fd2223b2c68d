"""YAML that somebody else may have written, as plain data."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_REPEATED = 100_000
"""By how many values aliases may multiply a file: those of nine short lines can stand for billions."""
MOST_NESTED = 100
"""How deep a file may be nested: libyaml ends the process where its stack does."""
WEIGHT = 64
"""Characters of a text that count as one value."""

BYTES = re.compile(r"\\uDC[89A-F]")
"""Escapes of bytes of a file's name that are no text, which libyaml does not know."""


def _loader(text: str) -> Any:
    return yaml.SafeLoader if BYTES.search(text) else getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> Any:
    """What a text says; the safe loader makes no objects. Raises ValueError as ``check`` does, or where it is no YAML."""
    check(text)
    try:
        return yaml.load(text, Loader=_loader(text))
    except (yaml.YAMLError, AttributeError, KeyError, IndexError, OverflowError, RecursionError) as error:  # of tags, too
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def check(text: str) -> None:
    """Raise ValueError for a text that is no YAML, is nested too deeply, or is multiplied by its aliases."""
    try:
        _check(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def _check(text: str) -> None:
    known: dict[str | None, int | None] = {}  # by anchor, how many values it stands for; None while it is open
    nested: list[tuple[str | None, int]] = []  # the anchor of each open collection, and the count before it
    count = repeated = 0
    for event in yaml.parse(text, Loader=_loader(text)):
        if isinstance(event, yaml.ScalarEvent):
            known[event.anchor] = own = 1 + len(event.value) // WEIGHT
            count += own
        elif isinstance(event, yaml.CollectionStartEvent):
            known[event.anchor] = None
            nested.append((event.anchor, count))
            count += 1
            if len(nested) > MOST_NESTED:
                raise ValueError(f"it is nested more than {MOST_NESTED} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = nested.pop()
            known[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent):
            stands_for = known.get(event.anchor, 0)
            if stands_for is None:
                raise ValueError(f"the alias {event.anchor} stands for something that holds the alias")
            count, repeated = count + stands_for, repeated + stands_for
            if repeated > MOST_REPEATED:
                raise ValueError(f"its aliases multiply it by more than {MOST_REPEATED:,} values")

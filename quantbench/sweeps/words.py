"""Words of Hydra's grammar: what they say as plain data, and overrides that say it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from quantbench.choices import GROUPS
from quantbench.errors import ConfigError

IsGroup = Callable[[str], bool]

NAME = re.compile(r"(?!(?:true|false|null|nan|inf)\Z)[a-z_][\w.-]*(/[a-z_][\w.-]*)*\Z", re.ASCII | re.IGNORECASE)
"""Names of choices that Hydra takes for text without quotes."""
_TOKEN = re.compile(r"""(?<![^,(\[\s])[^\s,()\[\]{}'"=]+(?![^,)\]\s])""")
"""What stands by itself between the signs of the grammar."""
SEVERAL = tuple(group for group in GROUPS if group != "experiment")
"""Groups of which a trial has one choice each; experiments are put on top of each other."""


def bare(key: str) -> str:
    """A key without its signs."""
    return key.lstrip("+~")


def group_of(word: str) -> str:
    """The group of an override that chooses, or of its key."""
    return bare(word.partition("=")[0]).partition("@")[0]


def quoted(word: str) -> str:
    """An override in which names of choices that look like numbers are text: ``gradient=007,1e3``."""
    key, sign, names = word.partition("=")
    if group_of(key) not in GROUPS or names.strip().lower() == "null":
        return word
    return f"{key}{sign}{_TOKEN.sub(_quoted_number, names)}"


def _quoted_number(found: re.Match[str]) -> str:
    token = found.group()
    if NAME.match(token) or token.lower() == "null":
        return token
    try:
        value = OverridesParser.create().parse_override(f"x={token}").value()
    except HydraException:
        return token
    return token if isinstance(value, str) else f"'{token}'"


def check_name(written: str, group: str, value: Any) -> None:
    """Raise ConfigError where what is to name a choice is none, or names several at once."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        if group not in SEVERAL:
            return
        raise ConfigError(f"{written}: a trial has one choice of {group}; to try each of them, write {group}={','.join(value)}")
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        quotes = "; in YAML, quote a name that looks like a number" if number else ""
        raise ConfigError(f"{written}: must name a choice; `quantbench list {group}` shows those of {group}{quotes}")


def plain(value: Any) -> Any:
    """A parsed value as plain data: numbers, text, lists and dictionaries."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else getattr(value, "text", str(value))


def word_of(key: str, value: Any, is_group: IsGroup) -> str:
    """An override that gives ``key`` a value, in Hydra's grammar. Raises ConfigError where that has no words for it."""
    if is_group(group_of(key)):
        return f"{key}={value if isinstance(value, str) and NAME.match(value) else _text(value)}"
    word = f"{key}={_text(value)}"
    if holds_mapping(value):  # whose keys cannot be quoted
        try:
            again = plain(OverridesParser.create().parse_override(word).value())
        except HydraException:
            again = None
        if again != value:
            raise ConfigError(f"{key}={value}: Hydra's grammar has no words for one of these keys; give its setting by itself")
    return word


def holds_mapping(value: Any) -> bool:
    """Whether a value is a mapping, or a list with one in it."""
    return isinstance(value, dict) or (isinstance(value, list) and any(map(holds_mapping, value)))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)

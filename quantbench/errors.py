"""What can go wrong by a user's hand. The command line prints these without a traceback."""

from __future__ import annotations

import textwrap


class QuantBenchError(Exception):
    """Something went wrong that the message explains; exit code 1."""

    exit_code = 1


class NotWritten(QuantBenchError):
    """A file of a run cannot be written: no fault of a trial's, so that the run stops, and keeps what is finished."""


class ConfigError(QuantBenchError):
    """A setting cannot be used. The message names the setting, its value and what is allowed; exit code 2."""

    exit_code = 2


def brief(value: object) -> str:
    """A value in one short line, for a message."""
    return textwrap.shorten(repr(value), 100, placeholder=" ...")


def interrupted(error: BaseException) -> bool:
    """Whether an error comes from Ctrl-C: a library whose own clean-up is interrupted stumbles over what is half done."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if isinstance(one, KeyboardInterrupt):
            return True
        if one is not None and id(one) not in seen:  # an error that is raised from its own effect closes a circle
            seen.add(id(one))
            rest += [one.__cause__, one.__context__]
    return False

"""Each method checked by something outside itself: an identity, a published number, or a reference implementation."""

from collections import defaultdict
from collections.abc import Callable

CHECKS: dict[str, list[str]] = defaultdict(list)
"""By name of a choice, what its tests check."""


def checks(*names: str) -> Callable:
    """Say which choices a test checks; its docstring's first line says against what."""

    def register(test: Callable) -> Callable:
        for name in names:
            CHECKS[name].append((test.__doc__ or "").strip().splitlines()[0].rstrip("."))
        return test

    return register

"""QuantBench: which quantizer, trained with which gradient-passing strategy, for a neural codec?"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantbench.results.load import Results as Results
    from quantbench.results.load import load as load

__version__ = version("quantbench")
__all__ = ["Results", "__version__", "load"]


def __getattr__(name: str) -> object:
    """Import pandas only once it is needed: the command line answers --help at once."""
    if name in ("load", "Results"):
        from quantbench.results import load

        return getattr(load, name)
    raise AttributeError(f"module 'quantbench' has no attribute {name!r}")

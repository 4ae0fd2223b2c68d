"""QuantBench: which quantizer, trained with which gradient-passing strategy, for a neural codec?

What is exported here is promised; what else the package holds may change with any version. Each name is imported when it is
first used, so that ``import quantbench`` takes no time.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what typing has, without its import: the command begins here, and is deaf to Ctrl-C until it goes on

if TYPE_CHECKING:
    from quantbench import codecs as codecs
    from quantbench import components as components
    from quantbench import gradients as gradients
    from quantbench import limits as limits
    from quantbench import losses as losses
    from quantbench import metrics as metrics
    from quantbench import nn as nn
    from quantbench import quantizers as quantizers
    from quantbench import simulators as simulators
    from quantbench.errors import ConfigError as ConfigError
    from quantbench.errors import QuantBenchError as QuantBenchError
    from quantbench.nn.codec import load_codec as load_codec
    from quantbench.results.diff import Comparison as Comparison
    from quantbench.results.load import Results as Results
    from quantbench.results.load import load as load
    from quantbench.results.reading import Ranked as Ranked
    from quantbench.results.reading import Reading as Reading
    from quantbench.results.reading import diff as diff
    from quantbench.results.reading import rank as rank
    from quantbench.results.reading import transfer as transfer
    from quantbench.results.transfer import Transfer as Transfer
    from quantbench.sweeps.face import plan as plan
    from quantbench.sweeps.face import resume as resume
    from quantbench.sweeps.face import sweep as sweep
    from quantbench.sweeps.face import tune as tune
    from quantbench.sweeps.plan import Plan as Plan
    from quantbench.training import Outcome as Outcome
    from quantbench.training import Stack as Stack
    from quantbench.training import TrainSettings as TrainSettings
    from quantbench.training import train as train
    from quantbench.version import __version__ as __version__

_PLACES = {
    "quantbench.errors": ("ConfigError", "QuantBenchError"),
    "quantbench.nn.codec": ("load_codec",),
    "quantbench.results.load": ("Results", "load"),
    "quantbench.results.diff": ("Comparison",),
    "quantbench.results.transfer": ("Transfer",),
    "quantbench.results.reading": ("Ranked", "Reading", "diff", "rank", "transfer"),
    "quantbench.sweeps.plan": ("Plan",),
    "quantbench.sweeps.face": ("plan", "resume", "sweep", "tune"),
    "quantbench.training": ("Outcome", "Stack", "TrainSettings", "train"),
    "quantbench.version": ("__version__",),
}
_MODULES = ("codecs", "components", "gradients", "limits", "losses", "metrics", "nn", "quantizers", "simulators")

__all__ = [*_MODULES, *(name for names in _PLACES.values() for name in names)]


def __getattr__(name: str) -> object:
    """Import what is asked for: the command line answers --help at once."""
    if name in _MODULES:
        return import_module(f"quantbench.{name}")
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(place), name)
    raise AttributeError(f"module 'quantbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Composition, not inheritance: a class is abstract or final."""

import importlib
import inspect
import pkgutil

import pytest

import quantbench
from quantbench.codecs import Codec
from quantbench.gradients import Gradient
from quantbench.limits.densities import Density
from quantbench.losses import Loss
from quantbench.quantizers import Quantizer
from quantbench.simulators import Simulator
from quantbench.sweeps.executors import Executor


def derived(base: type) -> list[type]:
    """A class and all classes of the project that derive from it."""
    package = importlib.import_module(base.__module__.rpartition(".")[0])
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found = [base]
    for cls in found:
        found += [one for one in cls.__subclasses__() if one not in found and one.__module__.startswith(quantbench.__name__)]
    return found


@pytest.mark.parametrize("group", [Codec, Density, Executor, Gradient, Loss, Quantizer, Simulator])
def test_a_class_is_abstract_or_final(group: type) -> None:
    every = derived(group)
    assert len(every) > 3
    concrete = {cls for cls in every if not inspect.isabstract(cls)}
    assert not concrete & {base for cls in every for base in cls.__bases__}

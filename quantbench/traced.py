"""Numbers that move with the training, in a step that is written down once and run many times.

A graph of a step repeats operations on tensors; a number that Python computed beside them would stay what it was. So while a
step is written down, its progress and its index are ``Traced``: they remember how they came about. Arithmetic on one gives
another. What is compared with one, or made a plain number of, is noted: the graph is right wherever that holds again, and
another graph is made where it does not. With a tensor, and in ``moving``, one becomes a tensor that is written anew before
every run. Hence a strategy needs to declare nothing: schedules move, and the phases of a training have a graph each.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

from quantbench.components import Component
from quantbench.precision import computing, current, exact

AtStep = Callable[[int], Any]
"""Something that depends on the optimizer step alone, 1 for the first."""


class Trace:
    """What is to be written anew before every run of one kind of step, and what must hold for it to be that kind.

    The first pass over the step notes all that; in each further one, ``again`` before it, tensors come in the order of the
    first.

    Args:
        step: the optimizer step of the first pass.
        outside: within it is made what is no part of the graph.

    Attributes:
        deciding: classes that made a plain number, or a decision, of a number of the step.
    """

    def __init__(self, step: int, outside: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.step, self.outside = step, outside
        self.deciding: dict[str, None] = {}
        self._facts: list[tuple[AtStep, Any]] = []
        self._tensors: list[tuple[Tensor, AtStep, str]] = []
        self._place: int | None = None

    def number(self, value: AtStep) -> Traced:
        """A number that is ``value`` of the step."""
        return Traced(self, value)

    def tensor(self, make: AtStep) -> Tensor:
        """The tensor that ``make`` gives of the step, in a place that stays; made in the precision of the caller."""
        if self._place is None:
            with self.outside():
                found = _kept(make(self.step))
            self._tensors.append((found, make, current()))
            return found
        if self._place == len(self._tensors):
            raise RuntimeError("the step asks for more than it did when it was written down")
        self._place += 1
        return self._tensors[self._place - 1][0]

    def decide(self, value: AtStep) -> Any:
        """``value`` of the step as Python needs it now, and so a condition of the graph."""
        found = value(self.step)
        if self._place is None:
            self._facts.append((value, found))
            self.deciding[asking()] = None
        return found

    def again(self, step: int) -> None:
        """Begin a further pass, at a step."""
        self.step, self._place = step, 0

    def holds(self, step: int) -> bool:
        """Whether the kind of step is right at a step."""
        return all(value(step) == found for value, found in self._facts)

    @torch.no_grad()
    def refresh(self, step: int) -> None:
        """Write all tensors anew, in the order in which they were made."""
        for tensor, make, precision in self._tensors:
            with computing(precision):
                new = make(step)
            tensor.copy_(new)


class Traced:
    """A number of a step that is written down; it stands where a float or an int stands otherwise."""

    def __init__(self, trace: Trace, value: AtStep) -> None:
        self._trace, self._value = trace, value

    def tensor(self, make: Callable[[Any], Tensor]) -> Tensor:
        """``make`` of the number, written anew before every run."""
        value = self._value
        return self._trace.tensor(lambda step: make(value(step)))

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, Tensor):
            return operation(self.tensor(lambda now: _number(now, other)), other)
        value = self._value
        if isinstance(other, Traced):
            others = other._value
            return self._trace.number(lambda step: operation(value(step), others(step)))
        if isinstance(other, int | float):
            return self._trace.number(lambda step: operation(value(step), other))
        return NotImplemented

    def _decided(self, other: Any, operation: Callable[[Any, Any], Any]) -> Any:
        found = self._with(other, operation)
        return self._trace.decide(found._value) if isinstance(found, Traced) else found

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    def __radd__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.add))

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.sub))

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul)

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.mul))

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.truediv))

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, operator.floordiv)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, operator.mod)

    def __pow__(self, other: Any) -> Any:
        return self._with(other, operator.pow)

    def __rpow__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.pow))

    def __neg__(self) -> Any:
        return self._with(-1, operator.mul)

    def __lt__(self, other: Any) -> Any:
        return self._decided(other, operator.lt)

    def __le__(self, other: Any) -> Any:
        return self._decided(other, operator.le)

    def __gt__(self, other: Any) -> Any:
        return self._decided(other, operator.gt)

    def __ge__(self, other: Any) -> Any:
        return self._decided(other, operator.ge)

    def __eq__(self, other: object) -> Any:
        return self._decided(other, operator.eq)

    def __ne__(self, other: object) -> Any:
        return self._decided(other, operator.ne)

    __hash__ = None  # type: ignore[assignment] # what is equal to it changes

    def __bool__(self) -> bool:
        value = self._value
        return cast(bool, self._trace.decide(lambda step: bool(value(step))))

    def __float__(self) -> float:
        value = self._value
        return cast(float, self._trace.decide(lambda step: float(value(step))))

    def __int__(self) -> int:
        value = self._value
        return cast(int, self._trace.decide(lambda step: int(value(step))))

    def __index__(self) -> int:
        value = self._value
        return cast(int, self._trace.decide(lambda step: operator.index(value(step))))


def asking() -> str:
    """The class of the component that is at work, or the function where there is none."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") == __name__ and frame.f_back is not None:
        frame = frame.f_back
    function = frame.f_code.co_qualname
    while frame is not None:
        if isinstance(own := frame.f_locals.get("self"), Component):
            return type(own).__name__
        frame = frame.f_back  # type: ignore[assignment]
    return function


def moving(number: Any, function: Callable[[Any], Any], like: Tensor) -> Any:
    """``function(number)``, a number or a tensor; a tensor on the device of ``like`` where the number is traced.

    For what arithmetic does not make of a number, as ``math.exp``.
    """
    if not isinstance(number, Traced):
        return function(number)

    def made(now: Any) -> Tensor:
        found = function(now)
        return found if isinstance(found, Tensor) else _number(found, like)

    return number.tensor(made)


def _swapped(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda one, other: operation(other, one)


@exact
def _kept(tensor: Tensor) -> Tensor:
    """A copy that nothing else writes into."""
    return tensor.clone()


@exact
def _number(value: float, like: Tensor) -> Tensor:
    """A number as a tensor that meets ``like``; exact, for Python's numbers are so in any precision."""
    return torch.full((), value, dtype=like.dtype if like.is_floating_point() else torch.float32, device=like.device)

"""How far a training is, where nobody has said so."""

from __future__ import annotations

from typing import Any, NoReturn

from quantbench.errors import QuantBenchError


def _refuse(*_: object) -> NoReturn:
    raise QuantBenchError(
        "this strategy changes in the course of the training: call bottleneck.at(step, of=total) before every step, with 1 for "
        "the first"
    )


class Unknown:
    """Stands for ``Moment.progress`` until it is known: whoever asks for it is told what to call."""

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __neg__ = _refuse

    def __float__(self) -> float:
        _refuse()


UNKNOWN: Any = Unknown()

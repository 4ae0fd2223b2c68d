"""Soft assignments that harden while training."""

from __future__ import annotations

from torch import Tensor

from quantbench.components import PerTrial, State, between, component
from quantbench.errors import ConfigError
from quantbench.gradients.base import Gradient, Moment
from quantbench.gradients.schedule import Shape, anneal
from quantbench.quantizers.base import SOFT, Code, Quantizer


@component
class SoftToHard(Gradient):
    """Soft-to-hard annealing: the decoder receives ``sum_k softmax_k(-|y - c_k|**2 / T) c_k`` with falling T.

    Agustsson et al. (2017), arXiv 1704.00648, with T = 1/sigma. The schedule of T is this project's choice: the paper
    raises sigma by a rule of its own. In the final hard phase the decoder receives the hard code and the gradient stays
    that of the soft one (Mentzer et al. 2018, arXiv 1801.04260).

    Attributes:
        temperature_start, temperature_end: T at the first step and at the beginning of the hard phase.
        schedule: how T moves between them.
        hard_fraction: share of the steps, at the end, that form the hard phase.
    """

    temperature_start: PerTrial = 1.0
    temperature_end: PerTrial = 0.1
    schedule: Shape = "exponential"
    hard_fraction: float = 0.1

    def check(self) -> None:
        for name in ("temperature_start", "temperature_end"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"gradient.{name}={getattr(self, name)}: must be above 0")
        between("gradient.hard_fraction", self.hard_fraction, 0, 1)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({SOFT})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        soft_share = 1 - self.hard_fraction
        progress = moment.progress / soft_share if soft_share else 1.0
        temperature = anneal(self.schedule, self.temperature_start, self.temperature_end, progress)
        soft = quantizer.soft(state, latents, temperature)
        if self.hard_fraction and moment.progress >= soft_share:
            return soft + (code.values - soft).detach()
        return soft

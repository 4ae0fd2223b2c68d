"""Strategies that move the latent to the codeword by a geometric map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantbench.components import Factor, State, at_least, component, take
from quantbench.gradients.base import Gradient
from quantbench.gradients.perturbation import length
from quantbench.gradients.sampled import marked
from quantbench.quantizers.base import CODEBOOK, Code, Moment, Quantizer
from quantbench.quantizers.search import nearest

SMALLEST_LENGTH = 1e-6
OPPOSITE = 1e-4
"""Length of the sum of two unit vectors below which rounding decides about its direction."""


@component
class RotationTrick(Gradient):
    """Rotation trick: ``sg(|q| / |y| R) y`` with the rotation R of y onto the codeword q; the gradient is rotated alike.

    ``R = I - 2 r r' + 2 q^ y^'`` with unit vectors q^, y^ and ``r = (q^ + y^) / |q^ + y^|``. Where y and q are opposite, r
    is any unit vector across them, so that R turns by 180 degrees; a latent shorter than 1e-6, without a direction, passes
    with STE.

    Formula: ``sg(|q|/|y| R) y``, ``R = I - 2 r r' + 2 q^ y^'``
    Source: Fifty et al. (2024), arXiv 2410.06424.
    Recommended: EMA codebook with decay 0.8 and a commitment loss.
    Compared with: vector-quantize-pytorch, and the authors' code, read.
    """

    hard_forward = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        y, q = latents.detach(), code.values.detach()
        y_length, q_length = length(y), length(q)
        y_unit, q_unit = y / y_length, q / q_length
        middle = _middle(y_unit, q_unit)
        rotated = latents - 2 * _dot(latents, middle) * middle + 2 * _dot(latents, y_unit) * q_unit
        turned = torch.where(y_length > SMALLEST_LENGTH, q_length / y_length * rotated, latents)
        return q + (turned - turned.detach())  # the codeword to the last digit, however R rounds


@component
class Towards(Gradient):
    """A strategy that moves y towards codewords, by the distance and in a direction that is slightly disturbed.

    Attributes:
        noise: standard deviation of the disturbance of ``c - y`` before it is brought to unit length.
    """

    noise: Factor = 1e-3

    def check(self) -> None:
        at_least("gradient.noise", self.noise, 0)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({CODEBOOK})

    def towards(self, latents: Tensor, codewords: Tensor, moment: Moment) -> Tensor:
        """``|c - y| sg(u)``, u the disturbed unit vector; the length is differentiated."""
        error = codewords - latents
        disturbed = error + self.noise * moment.normal(latents)
        return length(error) * nn.functional.normalize(disturbed, dim=-1).detach()


@component
class DiVeQ(Towards):
    """``y + |c - y| sg(u)`` with u the unit vector from y to the codeword c, slightly disturbed; the length is differentiated.

    Formula: ``y + |c - y| sg(u)``
    Source: Vali et al. (2025), arXiv 2509.26469.
    Recommended: no loss of the codebook (quantizer.commitment=0, quantizer.codebook_weight=0), restarts every 50 to 300 steps
    of rarely used codes; noise 1e-3, which the authors' code takes as the standard deviation and calls a variance.
    Compared with: vector-quantize-pytorch, and the authors' code, read.
    """

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        return latents + self.towards(latents, code.values, moment)


@component
class SFDiVeQ(Towards):
    """Space-filling DiVeQ: the codebook is a curve through its codewords, and y moves to a random point of the nearest piece.

    Each pair of neighbouring codewords has a weight drawn from U(0, 1) at every step; the nearest of these points of the curve
    is chosen, and y moves towards both ends of its piece by DiVeQ, mixed with the weight. The source decodes, at test time, the
    nearest point of the curve, a real number that a code of fixed length cannot carry; here evaluation decodes the nearest
    codeword. Its first steps without quantization are quantbench's ``warm_up``.

    Formula: ``y + (1-w) |c1 - y| sg(u1) + w |c2 - y| sg(u2)``
    Source: Vali et al. (2025), arXiv 2509.26469.
    Recommended: no loss of the codebook; noise 1e-3; a warm-up.
    Compared with: the authors' code, read.
    """

    cost = 0.75

    def pass_through(self, quantizer: Quantizer, state: State, latents: Tensor, code: Code, moment: Moment) -> Tensor:
        codebook = quantizer.codebook(state)
        first, second = codebook[:, :-1], codebook[:, 1:]
        weight = moment.uniform(first[..., :1])
        with torch.no_grad():
            index = nearest(first + weight * (second - first), latents)
        chosen = take(weight, index)
        to_first = self.towards(latents, take(first, index), moment)
        to_second = self.towards(latents, take(second, index), moment)
        return latents + (1 - chosen) * to_first + chosen * to_second


def _middle(a: Tensor, b: Tensor) -> Tensor:
    """The unit vector half-way between two; any one across ``a`` where they are opposite."""
    total = a + b
    size = length(total)
    axis = marked(a.abs().argmin(-1), a)
    across = nn.functional.normalize(axis - _dot(axis, a) * a, dim=-1)
    return torch.where(size > OPPOSITE, total / size, across)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)

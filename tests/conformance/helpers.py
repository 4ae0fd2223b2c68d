"""One strategy at one moment, as a function whose Jacobian can be asked for."""

import torch

from quantbench.components import joined
from quantbench.gradients import Moment
from quantbench.streams import Streams


def received(gradient, quantizer, state, latents, code, progress=0.5, seed=0, frame_loss=None):
    """What the decoder receives; the same random numbers at every call."""
    streams = Streams([seed] * len(latents))
    moment = Moment(progress, streams, frame_loss=frame_loss)
    return joined([gradient] * len(latents)).pass_through(quantizer, state, latents, code, moment)


class Passing:
    """A function in the place of a strategy, as a model gives it to a quantizer whose stages do not code every frame."""

    draws = False

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments):
        return self.function(*arguments)

    def counting(self, counted):
        return self


def jacobian(function, argument):
    """Of a function of one frame: (trials=1, frames=1, dim) to the same, as a matrix (outputs, inputs)."""
    found = torch.autograd.functional.jacobian(function, argument)
    return found.reshape(-1, argument.numel())


def unit(vector):
    return vector / vector.norm()

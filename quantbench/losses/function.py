"""A loss of the user's own: any function of output and target."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from quantbench.components import PerTrial, above, component
from quantbench.errors import ConfigError
from quantbench.losses.base import Loss
from quantbench.named import built, check_arguments, found_by, said

PROBE, FEATURES = 5, 2048


@component
class Callable(Loss):
    """Any callable that takes output and target of one trial, (frames, features) each, by its import path.

    It gives one number, one number a frame, or one for each number of the output, which are averaged. A class is made once,
    with the arguments, and then called, as torch's ``nn.L1Loss``; it must have no weights of its own. What it says is
    trained; ``mse`` and the limits stay those of the mean square error.

    Attributes:
        function: its import path, as in ``my.loss`` or ``torch.nn.functional.l1_loss``.
        arguments: keyword arguments: of the class, or of every call of a function.
        weight: against the losses of the quantizer.
    """

    function: str = "torch.nn.functional.mse_loss"
    arguments: Any = None
    weight: PerTrial = 1.0

    def check(self) -> None:
        above("loss.weight", self.weight, 0)
        check_arguments("loss.arguments", self.arguments)
        self._find()

    def check_input(self, sample_rate: int | None, lengths: Any) -> None:
        """Tried once on frames that are none of the simulator's, with a gradient."""
        features = max(lengths.values(), default=FEATURES)
        output, target = torch.randn(2, PROBE, features, generator=torch.Generator().manual_seed(0))
        output.requires_grad_()
        try:
            with torch.enable_grad():
                found = self._call(output, target)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"loss.function={self.function}: fails on output and target of the shape {tuple(output.shape)} ({said(error)})"
            ) from error
        if not found.requires_grad:
            raise ConfigError(f"loss.function={self.function}: gives no gradient to the output; nothing could be trained")

    def each(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.weight.unsqueeze(1) * torch.stack([self._each(*pair) for pair in zip(output, target, strict=True)])

    def mean(self, output: Tensor, target: Tensor, sample_rate: int | None) -> Tensor:
        return self.weight * torch.stack([self._call(*pair).mean() for pair in zip(output, target, strict=True)])

    def _each(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of every frame of one trial, (frames,): of a function that gives one number, frame by frame."""
        found = self._call(output, target)
        if found.dim() and len(found) == len(output):
            return found.flatten(1).mean(1) if found.dim() > 1 else found
        return torch.stack([self._call(output[i : i + 1], target[i : i + 1]).mean() for i in range(len(output))])

    def _call(self, output: Tensor, target: Tensor) -> Tensor:
        """What the function gives. Raises ConfigError where that is no loss."""
        found = self._find()(output, target)
        if not isinstance(found, Tensor) or not found.is_floating_point() or not _fits(found, output):
            shape = f"{found.dtype} of the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"loss.function={self.function}: gives {shape}; must give a tensor of one number, of one a frame, or of the "
                f"output's shape"
            )
        return found

    def _find(self) -> Any:
        return _find(self.function, json.dumps(self.arguments, sort_keys=True, default=str))


def _fits(found: Tensor, output: Tensor) -> bool:
    return found.numel() == 1 or found.shape in (output.shape, output.shape[:1])


@lru_cache(maxsize=16)
def _find(path: str, arguments: str) -> Any:
    """What is called with output and target. Raises ConfigError."""
    given = json.loads(arguments) or {}
    found = found_by("loss.function", path)
    if isinstance(found, type):
        found, given = built(found, given, "loss.arguments", path), {}
    if not callable(found):
        raise ConfigError(f"loss.function={path}: is a {type(found).__name__}, which cannot be called")
    if isinstance(found, nn.Module) and any(True for _ in found.parameters()):
        raise ConfigError(f"loss.function={path}: has weights of its own, which nothing would train")
    return (lambda output, target: found(output, target, **given)) if given else found

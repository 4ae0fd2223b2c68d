"""The two halves of a bottleneck that a product needs, as graphs: latents to codes, and codes to latents.

A graph holds PyTorch's own operations alone, no kernels of this project, and is for one shape of input: quantizers look at
shapes in Python, and a graph keeps what they saw.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantbench import kernels
from quantbench.errors import QuantBenchError
from quantbench.install import how_to_install
from quantbench.nn.bottleneck import Bottleneck

OPSET = 18


class Encode(nn.Module):
    """Latents to codes, as ``Bottleneck.encode``."""

    def __init__(self, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.bottleneck = bottleneck

    def forward(self, x: Tensor) -> Tensor:
        return self.bottleneck.encode(x)


class Decode(nn.Module):
    """Codes to latents, as ``Bottleneck.decode``."""

    def __init__(self, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.bottleneck = bottleneck

    def forward(self, indices: Tensor) -> Tensor:
        return self.bottleneck.decode(indices)


Half = Encode | Decode


def to_torchscript(half: Half, example: Tensor) -> torch.jit.ScriptModule:
    """Half a bottleneck in TorchScript, for inputs in the shape of ``example``.

    Raises QuantBenchError where an operation has no such form, or the graph gives something else than the module.
    """
    with kernels.without(), torch.no_grad():
        expected = half(example)
        try:
            with warnings.catch_warnings():
                # Of shapes, which stay; what the graph gives is compared.
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
                traced = torch.jit.trace(half.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise _refused(half, "TorchScript", error) from error
        _check(half, "TorchScript", expected, traced(example))
    found: torch.jit.ScriptModule = traced
    return found


def to_onnx(half: Half, example: Tensor, path: str | Path) -> None:
    """Write half a bottleneck as an ONNX file from ``input`` to ``output``, for inputs in the shape of ``example``.

    Raises QuantBenchError where an operation has no such form, or a package is missing.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise QuantBenchError(f"ONNX: needs the packages onnx and onnxscript ({error}); {how_to_install('onnx')}") from error
    options: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"], "opset_version": OPSET}
    with kernels.without(), torch.no_grad():
        half(example)  # what is made once is there
        try:
            torch.onnx.export(half.eval(), (example,), str(path), dynamo=True, external_data=False, verbose=False, **options)
        except Exception as error:  # it raises its own, of several modules
            raise _refused(half, "ONNX", error) from error


def _check(half: Half, what: str, expected: Tensor, found: Tensor) -> None:
    if not torch.equal(expected, found):
        raise QuantBenchError(f"{half.bottleneck.extra_repr()}: its graph in {what} gives something else than the module")


def _refused(half: Half, what: str, error: Exception) -> QuantBenchError:
    reason = (str(error).strip() or repr(error)).splitlines()[0]
    return QuantBenchError(f"{half.bottleneck.extra_repr()}: {type(half).__name__} has no form in {what} ({reason})")

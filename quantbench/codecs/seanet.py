"""The project's own compact convolutional audio codec."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from quantbench.codecs.waveform import WaveformCodec
from quantbench.components import at_least, component

DILATIONS = (1, 3)
"""Of the residual units of a block."""


@component
class SEANet(WaveformCodec):
    """A convolutional codec in the manner of SEANet: strided blocks of dilated residual units with ELU, not causal.

    After Tagliasacchi et al. (2020), arXiv 2009.02095, and Zeghidour et al. (2021), arXiv 2107.03312, made small: without
    recurrent layers, with the large strides at the waveform's side, where they save most.

    Attributes:
        channels: of the encoder's first layer; every block doubles them.
    """

    sizes = ("channels", "latent_dim")

    channels: int = 16

    def check(self) -> None:
        at_least("codec.channels", self.channels, 1)
        super().check()

    def build(self) -> nn.ModuleDict:
        widths = [self.channels * 2**i for i in range(len(self.strides) + 1)]
        encoder: list[nn.Module] = [_conv(1, widths[0], 7)]
        decoder: list[nn.Module] = [_conv(widths[0], 1, 7), nn.ELU()]
        for narrow, wide, stride in zip(widths, widths[1:], self.strides, strict=False):
            encoder += [*(ResidualUnit(narrow, dilation) for dilation in DILATIONS), nn.ELU(), Down(narrow, wide, stride)]
            decoder += [*(ResidualUnit(narrow, dilation) for dilation in DILATIONS), Up(wide, narrow, stride), nn.ELU()]
        encoder += [nn.ELU(), _conv(widths[-1], self.latent_dim, 3)]
        decoder += [_conv(self.latent_dim, widths[-1], 7)]
        return nn.ModuleDict({"encoder": nn.Sequential(*encoder), "decoder": nn.Sequential(*reversed(decoder))})


class ResidualUnit(nn.Module):
    """``x + conv1(elu(conv3(elu(x))))`` on (segments, channels, length)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ELU(), _conv(channels, channels, 3, dilation), nn.ELU(), _conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.layers(x))


class Down(nn.Module):
    """A convolution that gives one value for every ``stride``: (segments, inputs, length) to (..., length / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.padding = (stride // 2, stride - stride // 2)
        self.conv = weight_norm(nn.Conv1d(inputs, outputs, 2 * stride, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.conv(nn.functional.pad(x, self.padding)))


class Up(nn.Module):
    """The transpose of ``Down``: (segments, inputs, length) to (segments, outputs, length * stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.start, self.stride = stride // 2, stride
        self.conv = weight_norm(nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.conv(x)).narrow(2, self.start, x.shape[2] * self.stride)


def _conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Module:
    convolution: nn.Module = weight_norm(
        nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)
    )
    return convolution

"""Any quantizer with any strategy as a module of PyTorch, for codecs of one's own (docs/nn.md)."""

from quantbench.nn.bottleneck import Bottleneck

__all__ = ["Bottleneck"]

"""Any quantizer with any strategy as a module of PyTorch, for codecs of one's own (docs/nn.md)."""

from quantbench.nn.bottleneck import Bottleneck
from quantbench.nn.codec import Codec, load_codec

__all__ = ["Bottleneck", "Codec", "load_codec"]

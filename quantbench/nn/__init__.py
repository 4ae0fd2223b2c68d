"""Any quantizer with any strategy as a module of PyTorch, for codecs of one's own (docs/nn.md)."""

from quantbench.nn.bottleneck import Bottleneck
from quantbench.nn.codec import Codec, load_codec
from quantbench.nn.export import Decode, Encode, to_onnx, to_torchscript

__all__ = ["Bottleneck", "Codec", "Decode", "Encode", "load_codec", "to_onnx", "to_torchscript"]

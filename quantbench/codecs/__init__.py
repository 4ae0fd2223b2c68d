"""Encoders and decoders."""

from quantbench.codecs.base import Codec
from quantbench.codecs.mlp import MLP

__all__ = ["MLP", "Codec"]

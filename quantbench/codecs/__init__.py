"""Encoders and decoders."""

from quantbench.codecs.base import Codec
from quantbench.codecs.conv import Conv
from quantbench.codecs.dac import DAC
from quantbench.codecs.encodec import EnCodec
from quantbench.codecs.identity import Identity
from quantbench.codecs.mlp import MLP
from quantbench.codecs.module import Module
from quantbench.codecs.seanet import SEANet
from quantbench.codecs.waveform import WaveformCodec

__all__ = ["DAC", "MLP", "Codec", "Conv", "EnCodec", "Identity", "Module", "SEANet", "WaveformCodec"]

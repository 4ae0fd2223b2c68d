"""EnCodec's encoder and decoder."""

from __future__ import annotations

from torch import nn

from quantbench.codecs.waveform import WaveformCodec
from quantbench.components import at_least, component
from quantbench.errors import ConfigError
from quantbench.install import how_to_install


@component
class EnCodec(WaveformCodec):
    """The SEANet encoder and decoder of EnCodec, built by transformers from a configuration; nothing is downloaded.

    Défossez et al. (2022), arXiv 2210.13438. Residual units with ELU, two LSTM layers, convolutions under weight
    normalisation (causal in the published model).

    Attributes:
        channels: of the encoder's first layer; every block doubles them.
        lstm_layers: 0 for none.
        causal: whether convolutions see the past only.
    """

    sizes = ("channels", "lstm_layers", "latent_dim")

    sample_rate: int = 24000
    strides: tuple[int, ...] = (2, 4, 5, 8)
    latent_dim: int = 128
    channels: int = 32
    lstm_layers: int = 2
    causal: bool = True

    def check(self) -> None:
        at_least("codec.channels", self.channels, 2)
        at_least("codec.lstm_layers", self.lstm_layers, 0)
        super().check()

    def build(self) -> nn.ModuleDict:
        try:
            from transformers import EncodecConfig, EncodecModel
        except ImportError as error:
            raise ConfigError(
                f"codec: EnCodec is built by transformers, with the extra 'audio': {how_to_install('audio')}"
            ) from error
        config = EncodecConfig(
            sampling_rate=self.sample_rate,
            hidden_size=self.latent_dim,
            num_filters=self.channels,
            upsampling_ratios=list(reversed(self.strides)),
            num_lstm_layers=self.lstm_layers,
            use_causal_conv=self.causal,
            codebook_size=2,
            codebook_dim=self.latent_dim,
        )
        model = EncodecModel(config)
        return nn.ModuleDict({"encoder": model.encoder, "decoder": model.decoder})

"""The Descript Audio Codec's encoder and decoder."""

from __future__ import annotations

from torch import nn

from quantbench.codecs.waveform import WaveformCodec
from quantbench.components import at_least, component
from quantbench.errors import ConfigError
from quantbench.install import how_to_install


@component
class DAC(WaveformCodec):
    """Encoder and decoder of the Descript Audio Codec, built by transformers from a configuration; nothing is downloaded.

    Kumar et al. (2023), arXiv 2306.06546. Convolutions with Snake activations; weights start as PyTorch's layers do and are
    trained under weight normalisation, as in the original.

    Attributes:
        encoder_channels: of the encoder's first layer; every block doubles them.
        decoder_channels: of the decoder's first layer; every block halves them.
    """

    sizes = ("encoder_channels", "decoder_channels", "latent_dim")

    strides: tuple[int, ...] = (2, 4, 5, 8)
    encoder_channels: int = 64
    decoder_channels: int = 1536

    def check(self) -> None:
        at_least("codec.encoder_channels", self.encoder_channels, 1)
        smallest = 2 ** len(self.strides)
        if self.decoder_channels % smallest:
            raise ConfigError(
                f"codec.decoder_channels={self.decoder_channels}: must be a multiple of {smallest}, for each of the "
                f"{len(self.strides)} blocks halves them"
            )
        super().check()

    def build(self) -> nn.ModuleDict:
        try:
            from transformers import DacConfig, DacModel
        except ImportError as error:
            raise ConfigError(
                f"codec: DAC is built by transformers, with the extra 'audio': {how_to_install('audio')}"
            ) from error
        config = DacConfig(
            encoder_hidden_size=self.encoder_channels,
            decoder_hidden_size=self.decoder_channels,
            downsampling_ratios=list(self.strides),
            sampling_rate=self.sample_rate,
            n_codebooks=1,
            codebook_size=2,
            codebook_dim=1,
        )
        config.hidden_size = self.latent_dim  # which it would set to the width of the encoder's last block
        model = DacModel(config)
        for layer in [*model.encoder.modules(), *model.decoder.modules()]:
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
                # transformers starts weights a hundred times smaller, for models whose weights are loaded.
                layer.reset_parameters()
            if isinstance(layer, nn.ConvTranspose1d):
                layer.output_padding = (layer.stride[0] % 2,)  # with odd strides a sample would be missing
        model.apply_weight_norm()  # type: ignore[no-untyped-call]
        return nn.ModuleDict({"encoder": model.encoder, "decoder": model.decoder})

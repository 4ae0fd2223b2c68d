"""Real codecs: shapes, weights, and that trials are what each would be alone."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from torch import nn

from quantbench.codecs import DAC, Codec, EnCodec, SEANet, WaveformCodec
from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from quantbench.streams import Streams

pytest.importorskip("transformers")

TINY: list[WaveformCodec] = [
    DAC(encoder_channels=4, decoder_channels=16, strides=(5, 4, 2), latent_dim=3),
    EnCodec(channels=2, strides=(5, 4, 2), latent_dim=3),
    SEANet(channels=4, strides=(5, 4, 2), latent_dim=3),
]
each = pytest.mark.parametrize("codec", TINY, ids=lambda codec: type(codec).__name__)


def waveforms(trials: int, segments: int = 2, samples: int = 400) -> torch.Tensor:
    return 0.1 * torch.randn(trials, segments, samples, generator=torch.Generator().manual_seed(0))


@each
@pytest.mark.parametrize("samples", [400, 1000])
def test_every_hop_becomes_one_latent_and_comes_back(codec: WaveformCodec, samples: int) -> None:
    weights = codec.init(Streams([0, 1]), 400, 0, 400)
    frames = waveforms(2, 3, samples)
    latents = codec.encode(weights, frames)
    assert codec.hop == 40
    assert latents.shape == (2, 3 * codec.latents_per_frame(samples), 3)
    assert codec.decode(weights, latents, None, 3).shape == frames.shape


@each
def test_a_trial_is_what_it_is_alone(codec: WaveformCodec) -> None:
    together, alone = codec.init(Streams([3, 7]), 400, 0, 400), codec.init(Streams([7]), 400, 0, 400)
    frames = waveforms(2)
    latents = codec.encode(together, frames)
    single = codec.encode(alone, frames[1:])
    assert torch.equal(latents[1:], single)
    assert not torch.equal(codec.encode(together, frames[1:].expand(2, -1, -1))[0], single[0])
    output = codec.decode(together, latents, None, 2)
    assert torch.equal(output[1:], codec.decode(alone, single, None, 2))


@each
def test_the_gradient_is_that_of_the_module_with_the_same_weights(codec: WaveformCodec) -> None:
    weights = codec.init(Streams([5]), 400, 0, 400)
    frames = waveforms(1)
    loss = codec.decode(weights, codec.encode(weights, frames), None, 2).square().mean()
    gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    module = codec.build()
    module.load_state_dict({name: tensor[0].detach() for name, tensor in weights.items()})
    expected = module["decoder"](module["encoder"](frames[0].unsqueeze(1))).square().mean()
    expected.backward()
    assert torch.allclose(loss, expected)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(gradients[name][0], parameter.grad, atol=1e-7), name
        assert parameter.grad.abs().sum() > 0, name


@each
def test_the_latents_are_in_the_order_of_segments_and_time(codec: WaveformCodec) -> None:
    weights = codec.init(Streams([0]), 400, 0, 400)
    frames = waveforms(1)
    changed = frames.clone()
    changed[0, 1, -1] += 1.0
    difference = (codec.encode(weights, frames) - codec.encode(weights, changed)).abs().amax(2)[0]
    assert difference[:10].max() == 0
    assert difference[19] > 0


@each
def test_weights_start_as_pytorch_layers_do(codec: WaveformCodec) -> None:
    latents = codec.encode(codec.init(Streams([0]), 400, 0, 400), waveforms(1))
    assert 1e-3 < latents.std() < 1


@each
def test_latents_can_be_rescaled_without_changing_the_codec(codec: WaveformCodec) -> None:
    weights = codec.init(Streams([0, 1]), 400, 0, 400)
    frames = waveforms(2)
    latents = codec.encode(weights, frames)
    output = codec.decode(weights, latents, None, 2)
    factor = torch.tensor([3.0, 0.1])
    codec.rescale(weights, factor)
    assert torch.allclose(codec.encode(weights, frames), factor[:, None, None] * latents, atol=1e-6)
    assert torch.allclose(codec.decode(weights, codec.encode(weights, frames), None, 2), output, atol=1e-6)


def test_dac_equals_transformers_model_with_the_same_weights() -> None:
    from transformers import DacConfig, DacModel

    codec = DAC(encoder_channels=4, decoder_channels=16, strides=(4, 2), latent_dim=32)
    config = DacConfig(encoder_hidden_size=4, decoder_hidden_size=16, downsampling_ratios=[4, 2], n_codebooks=1)
    config.hidden_size = 32
    theirs = DacModel(config).eval()
    theirs.apply_weight_norm()
    weights = codec.init(Streams([0]), 64, 0, 64)
    missing, unexpected = theirs.load_state_dict({name: tensor[0] for name, tensor in weights.items()}, strict=False)
    assert not unexpected
    assert all(name.startswith("quantizer.") for name in missing)
    frames = waveforms(1, samples=64)
    latents = theirs.encoder(frames[0].unsqueeze(1))
    assert torch.allclose(codec.encode(weights, frames)[0], latents.transpose(1, 2).flatten(0, 1), atol=1e-6)
    output = theirs.decoder(latents).squeeze(1)
    assert torch.allclose(codec.decode(weights, codec.encode(weights, frames), None, 2)[0], output, atol=1e-6)


def test_published_presets_have_the_published_number_of_parameters() -> None:
    def parameters(codec: WaveformCodec) -> int:
        with torch.device("meta"):
            return sum(one.numel() for one in codec.build().parameters())

    # The model card of the 24 kHz EnCodec and the paper of DAC give 14.9 M and 74 M, quantizers included.
    assert parameters(EnCodec(sample_rate=24000, strides=(2, 4, 5, 8), channels=32, latent_dim=128)) == pytest.approx(
        14.9e6, rel=0.02
    )
    assert parameters(DAC(strides=(2, 4, 5, 8), latent_dim=1024)) == pytest.approx(74e6, rel=0.05)


@pytest.mark.parametrize(
    ("codec", "rate", "lengths", "message"),
    [
        (SEANet(), 16000, {"simulator.segment": 6000}, "simulator.segment=6000.*320.*5760 and 6080"),
        (SEANet(), 16000, {"simulator.segment": 100}, "simulator.segment=100.*320 and 640"),
        (SEANet(), 44100, {"simulator.segment": 6080}, "simulator.sample_rate=44100.*16000"),
        (SEANet(), None, {}, "takes waveforms"),
    ],
)
def test_input_that_does_not_fit_is_refused(codec: Codec, rate: int | None, lengths: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        codec.check_input(rate, lengths)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"codec\.decoder_channels=24: must be a multiple of 16"):
        DAC(decoder_channels=24).check()
    with pytest.raises(ConfigError, match=r"codec\.strides"):
        SEANet(strides=()).check()


def test_recurrent_layers_compute_with_the_lent_weights() -> None:
    codec = EnCodec(channels=2, strides=(5, 4, 2), latent_dim=3)
    weights = codec.init(Streams([0]), 400, 0, 400)
    recurrent = [name for name in weights if "lstm" in name and name.startswith("encoder.")]
    assert len(recurrent) == 8
    before = codec.encode(weights, waveforms(1))
    weights[recurrent[0]] = nn.Parameter(weights[recurrent[0]] * 2)
    assert not torch.allclose(before, codec.encode(weights, waveforms(1)))


@pytest.mark.parametrize("codec", [DAC(), EnCodec()], ids=lambda codec: type(codec).__name__)
def test_without_the_extra_the_message_says_how_to_install_it(codec: WaveformCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=re.escape(how_to_install("audio"))):
        codec.check()

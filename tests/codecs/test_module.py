"""Networks of the user's own: trained as they are by themselves, and refused where they do not fit."""

import pytest
import torch
from torch import nn

from quantbench.codecs import Module
from quantbench.errors import ConfigError
from quantbench.gradients import STE
from quantbench.quantizers import FSQ
from quantbench.quantizers import Identity as NoQuantizer
from quantbench.simulators import Gaussian, Rotation
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings, train
from quantbench.training.keep import Keep
from quantbench.training.run import begin
from tests.conftest import SMALL

DIM = 3
QUICK = Keep(references=False, yardsticks=False)


class Encoder(nn.Sequential):
    def __init__(self, width=8, dim=DIM, dropout=0.1):
        super().__init__(
            nn.Linear(6, width, bias=False), nn.BatchNorm1d(width), nn.ELU(), nn.Dropout(dropout), nn.Linear(width, dim)
        )


class Decoder(nn.Linear):
    def __init__(self):
        super().__init__(DIM, 6)


class Places(nn.Conv2d):
    """An image of 1 x 6 x 6 to 3 x 3 latents."""

    def __init__(self):
        super().__init__(1, DIM, 2, stride=2)


class FromPlaces(nn.ConvTranspose2d):
    def __init__(self):
        super().__init__(DIM, 1, 2, stride=2)


class Waves(nn.Conv1d):
    def __init__(self):
        super().__init__(1, DIM, 4, stride=4)


class FromWaves(nn.ConvTranspose1d):
    def __init__(self):
        super().__init__(DIM, 1, 4, stride=4)


def codec(**settings):
    return Module(encoder=f"{__name__}.Encoder", decoder=f"{__name__}.Decoder", latent_dim=DIM, **settings)


def stack(own, seeds=(0, 1), simulator=Gaussian(frame_dim=6), quantizer=FSQ(levels=4), **settings):  # noqa: B008
    given = {"steps": 16, "batch": 32, "log_every": 16} | settings
    return Stack.of(
        simulator=simulator,
        codec=own,
        quantizer=quantizer,
        gradient=STE(),
        train=TrainSettings(**given),
        seeds=seeds,
        device="cpu",
    )


def outcome(whole):
    return [
        ({k: v for k, v in one.metrics.items() if k not in ("seconds", "step_seconds")}, one.curves)
        for one in train(whole, keep=QUICK)
    ]


@pytest.mark.parametrize("settings", [{}, {"warm_start": 8}, {"precision": "bfloat16"}])
def test_a_trial_is_what_it_is_alone_and_again(settings):
    together = outcome(stack(codec(), **settings))
    assert outcome(stack(codec(), (1,), **settings)) == together[1:]
    assert together[0] != together[1]


def test_it_trains_as_a_plain_loop_does(monkeypatch):
    """Adam on the same modules, frames and steps, without the project's training."""
    whole = stack(codec(encoder_arguments={"dropout": 0.0}), (3,), quantizer=NoQuantizer(), lr=1e-2)
    training = begin(whole)
    with torch.no_grad():
        encoder, decoder = Encoder(dropout=0.0), Decoder()
        for name, module in (("encoder", encoder), ("decoder", decoder)):
            own = dict(module.named_parameters()) | dict(module.named_buffers())
            for key, tensor in own.items():
                tensor.copy_(training.model.codec[f"{name}.{key}"][0])
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
    batches, draw = [], training._next_batch
    monkeypatch.setattr(training, "_next_batch", lambda: batches.append(draw()) or batches[-1])
    training.advance()
    for batch in batches:
        adam.zero_grad()
        (decoder(encoder(batch.input[0])) - batch.target[0]).square().mean().backward()
        adam.step()
    found = training.model.codec
    assert torch.allclose(found["encoder.4.weight"][0], encoder[4].weight, atol=1e-5)
    assert torch.allclose(found["encoder.1.running_var"][0], encoder[1].running_var, atol=1e-5)
    assert int(found["encoder.1.num_batches_tracked"][0]) == int(encoder[1].num_batches_tracked) == 16
    held_out = training.held_out.input
    with torch.no_grad():
        assert torch.allclose(training.model.encode(training.held_out)[0], encoder.eval()(held_out[0]), atol=1e-5)


def test_evaluation_changes_nothing():
    training = begin(stack(codec()))
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    with torch.no_grad():
        first = training.model.encode(training.held_out)
        assert torch.equal(first, training.model.encode(training.held_out))
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.model.state_dict().items())


def test_a_warm_start_scales_latents_and_leaves_the_output():
    training = begin(stack(codec(), warm_start=8))
    with torch.no_grad():
        encoded = training.model.encode(training.held_out)
    assert float(encoded.std()) == pytest.approx(1, abs=0.2)
    own = dict(training.model.codec)
    plain, count = training.stack.codec, training.held_out.input.shape[1]
    with torch.no_grad():
        output = plain.decode(own, encoded, None, count)
    own["encoder.:scale"] = torch.ones(2)
    with torch.no_grad():
        again = plain.decode(own, plain.encode(own, training.held_out.input), None, count)
    assert torch.allclose(output, again, atol=1e-5)


@pytest.mark.parametrize(("names", "shape", "features", "latents"), [("Places", (1, 6, 6), 36, 9), ("Waves", (1, -1), 20, 5)])
def test_places_of_images_and_waveforms(names, shape, features, latents):
    own = Module(encoder=f"{__name__}.{names}", decoder=f"{__name__}.From{names}", latent_dim=DIM, shape=shape)
    own.check()
    assert own.latents_per_frame(features) == latents
    weights = own.init(Streams([0, 1]), features, 0, features)
    frames = torch.randn(2, 4, features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoded = own.encode(weights, frames)
        assert encoded.shape == (2, 4 * latents, DIM)
        output = own.decode(weights, encoded, None, 4)
        module, back = own._build("encoder"), own._build("decoder")
        for one, part in ((module, "encoder"), (back, "decoder")):
            for key, tensor in one.named_parameters():
                tensor.copy_(weights[f"{part}.{key}"][1])
        sizes = [features if size == -1 else size for size in shape]
        expected = back(module(frames[1].view(4, *sizes))).flatten(1)
    assert torch.allclose(output[1], expected, atol=1e-6)
    assert outcome(stack(own, simulator=Gaussian(frame_dim=features)))[0][0]["mse"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "nowhere.Encoder"}, r"codec.encoder=nowhere.Encoder: cannot be imported .*--config-dir"),
        ({"encoder": ""}, r"codec.encoder='': must name a class"),
        ({"encoder": f"{__name__}.stack"}, "must be a class that derives from torch.nn.Module"),
        ({"encoder_arguments": {"widht": 3}}, r"codec.encoder_arguments=\{'widht': 3\}: .*unexpected keyword"),
        ({"encoder_arguments": 3}, "codec.encoder_arguments=3: must be a mapping"),
        ({"latent_dim": 8}, r"gives \(3, 3\) for \(3, 6\); must give \(3, codec.latent_dim=8\).*set codec.latent_dim=3"),
        ({"decoder": f"{__name__}.Encoder"}, r"codec.decoder=.*: fails on \(3, 3\) \(RuntimeError"),
        ({"decoder": "torch.nn.Identity"}, r"gives \(3, 3\) for \(3, 3\); must give 3 frames of 6 numbers"),
        ({"shape": (1, 5)}, r"codec.shape=\[1, 5\]: a frame has 6 numbers"),
        ({"shape": (-1, -1)}, "one of them may be -1"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    given = {"encoder": f"{__name__}.Encoder", "decoder": f"{__name__}.Decoder", "latent_dim": DIM} | settings
    with pytest.raises(ConfigError, match=message):
        stack(Module(**given))
    with pytest.raises(ConfigError, match="side information"):
        stack(codec(), simulator=Rotation())


def test_a_run_from_the_command_line(quantbench, tmp_path):
    (tmp_path / "mine").mkdir()
    source = "from torch import nn\nclass Encoder(nn.Linear):\n    def __init__(self, width): super().__init__(16, width)\n"
    source += "class Decoder(nn.Linear):\n    def __init__(self): super().__init__(3, 16)\n"
    (tmp_path / "mine" / "own_networks.py").write_text(source)
    small = [word for word in SMALL if "hidden" not in word]
    words = ["codec=module", "codec.encoder=own_networks.Encoder", "codec.encoder_arguments={width: 3}", "codec.latent_dim=3"]
    words += ["codec.decoder=own_networks.Decoder", "--config-dir", "mine", "executor=inline", "references=false", *small]
    code, _, err = quantbench("run", *words, "quantizer=fsq", "train.warm_start=4")
    assert code == 0, err
    code, _, err = quantbench("run", *words, "quantizer=fsq", "codec.decoder=own_networks.Decode")
    assert (code, "codec.decoder=own_networks.Decode: cannot be imported (AttributeError" in err) == (2, True)


def test_a_training_goes_on_from_its_state():
    """Dropout draws what it would have drawn, and running statistics go on."""
    whole = stack(codec())
    straight = begin(whole)
    straight.advance()
    first = begin(whole)
    first.advance(8)
    second = begin(whole)
    second.load_state_dict(first.state_dict())
    second.advance()
    expected = straight.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in second.model.state_dict().items())

"""An exported trial comes back as a module, and gives what it gave in the run."""

import dataclasses

import pytest
import torch

import quantbench
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Moment, Own, misfit
from quantbench.nn import load_codec
from quantbench.quantizers import Residual, VectorQuantizer
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.training.export import export
from quantbench.training.run import begin
from tests.training.test_every_choice import DIMS, quantizer_of, stack

torch.set_num_threads(1)
SEEDS = (3, 4)


def exported(folder, quantizer, gradient, dim=4):
    """Two trials, trained and exported: frames, and what each makes of them."""
    whole = stack([quantizer] * 2, gradient, dim, seeds=SEEDS, steps=2, log_every=2)
    whole = dataclasses.replace(whole, names=("one", "other"))
    training = begin(whole)
    training.advance()
    streams = Streams(SEEDS)
    export(training.model, training.held_out, streams, folder)
    frames = training.held_out
    with torch.no_grad():
        code = training.model.hard(training.model.prepare(training.model.encode(frames)), Moment(1.0, streams, training=False))
        return frames, code.indices, training.model.decode(code.values, frames)


@pytest.mark.parametrize("name", ["vq", "rfsq", "conditioned", "simvq", "none"])
def test_a_codec_gives_what_its_trial_gave(tmp_path, name):
    dim = DIMS.get(name, 4)
    quantizer = quantizer_of(name, dim)
    frames, indices, outputs = exported(tmp_path, quantizer, Own() if quantizer.own_gradient else STE(), dim)
    for trial, place in enumerate(("one", "other")):
        codec = load_codec(tmp_path, place)
        output, codes, _ = codec(frames.input[trial])
        assert torch.allclose(output, outputs[trial], atol=1e-5)
        if name != "none":
            expected = indices[trial].squeeze(-1) if indices.shape[-1] == 1 else indices[trial]
            assert torch.equal(codes, expected)
            assert torch.allclose(codec.decode(codec.encode(frames.input[trial])), output, atol=1e-5)


def test_it_trains_on(tmp_path):
    gradient = default_component("gradient", "warm_up")
    quantizer = Residual(stage=VectorQuantizer(codes=16, update_by="ema"))
    assert misfit(quantizer, gradient) is None
    frames, _, _ = exported(tmp_path, quantizer, gradient)
    codec = quantbench.load_codec(tmp_path, "other").train()
    before = codec.state_dict()["bottleneck.tensors.0.codewords"].clone()
    codec.bottleneck.at(9, of=10)
    output, _, loss = codec(frames.input[1])
    ((output - frames.target[1]).square().mean() + loss).backward()
    assert all(parameter.grad is not None for parameter in codec.parameters())
    after = codec.state_dict()["bottleneck.tensors.0.codewords"]
    assert 0 < (after - before).abs().max() < 1  # a step of moving averages, no new start


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"trial=one: .*run with --export"):
        load_codec(tmp_path, "one")
    place = tmp_path / "export" / "bad"
    place.mkdir(parents=True)
    (place / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"trial=one: .*there are bad"):
        load_codec(tmp_path, "one")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_codec(tmp_path, "bad")

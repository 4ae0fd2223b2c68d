"""A bottleneck computes what a stack of one trial does, bit by bit."""

import pytest
import torch

from quantbench.choices import choices
from quantbench.gradients import Moment, misfit
from quantbench.nn import Bottleneck
from quantbench.quantizers import External, Module
from quantbench.streams import Streams
from quantbench.sweeps.catalogue import default_component
from quantbench.training.model import Model
from tests.training.test_every_choice import DIMS, quantizer_of, stack

torch.set_num_threads(1)
SEED = 3
FRAMES = 48


def quantizers():
    """Every quantizer that is no module of another package, and stages and groups of some."""
    for name in choices("quantizer"):
        found = quantizer_of(name, DIMS.get(name, 8))
        if not isinstance(found, External | Module):
            yield name, found


EVERY = dict(quantizers())
FITTING = [
    (name, gradient)
    for name, quantizer in EVERY.items()
    for gradient in choices("gradient")
    if misfit(quantizer, default_component("gradient", gradient)) is None
]
FAST = ("vq", "fsq")
"""Quantizers that stand for the others: with these, every strategy; the others with one."""
SOME = [pair for pair in FITTING if pair[0] in FAST or pair[1] in ("ste", "own")]


def frame_loss(values):
    return values.square().sum(-1)


def reference(quantizer, gradient, dim):
    """A model of one trial that is started, its latents, and random numbers for both."""
    whole = stack(quantizer, gradient, dim, seeds=(SEED,))
    streams = Streams((SEED,))
    model = Model(whole, streams)
    count = quantizer.fit_frames(FRAMES)
    frames = whole.simulator.draw(whole.simulator.world(streams), streams, count, "first frames")
    encoded = model.encode(frames).detach()
    model.fit(frames)
    return whole, model, encoded


def restored(position):
    streams = Streams((SEED,))
    streams.restore(position)
    return streams


def same(one, other):
    """Whether tensors, or None, are alike bit by bit; NaN is like NaN."""
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def compare(name, gradient, progress=(1, 3)):
    """Two steps without an optimizer; gives what is not alike."""
    dim = DIMS.get(name, 8)
    quantizer, strategy = EVERY[name], default_component("gradient", gradient)
    whole, model, encoded = reference(quantizer, strategy, dim)
    ours = Bottleneck(quantizer, strategy, dim=dim)
    ours.load_state_dict({f"tensors.{key}": tensor for key, tensor in model.quantizer.items()}, strict=False)
    for number, memory in enumerate(model.memories):
        ours.memories[number].load_state_dict(memory)
    ours.started.fill_(True)
    position = model.streams.state()
    theirs, mine = restored(position), restored(position)
    ours.streams = ours._common = lambda device: mine
    different = []
    for step in progress:
        x = encoded[:, :FRAMES] * (1 + 0.1 * step)
        one, other = x.clone().requires_grad_(), x[0].clone().requires_grad_()
        weight = torch.linspace(-1, 1, x.numel()).view(x.shape)

        def loss_of(received):
            with torch.no_grad():
                return frame_loss(whole.quantizer.restore(model.quantizer, received))

        how_far = (step - 1) / 3
        moment = Moment(how_far, theirs, frame_loss=loss_of, step=step)
        given = one.detach() if strategy.freezes_encoder(how_far) else one
        passed = model.pass_through(model.prepare(given), moment, remember=True)
        values = whole.quantizer.restore(model.quantizer, passed.received)
        trained = [tensor for tensor in model.quantizer.values() if tensor.requires_grad]
        gradients = torch.autograd.grad((values * weight).sum() + passed.loss.sum(), [one, *trained], allow_unused=True)
        model.update(passed.trace, step, theirs)

        ours.at(step, of=4)
        quantized, indices, loss = ours(other, frame_loss=frame_loss)
        own = [tensor for tensor in ours.tensors.state().values() if tensor.requires_grad]
        found = torch.autograd.grad((quantized * weight[0]).sum() + loss, [other, *own], allow_unused=True)

        slots = None if passed.code.indices is None else passed.code.indices[0]
        if slots is not None and slots.shape[-1] == 1:
            slots = slots.squeeze(-1)
        pairs = {"values": (values[0], quantized), "indices": (slots, indices), "loss": (passed.loss[0], loss)}
        pairs["gradient of x"] = (None if gradients[0] is None else gradients[0][0], found[0])
        pairs |= {f"gradient {i}": pair for i, pair in enumerate(zip(gradients[1:], found[1:], strict=True))}
        now = ours.tensors.state()
        pairs |= {f"state {key}": (tensor, now[key]) for key, tensor in model.quantizer.items()}
        for number, memory in enumerate(model.memories):
            pairs |= {f"memory {key}": (tensor, ours.memories[number].state()[key]) for key, tensor in memory.items()}
        different += [f"{name} {gradient} step {step}: {what}" for what, pair in pairs.items() if not same(*pair)]
    return different


def test_of_every_choice_all_is_equal_to_a_stack_of_one():
    assert [line for pair in SOME for line in compare(*pair)] == []


@pytest.mark.slow
def test_of_every_pair_that_fits_all_is_equal_to_a_stack_of_one():
    assert [line for pair in FITTING for line in compare(*pair)] == []

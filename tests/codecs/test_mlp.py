import torch
from torch import nn

from quantbench.codecs import MLP
from quantbench.codecs.mlp import prelu, prelu_of_torch
from quantbench.streams import Streams


class Reference(nn.Module):
    """The encoder of one trial, as anyone would write it."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)])
        self.slopes = nn.ModuleList([nn.PReLU(), nn.PReLU()])

    def forward(self, x):
        h = self.slopes[0](self.layers[0](x))
        h = h + self.slopes[1](self.layers[1](h))
        return self.layers[2](h)


def reference(weights, trial, name, inputs, hidden, outputs):
    module = Reference(inputs, hidden, outputs)
    with torch.no_grad():
        for i, layer in enumerate(module.layers):
            layer.weight.copy_(weights[f"{name}.weight{i}"][trial].T)
            layer.bias.copy_(weights[f"{name}.bias{i}"][trial, 0])
        for i, slope in enumerate(module.slopes):
            slope.weight.copy_(weights[f"{name}.slope{i}"][trial].flatten())
    return module


def test_equals_a_plain_module_in_value_and_gradient():
    streams = Streams([0, 1])
    codec = MLP(hidden=11, latent_dim=3)
    weights = codec.init(streams, 5, 2, 4)
    x, side = streams.normal("x", 7, 5), streams.normal("x", 7, 2)
    latents = codec.encode(weights, x)
    decoded = codec.decode(weights, latents, side, 7)
    loss = decoded.square().sum()
    gradient = torch.autograd.grad(loss, [weights["encoder.weight0"], weights["decoder.slope1"]])
    for trial in range(2):
        encoder = reference(weights, trial, "encoder", 5, 11, 3)
        decoder = reference(weights, trial, "decoder", 5, 11, 4)
        output = decoder(torch.cat([encoder(x[trial]), side[trial]], dim=-1))
        assert torch.allclose(output, decoded[trial], atol=1e-5)
        output.square().sum().backward()
        assert torch.allclose(encoder.layers[0].weight.grad.T, gradient[0][trial], atol=1e-3, rtol=1e-4)
        assert torch.allclose(decoder.slopes[1].weight.grad, gradient[1][trial].flatten(), atol=1e-3, rtol=1e-4)


def test_same_seed_same_weights_whatever_the_stack():
    codec = MLP()
    together, alone = codec.init(Streams([7, 2]), 4, 0, 4), codec.init(Streams([2]), 4, 0, 4)
    assert all(torch.equal(together[name][1:], alone[name]) for name in alone)


def test_latents_can_be_rescaled_without_changing_the_codec():
    streams = Streams([0, 1])
    codec = MLP(hidden=11, latent_dim=3)
    weights = codec.init(streams, 5, 2, 4)
    x, side = streams.normal("x", 7, 5), streams.normal("x", 7, 2)
    latents = codec.encode(weights, x)
    output = codec.decode(weights, latents, side, 7)
    factor = torch.tensor([3.0, 0.1])
    codec.rescale(weights, factor)
    assert torch.allclose(codec.encode(weights, x), factor[:, None, None] * latents, atol=1e-6)
    assert torch.allclose(codec.decode(weights, codec.encode(weights, x), side, 7), output, atol=1e-5)


def test_the_activation_of_a_gpu_is_that_of_a_cpu():
    generator = torch.Generator().manual_seed(0)
    x, slope, weights = (torch.randn(shape, generator=generator) for shape in ((3, 5, 8), (3, 1, 1), (3, 5, 8)))
    found = []
    for one in (prelu, prelu_of_torch):
        given = [tensor.clone().requires_grad_() for tensor in (x, slope)]
        out = one(*given)
        found.append([out, *torch.autograd.grad((weights * out).sum(), given)])
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, atol=1e-6)

import torch
from torch import nn

from quantbench.training.optimizer import Adam, Parameters


def test_equals_torch_adam_with_one_learning_rate_a_trial():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(3, *shape, generator=generator) for shape in ((4, 2), (5,)))
    state = {"a": nn.Parameter(first.clone()), "buffer": torch.zeros(3, 1), "b": nn.Parameter(second.clone())}
    parameters = Parameters([state])
    rates = torch.tensor([1e-3, 1e-2, 1e-1])
    adam = Adam(parameters, rates, torch.zeros(3))
    peers = [[nn.Parameter(first[i].clone()), nn.Parameter(second[i].clone())] for i in range(3)]
    optimizers = [torch.optim.Adam(peer, lr=float(rate)) for peer, rate in zip(peers, rates, strict=True)]

    def loss(a, b):
        return (a.square().sum() - b.sin().sum()) * 3

    for _ in range(20):
        gradient = parameters.gradient(loss(state["a"], state["b"]))
        adam.step(gradient, gradient.norm(dim=1))
        for peer, optimizer in zip(peers, optimizers, strict=True):
            optimizer.zero_grad()
            loss(*peer).backward()
            optimizer.step()
    for i, (a, b) in enumerate(peers):
        assert torch.allclose(state["a"][i], a, atol=1e-6)
        assert torch.allclose(state["b"][i], b, atol=1e-6)


def test_clipping_is_per_trial():
    state = {"w": nn.Parameter(torch.zeros(3, 2))}
    parameters = Parameters([state])
    adam = Adam(parameters, torch.ones(3), torch.tensor([0.0, 1.0, 10.0]))
    gradient = torch.zeros_like(parameters.matrix)
    gradient[:, :2] = torch.tensor([3.0, 4.0])
    adam.step(gradient, gradient.norm(dim=1))
    lengths = (adam.mean / 0.1).norm(dim=1)
    assert torch.allclose(lengths, torch.tensor([5.0, 1.0, 5.0]), rtol=1e-5)


def test_the_learning_rate_can_be_a_share_of_itself():
    def after(lr, rate):
        state = {"w": nn.Parameter(torch.ones(3, 2))}
        parameters = Parameters([state])
        adam = Adam(parameters, torch.tensor(lr), torch.zeros(3))
        for _ in range(5):
            gradient = parameters.gradient(state["w"].square().sum())
            adam.step(gradient, gradient.norm(dim=1), rate=rate)
        return state["w"].detach()

    assert torch.allclose(after([0.1, 0.1, 0.1], torch.tensor([1.0, 0.5, 0.0])), after([0.1, 0.05, 0.0], None))

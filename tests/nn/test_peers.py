"""Modules of vector-quantize-pytorch become bottlenecks that do what they do."""

import pytest
import torch

from quantbench.errors import ConfigError
from quantbench.nn import Bottleneck

peers = pytest.importorskip("vector_quantize_pytorch")
torch.set_num_threads(1)

ALIKE = {
    "ema": lambda: peers.VectorQuantize(8, 16, rotation_trick=False),
    "rotation": lambda: peers.VectorQuantize(8, 16, decay=0.9, threshold_ema_dead_code=2),
    "gradient": lambda: peers.VectorQuantize(8, 16, ema_update=False, learnable_codebook=True, commitment_weight=0.25),
    "projection": lambda: peers.VectorQuantize(8, 16, codebook_dim=4),
    "cosine": lambda: peers.VectorQuantize(8, 16, use_cosine_sim=True),
    "residual": lambda: peers.ResidualVQ(dim=8, codebook_size=16, num_quantizers=3, rotation_trick=False),
    "residual_whole": lambda: peers.ResidualVQ(
        dim=8, codebook_size=16, num_quantizers=3, rotation_trick=False, quant_grad_frac=1.0, commitment_weight=0.0
    ),
    "shared": lambda: peers.ResidualVQ(dim=8, codebook_size=16, num_quantizers=3, shared_codebook=True),
    "fsq": lambda: peers.FSQ(levels=[8, 5, 5, 5]),
    "lfq": lambda: peers.LFQ(dim=6, codebook_size=64),
    "simvq": lambda: peers.SimVQ(8, 16),
}
ONE_INDEX = ("fsq", "lfq")
"""Whose indices are one number of all dimensions there."""


def outputs(module, x):
    found = module(x)
    return found[0], found[1], found[2].sum() if len(found) > 2 else torch.zeros(())  # FSQ has no loss


@pytest.mark.parametrize("name", ALIKE)
def test_codes_and_values_are_alike(name):
    torch.manual_seed(0)
    theirs = ALIKE[name]()
    ours = Bottleneck.like(theirs)
    x = torch.randn(2, 30, ours.dim)
    for module in (theirs, ours):
        module.eval()
    with torch.no_grad():
        values, indices, _ = outputs(theirs, x)
    found, codes, _ = ours(x)
    assert torch.allclose(found, values, atol=1e-5)
    if name not in ONE_INDEX:
        assert torch.equal(codes, indices)


@pytest.mark.parametrize(
    ("name", "twice"), [("ema", 1), ("gradient", 2), ("residual_whole", 1), ("fsq", 1), ("simvq", 1), ("lfq", 1)]
)
def test_they_train_alike(name, twice):
    """Gradients, losses and two steps of moving averages; a codebook that is learned has the loss twice, of which each half
    moves one side."""
    torch.manual_seed(0)
    theirs = ALIKE[name]()
    ours = Bottleneck.like(theirs)
    for _ in range(2):
        x = torch.randn(2, 30, ours.dim)
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        weight = torch.randn_like(x)
        values, _, loss = outputs(theirs, one)
        found, _, own = ours(other)
        assert torch.allclose(values, found, atol=1e-5)
        assert torch.allclose(loss * twice, own, atol=1e-5)
        ((values * weight).sum() + loss).backward()
        ((found * weight).sum() + own).backward()
        assert torch.allclose(one.grad, other.grad, atol=1e-4)
    again = Bottleneck.like(theirs).state_dict()
    for key, tensor in ours.state_dict().items():
        if key.startswith("tensors."):
            assert torch.allclose(tensor, again[key], atol=1e-5), key


def test_the_gradient_of_its_residual_quantizer_is_larger_by_the_stages():
    """A difference that docs/nn.md tells of."""
    theirs = ALIKE["residual"]()
    ours = Bottleneck.like(theirs)
    x = torch.randn(2, 30, 8, requires_grad=True)
    weight = torch.randn_like(x)
    one, other = (torch.autograd.grad((module(x)[0] * weight).sum(), x)[0] for module in (theirs, ours))
    assert torch.allclose(one, 3 * other, atol=1e-4)


def test_a_codebook_that_has_not_started_starts_from_data():
    theirs = peers.VectorQuantize(8, 16, kmeans_init=True)
    ours = Bottleneck.like(theirs)
    assert (ours.quantizer.init_by, bool(ours.started)) == ("kmeans", False)
    theirs(torch.randn(2, 30, 8))
    assert bool(Bottleneck.like(theirs).started)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: peers.VectorQuantize(8, 16, heads=2), "heads=2"),
        (lambda: peers.VectorQuantize(8, 16, orthogonal_reg_weight=1.0, ema_update=False), "orthogonal"),
        (lambda: peers.VectorQuantize(8, 16, stochastic_sample_codes=True), "stochastic"),
        (lambda: peers.VectorQuantize(8, 16, ema_update=False), "never moves"),
        (lambda: peers.ResidualVQ(dim=8, codebook_size=16, num_quantizers=2, codebook_dim=4), "has_projections"),
        (lambda: peers.FSQ(levels=[8, 5], dim=7), "has_projections"),
        (lambda: peers.LFQ(dim=6, spherical=True), "spherical"),
        (lambda: torch.nn.Linear(2, 2), "module=Linear: must be one of"),
        (lambda: peers.RandomProjectionQuantizer(dim=8, codebook_size=16, codebook_dim=8, num_codebooks=1), "must be one of"),
    ],
)
def test_what_is_no_method_here_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        Bottleneck.like(make())

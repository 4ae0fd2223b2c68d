"""The search among many codewords: what it finds, and that it never holds a table of all distances."""

import pytest
import torch

from quantbench import kernels
from quantbench.codecs import MLP
from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import GumbelST, IndexPropagation, SoftToHard
from quantbench.quantizers import VectorQuantizer, search
from quantbench.quantizers.base import Moment
from quantbench.quantizers.search import CODES_AT_A_TIME, largest_product, nearest
from quantbench.simulators import GaussMarkov
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings

CODES, DIM, FRAMES = 2 * CODES_AT_A_TIME + 39, 12, 70


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("with_kernels", [True, False])
def test_a_codebook_of_several_parts_is_searched_as_one(with_kernels):
    codebook, latents = normal(2, CODES, DIM) + 3, normal(2, FRAMES, DIM) + 3
    expected = torch.cdist(latents.double(), codebook.double()).argmin(-1)
    if with_kernels:
        found = nearest(codebook, latents)
    else:
        with kernels.without():
            found = nearest(codebook, latents)
    assert torch.equal(found, expected)


def test_the_largest_product_of_several_parts_is_that_of_all():
    codebook, latents = normal(2, CODES, DIM), normal(2, FRAMES, DIM)
    expected = (latents.double() @ codebook.double().transpose(1, 2)).argmax(-1)
    assert torch.equal(largest_product(codebook, latents), expected)


@pytest.mark.parametrize("with_kernels", [True, False])
@pytest.mark.parametrize("far", [500, CODES_AT_A_TIME + 3])
def test_the_first_of_equals_is_taken_across_parts(with_kernels, far):
    codebook = normal(1, CODES, DIM)
    codebook[:, far:] = codebook[:, : CODES - far].clone()  # every codeword again, further on

    def search():
        return nearest(codebook, codebook[:, far : far + 50]), nearest(torch.full_like(codebook, torch.nan), codebook[:, :9])

    if with_kernels:
        found, none = search()
    else:
        with kernels.without():
            found, none = search()
    assert torch.equal(found, torch.arange(50).unsqueeze(0))
    assert bool((none == 0).all())


def test_a_trial_of_many_codes_is_bit_equal_alone():
    codebook, latents = normal(3, CODES, DIM), normal(3, FRAMES, DIM)
    with kernels.without():
        together = nearest(codebook, latents), largest_product(codebook, latents)
        alone = nearest(codebook[1:2], latents[1:2]), largest_product(codebook[1:2], latents[1:2])
    for one, all_trials in zip(alone, together, strict=True):
        assert torch.equal(one[0], all_trials[1])


def test_the_best_codes_of_many_are_the_nearest_ones():
    codebook, latents = normal(1, CODES, DIM), normal(1, FRAMES, DIM)
    found = VectorQuantizer(codes=CODES).best({"codewords": codebook}, latents, 3)
    distance = torch.cdist(latents.double(), codebook.double())
    assert torch.equal(found, distance.topk(3, largest=False).indices)


@pytest.mark.parametrize("strategy", [SoftToHard(), IndexPropagation()])
def test_weights_that_are_computed_again_give_the_same_gradient(strategy, monkeypatch):
    quantizer, strategy = joined([VectorQuantizer(codes=50, search="cosine")]), joined([strategy])

    def step():
        codebook, latents = normal(1, 50, 5).requires_grad_(), normal(1, 33, 5).requires_grad_()
        state = {"codewords": codebook}
        passed = strategy.pass_through(quantizer, state, latents, quantizer.quantize(state, latents), Moment(0.3, Streams([0])))
        return passed, *torch.autograd.grad((passed * normal(1, 33, 5)).sum(), [codebook, latents])

    whole = step()
    monkeypatch.setattr(search, "MOST_WEIGHTS", 1000)
    for one, again in zip(whole, step(), strict=True):
        assert torch.allclose(one, again, rtol=1e-4, atol=1e-6)


def test_a_strategy_that_keeps_weights_of_too_many_codes_is_refused():
    parts = {"simulator": GaussMarkov(), "codec": MLP(), "train": TrainSettings(batch=2048)}
    Stack.of(**parts, quantizer=VectorQuantizer(codes=8192), gradient=GumbelST())
    with pytest.raises(ConfigError, match="at most 16777216 are allowed, 8192 codes"):
        Stack.of(**parts, quantizer=VectorQuantizer(codes=8193), gradient=GumbelST())
    Stack.of(**parts, quantizer=VectorQuantizer(codes=65536), gradient=SoftToHard())


def test_a_search_of_few_trials_at_a_time_finds_the_same():
    generator = torch.Generator().manual_seed(0)
    codebook, latents = (torch.randn(5, count, 4, generator=generator) for count in (16, 40))
    for one in (search._nearest, search._largest_product):
        assert torch.equal(search.by_trials(one, codebook, latents, 2), one(codebook, latents))

import pytest
import torch

from quantbench.components import joined, take
from quantbench.quantizers import Moment, SimVQ, VectorQuantizer
from quantbench.quantizers.search import count_and_sum, first_minimum, nearest
from quantbench.streams import Streams

STREAMS = Streams([0, 1])
LATENTS = STREAMS.normal("x", 400, 3)


def fitted(**settings):
    quantizer = joined([VectorQuantizer(codes=16, **settings)] * 2)
    state = quantizer.init(Streams([0, 1]), 3)
    quantizer.fit(state, LATENTS, Streams([0, 1]))
    return quantizer, state


def test_nearest_is_nearest_also_in_chunks(monkeypatch):
    codebook = STREAMS.normal("c", 16, 3)
    expected = torch.cdist(LATENTS, codebook).argmin(-1)
    assert torch.equal(nearest(codebook, LATENTS), expected)
    monkeypatch.setattr("quantbench.quantizers.search.DISTANCES_PER_TRIAL", 50)
    assert torch.equal(nearest(codebook, LATENTS), expected)


def test_nearest_is_nearest_far_from_the_origin():
    codebook = STREAMS.normal("c", 16, 3)
    shift = torch.tensor([3000.0, -3000.0, 1000.0])
    near, far = nearest(codebook, LATENTS), nearest(codebook + shift, LATENTS + shift)
    assert (near == far).float().mean() > 0.99


def test_first_minimum_is_argmin():
    values = torch.randn(2, 50, 33).round(decimals=1)  # with equals
    assert torch.equal(first_minimum(values), values.argmin(-1))
    values[0, 3] = torch.nan
    values[1, 4] = torch.inf
    index = first_minimum(values)
    assert index.min() >= 0
    assert index.max() < 33
    assert torch.equal(index[1, :4], values.argmin(-1)[1, :4])


def test_count_and_sum():
    index = torch.tensor([[0, 0, 2], [1, 1, 1]])
    latents = torch.arange(12.0).view(2, 3, 2)
    counts, sums = count_and_sum(index, latents, 3)
    assert counts.tolist() == [[2, 0, 1], [0, 3, 0]]
    assert sums[0].tolist() == [[2, 4], [0, 0], [4, 5]]
    assert sums[1, 1].tolist() == [24, 27]


def test_losses_reach_codebook_and_latents_as_declared():
    quantizer, state = fitted(commitment=0.5, codebook_weight=2.0)
    latents = LATENTS.clone().requires_grad_()
    code = quantizer.quantize(state, latents)
    loss = quantizer.loss(state, latents, code, Moment(0.0, STREAMS))
    to_codebook, to_latents = torch.autograd.grad(loss.sum(), [state["codewords"], latents])
    error = latents.detach() - code.values.detach()
    assert torch.allclose(loss, 2.5 * error.square().mean((1, 2)))
    assert torch.allclose(to_latents, 0.5 * 2 * error / error[0].numel(), atol=1e-7)
    _, sums = count_and_sum(code.indices.squeeze(-1), -error, 16)
    assert torch.allclose(to_codebook, 2.0 * 2 * sums / error[0].numel(), atol=1e-6)


def test_data_initialisation_takes_latents():
    _, state = fitted()
    for trial in range(2):
        assert torch.cdist(state["codewords"][trial], LATENTS[trial]).amin(1).max() < 1e-3
    assert len(state["codewords"][0].unique(dim=0)) == 16


def test_kmeans_initialisation_is_a_fixed_point_of_lloyd_and_beats_data():
    quantizer, state = fitted(init_by="kmeans")

    def error(state):
        return (quantizer.quantize(state, LATENTS).values - LATENTS).square().mean((1, 2))

    assert torch.all(error(state) < error(fitted()[1]))
    counts, sums = count_and_sum(nearest(state["codewords"], LATENTS), LATENTS, 16)
    assert (sums / counts.unsqueeze(-1) - state["codewords"]).abs().max() < 0.05


def test_ema_converges_to_the_centroids():
    quantizer, state = fitted(update_by="ema", decay=0.9)
    code = quantizer.quantize(state, LATENTS)
    counts, sums = count_and_sum(code.indices.squeeze(-1), LATENTS, 16)
    for step in range(1, 200):
        quantizer.update(state, [(LATENTS, code)], STREAMS, step)
    used = counts > 0
    assert torch.allclose(state["codewords"][used], (sums / counts.unsqueeze(-1).clamp_min(1))[used], atol=1e-4)


@pytest.mark.parametrize("update_by", ["gradient", "ema"])
def test_restart_brings_dead_codes_back(update_by):
    quantizer, state = fitted(restart=0.1, restart_every=10, update_by=update_by)
    with torch.no_grad():
        state["codewords"][0, :8] += 1000
        if update_by == "ema":
            state["sums"][0, :8] = state["codewords"][0, :8]
    before = state["codewords"][1].clone()
    streams = Streams([0, 1])
    for step in range(1, 601):
        quantizer.update(state, [(LATENTS, quantizer.quantize(state, LATENTS))], streams, step)
    used = quantizer.quantize(state, LATENTS).indices[0].unique()
    assert len(used) == 16
    if update_by == "gradient":
        assert torch.equal(before, state["codewords"][1])  # the other trial had no dead codes


def test_soft_assignment_between_mean_and_code():
    quantizer, state = fitted()
    hard = quantizer.quantize(state, LATENTS).values
    assert (quantizer.soft_code(state, LATENTS, torch.full((2, 1, 1), 1e-5)) - hard).abs().quantile(0.98) < 1e-2
    mean = state["codewords"].mean(1, keepdim=True).expand_as(LATENTS)
    assert torch.allclose(quantizer.soft_code(state, LATENTS, torch.full((2, 1, 1), 1e7)), mean, atol=1e-4)


def test_take_keeps_trials_apart():
    vectors = torch.arange(12.0).view(2, 3, 2)
    assert take(vectors, torch.tensor([[2], [0]])).tolist() == [[[4, 5]], [[6, 7]]]


def test_cosine_search_takes_the_nearest_direction_and_decodes_the_codeword():
    quantizer, state = fitted(search="cosine")
    code = quantizer.quantize(state, LATENTS)
    similarity = torch.cosine_similarity(LATENTS.unsqueeze(2), state["codewords"].unsqueeze(1), dim=-1)
    assert torch.equal(code.indices.squeeze(-1), similarity.argmax(-1))
    assert torch.equal(code.values, take(state["codewords"], code.indices.squeeze(-1)))
    assert torch.equal(quantizer.quantize(state, 7 * LATENTS).indices, code.indices)


def test_projection_quantizes_fewer_dimensions():
    quantizer = VectorQuantizer(codes=16, projection=2)
    state = quantizer.init(Streams([0, 1]), 3)
    quantizer.fit(state, LATENTS, Streams([0, 1]))
    inner = quantizer.prepare(state, LATENTS)
    assert inner.shape == (2, 400, 2)
    assert torch.allclose(inner, LATENTS @ state["inwards"] + state["inwards_bias"], atol=1e-5)
    assert torch.cdist(state["codewords"][0], inner[0]).amin(1).max() < 1e-3  # taken from projected latents
    assert quantizer.restore(state, quantizer.quantize(state, inner).values).shape == LATENTS.shape


def test_affine_moves_codes_that_are_not_in_use():
    quantizer, state = fitted(affine=True, affine_lr=10.0)
    assert torch.equal(quantizer.codebook(state), state["codewords"])  # scale 1, shift 0 at first
    target = torch.full((2, 5, 3), 2.0)
    code = quantizer.quantize(state, target)
    (by_shift,) = torch.autograd.grad(code.values.sum(), state["affine_shift"])
    assert torch.all(by_shift == 50)  # 5 frames, learning rate 10: every step moves the whole codebook
    with torch.no_grad():
        state["affine_shift"] -= 0.1
    assert torch.allclose(quantizer.codebook(state), state["codewords"] - 1)


def test_restarts_of_an_affine_codebook_land_on_latents():
    quantizer, state = fitted(affine=True, restart=0.1, restart_every=1)
    with torch.no_grad():
        state["affine_scale"] += 0.05
        state["affine_shift"] += 0.02
        state["usage"].zero_()
    quantizer.update(state, [(LATENTS, quantizer.quantize(state, LATENTS))], Streams([0, 1]), 1)
    assert torch.cdist(quantizer.codebook(state)[0], LATENTS[0]).amin(1).max() < 1e-3


def test_simvq_moves_all_codewords_at_once():
    quantizer = SimVQ(codes=16)
    state = quantizer.init(Streams([0, 1]), 3)
    before = quantizer.codebook(state).detach()
    assert state["codewords"].std().item() == pytest.approx(3**-0.5, rel=0.15)
    loss = quantizer.loss(state, LATENTS, quantizer.quantize(state, LATENTS), Moment(0.0, STREAMS))
    (gradient,) = torch.autograd.grad(loss.sum(), state["map"])
    with torch.no_grad():
        state["map"] -= gradient
    assert torch.all((quantizer.codebook(state) - before).abs().sum(-1) > 0)
    assert not state["codewords"].requires_grad


def test_a_codebook_of_means_lies_about_the_centre():
    """SF-DiVeQ's start: each codeword the mean of an equal share of the first latents, in their order."""
    _, state = fitted(init_by="means")
    share = LATENTS.shape[1] // 16
    assert torch.allclose(state["codewords"][1, 3], LATENTS[1, 3 * share : 4 * share].mean(0), atol=1e-6)


def test_search_by_inner_product():
    quantizer, state = fitted(search="dot")
    products = LATENTS @ state["codewords"].transpose(1, 2)
    code = quantizer.quantize(state, LATENTS)
    assert torch.equal(code.indices.squeeze(-1), products.argmax(-1))
    assert torch.equal(code.values, take(state["codewords"], code.indices.squeeze(-1)))
    logits = quantizer.logits(state, LATENTS, torch.full((2, 1, 1), 0.5))
    assert torch.allclose(logits, products / 0.5, atol=1e-5)

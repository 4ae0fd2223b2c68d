import pytest
import torch

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.gradients import STE, Moment
from quantbench.quantizers import Residual, Uniform, VectorQuantizer
from quantbench.streams import Streams
from tests.conformance.helpers import Passing

STREAMS = Streams([0, 1])
LATENTS = STREAMS.normal("x", 400, 3)
MOMENT = Moment(0.0, STREAMS)


def fitted(shared=False, dropout=0.0, **settings):
    quantizer = joined([Residual(VectorQuantizer(codes=8, **settings), 3, shared, dropout=dropout)] * 2)
    state = quantizer.init(Streams([0, 1]), 3)
    quantizer.fit(state, LATENTS, Streams([0, 1]))
    return quantizer, state


def test_every_stage_lowers_the_error():
    quantizer, state = fitted()
    errors = []
    for stages in (1, 2, 3):
        code = Residual(VectorQuantizer(codes=8), stages).quantize(state, LATENTS)
        errors.append((code.values - LATENTS).square().mean().item())
        assert code.indices.shape == (2, 400, stages)
    assert errors[0] > errors[1] > errors[2]
    assert quantizer.alphabet(3) == [8, 8, 8]


def test_code_can_be_decoded_from_its_indices():
    quantizer, state = fitted()
    code = quantizer.quantize(state, LATENTS)
    for trial in range(2):
        decoded = sum(state[f"{i}.codewords"][trial][code.indices[trial, :, i]] for i in range(3))
        assert torch.allclose(decoded, code.values[trial], atol=1e-6)


def test_one_stage_is_vq():
    residual, plain = Residual(VectorQuantizer(codes=8), 1), VectorQuantizer(codes=8)
    state = plain.init(Streams([0]), 3)
    one = residual.quantize({f"0.{name}": value for name, value in state.items()}, LATENTS[:1])
    assert torch.equal(one.values, plain.quantize(state, LATENTS[:1]).values)


def test_ste_over_all_stages_is_one_ste():
    """Stages see the latent less what was passed on, so that the Jacobian of the sum is the identity, not 3 times it."""
    quantizer, state = fitted()
    latents = LATENTS.clone().requires_grad_()

    def pass_through(*arguments):
        return STE().pass_through(*arguments, Moment(0.0, STREAMS))

    passed = quantizer.forward(state, latents, pass_through, MOMENT)
    assert torch.allclose(passed.received, quantizer.quantize(state, LATENTS).values, atol=1e-5)
    weights = torch.randn_like(latents)
    (gradient,) = torch.autograd.grad((passed.received * weights).sum(), latents)
    assert torch.allclose(gradient, weights, atol=1e-6)
    assert len(passed.trace) == 3


def test_commitment_of_every_stage_reaches_the_latents():
    quantizer, state = fitted(commitment=1.0, codebook_weight=0.0)
    latents = LATENTS.clone().requires_grad_()

    def pass_through(*arguments):
        return STE().pass_through(*arguments, Moment(0.0, STREAMS))

    passed = quantizer.forward(state, latents, pass_through, MOMENT)
    (gradient,) = torch.autograd.grad(passed.loss.sum(), latents)
    expected = torch.zeros_like(LATENTS)
    residual = LATENTS
    for own in quantizer._own(state):
        residual = residual - quantizer.stage.quantize(own, residual).values.detach()
        expected += 2 * residual / residual[0].numel()
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_later_stages_train_on_what_the_hard_codes_leave_over():
    quantizer, state = fitted()

    def pass_through(quantizer, state, latents, code):
        return latents + 100  # a surrogate far from the code

    passed = quantizer.forward(state, LATENTS, pass_through, MOMENT)
    code = quantizer.quantize(state, LATENTS)
    assert torch.equal(passed.code.indices, code.indices)
    first = quantizer.stage.quantize(quantizer._own(state)[0], LATENTS).values
    assert torch.allclose(passed.trace[1][0], LATENTS - first, atol=1e-6)


def test_ema_updates_every_stage():
    quantizer, state = fitted(update_by="ema", decay=0.5)
    before = {name: value.clone() for name, value in state.items()}

    def pass_through(*arguments):
        return STE().pass_through(*arguments, Moment(0.0, STREAMS))

    with torch.no_grad():
        passed = quantizer.forward(state, LATENTS, pass_through, MOMENT)
        quantizer.update(state, passed.trace, STREAMS, 1)
    assert all(not torch.equal(before[f"{i}.codewords"], state[f"{i}.codewords"]) for i in range(3))


def test_shared_stages_have_one_codebook():
    quantizer, state = fitted(shared=True, update_by="ema", decay=0.0)
    assert {name.partition(".")[0] for name in state} == {"0"}
    passed = quantizer.forward(state, LATENTS, lambda q, s, latents, code: latents, MOMENT)
    quantizer.update(state, passed.trace, STREAMS, 1)
    every = torch.cat([latents[0] for latents, _ in passed.trace])
    index = torch.cat([code.indices[0, :, 0] for _, code in passed.trace])
    for code in index.unique():
        assert torch.allclose(state["0.codewords"][0, code], every[index == code].mean(0), atol=1e-5)


def test_dropout_codes_frames_with_a_random_prefix_of_the_stages():
    quantizer, state = fitted(dropout=1.0)

    def hard(quantizer, state, latents, code):
        return code.values

    passed = quantizer.forward(state, LATENTS, Passing(hard), MOMENT)
    stages = torch.stack([code.values for _, code in passed.trace]).cumsum(0)
    matches = torch.stack([torch.isclose(passed.received, part, atol=1e-5).all(-1) for part in stages])
    assert torch.all(matches.any(0))
    assert torch.allclose(matches.float().mean((1, 2)), torch.full((3,), 1 / 3), atol=0.06)
    evaluated = quantizer.forward(state, LATENTS, Passing(hard), Moment(1.0, STREAMS, training=False))
    assert torch.allclose(evaluated.received, quantizer.quantize(state, LATENTS).values, atol=1e-5)


def test_dropout_is_item_by_item_and_masks_the_losses():
    """As in DAC's code: the first share of the items, one number each; no loss of stages that are not used."""
    quantizer, state = fitted(dropout=0.5, commitment=1.0, codebook_weight=0.0)
    frames, item = LATENTS.shape[1], 10
    moment = Moment(0.5, Streams([0, 1]), item=item)
    used = torch.full((2, frames, 1), 3)
    drawn = Streams([0, 1]).integers("stages", 3, frames // item, 1) + 1
    half = frames // item // 2
    used[:, : half * item] = drawn[:, :half].repeat_interleave(item, dim=1)
    passed = quantizer.forward(state, LATENTS, Passing(lambda q, s, latents, code: code.values), moment)
    values = torch.stack([code.values for _, code in passed.trace])
    expected = sum(value * (used > number) for number, value in enumerate(values))
    assert torch.allclose(passed.received, expected, atol=1e-5)
    loss, rest = 0.0, LATENTS
    for number, value in enumerate(values):
        loss = loss + ((used > number) * (rest - value).square()).mean((1, 2))
        rest = rest - value
    assert torch.allclose(passed.loss, loss, rtol=1e-4)


def test_dropout_within_a_stage_is_refused():
    inner = Residual(VectorQuantizer(codes=8), 2, dropout=0.5)
    with pytest.raises(ConfigError, match=r"quantizer\.stage\.dropout=0\.5: must be 0"):
        Residual(inner, 2).check()


def test_beam_search():
    """A beam of all codes is an exhaustive search; the least error of all sums, which the greedy search misses."""
    quantizer, state = fitted()
    beam = joined([Residual(VectorQuantizer(codes=8), 3, beam=64 // 8)] * 2)
    books = [state[f"{i}.codewords"] for i in range(3)]
    pairs = (books[0].unsqueeze(2) + books[1].unsqueeze(1)).flatten(1, 2)
    sums = (pairs.unsqueeze(2) + books[2].unsqueeze(1)).flatten(1, 2)
    least = torch.cdist(LATENTS, sums, compute_mode="donot_use_mm_for_euclid_dist").amin(-1).square()
    two = joined([Residual(VectorQuantizer(codes=8), 2, beam=8)] * 2)
    error = (two.quantize(state, LATENTS).values - LATENTS).square().sum(-1)
    least_of_two = torch.cdist(LATENTS, pairs, compute_mode="donot_use_mm_for_euclid_dist").amin(-1).square()
    assert torch.allclose(error, least_of_two, atol=1e-5)
    found = beam.quantize(state, LATENTS)
    error, greedy = ((one.values - LATENTS).square().sum(-1) for one in (found, quantizer.quantize(state, LATENTS)))
    assert float((error <= greedy + 1e-6).float().mean()) > 0.98  # a greedy path can fall out of a beam of 8 of 64
    assert torch.all(error >= least - 1e-5)
    assert error.mean() < 0.95 * greedy.mean()
    assert torch.allclose(beam.decode(state, found.indices), found.values)


def test_a_beam_needs_codebooks():
    with pytest.raises(ConfigError, match=r"quantizer\.beam=2: needs stages with a codebook"):
        Residual(Uniform(), 2, beam=2).check()


def test_projections_of_every_stage():
    quantizer, state = fitted(projection=2)
    code = quantizer.quantize(state, LATENTS)
    assert code.values.shape == LATENTS.shape
    assert torch.allclose(quantizer.decode(state, code.indices), code.values, atol=1e-5)

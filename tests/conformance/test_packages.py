"""Against vector-quantize-pytorch: the same weights and inputs give the same codes and gradients; deviations are stated."""

import pytest
import torch
import vector_quantize_pytorch as vqp
from vector_quantize_pytorch.vector_quantize_pytorch import directional_reparam, rotate_to

from quantbench import gradients as G
from quantbench.gradients import STE, Moment
from quantbench.quantizers import (
    BSQ,
    CDF,
    FSQ,
    LFQ,
    External,
    Residual,
    SimVQ,
    Uniform,
    VectorQuantizer,
)
from quantbench.streams import Streams
from tests.conformance import checks
from tests.conformance.helpers import received

STREAMS = Streams([0])
Y = torch.randn(1, 200, 4, generator=torch.Generator().manual_seed(0))
CODEBOOK = torch.randn(1, 16, 4, generator=torch.Generator().manual_seed(1))
WEIGHTS = torch.randn(1, 200, 4, generator=torch.Generator().manual_seed(2))
STATE = {"codewords": CODEBOOK}


def leaf():
    return Y.clone().requires_grad_()


def through(module, y):
    """What a module returns in training, and the gradient of a weighted sum of its output."""
    result = module.train()(y)
    return result, torch.autograd.grad((result[0] * WEIGHTS).sum(), y, retain_graph=True)[0]


def ours(quantizer, state, gradient, y):
    """The same for a quantizer of this project with a strategy."""

    def pass_through(quantizer, state, latents, code):
        return gradient.pass_through(quantizer, state, latents, code, Moment(0.5, Streams([0])))

    passed = quantizer.forward(state, quantizer.prepare(state, y), pass_through, Moment(0.5, Streams([0])))
    restored = quantizer.restore(state, passed.received)
    return passed, restored, torch.autograd.grad((restored * WEIGHTS).sum(), y, retain_graph=True)[0]


def their_vq(**settings):
    module = vqp.VectorQuantize(dim=4, codebook_size=16, decay=1.0, **settings)
    module._codebook.embed.data.copy_(CODEBOOK)
    module._codebook.embed_avg.data.copy_(CODEBOOK)
    return module


@checks("vq", "ste", "vqp_vq")
def test_vq_with_ste():
    """vector-quantize-pytorch, VectorQuantize(rotation_trick=False): codes, gradient and commitment loss."""
    y = leaf()
    (out, index, loss), gradient = through(their_vq(rotation_trick=False, ema_update=False), y)
    passed, restored, found = ours(VectorQuantizer(codes=16, commitment=1.0, codebook_weight=0.0), STATE, STE(), y)
    assert torch.equal(index, passed.code.indices[..., 0])
    assert torch.allclose(out, restored, atol=1e-6)
    assert torch.allclose(gradient, found, atol=1e-6)
    assert loss.item() == pytest.approx(passed.loss.item(), rel=1e-5)


@checks("rotation", "vqp_rotation")
def test_rotation_trick():
    """vector-quantize-pytorch, rotate_to: value and gradient; its VectorQuantize uses it unless told otherwise."""
    y = leaf()
    code = VectorQuantizer(codes=16).quantize(STATE, y)
    theirs = rotate_to(y, code.values)
    mine = received(G.RotationTrick(), VectorQuantizer(codes=16), STATE, y, code)
    assert torch.allclose(theirs, mine, atol=1e-5)
    pair = [torch.autograd.grad((one * WEIGHTS).sum(), y)[0] for one in (theirs, mine)]
    assert torch.allclose(*pair, atol=1e-5)
    assert vqp.VectorQuantize(dim=4, codebook_size=16).rotation_trick


@checks("diveq", "vqp_diveq")
def test_diveq():
    """vector-quantize-pytorch, directional_reparam: gradients by latent and codeword (its noise is 70 times the authors')."""
    y, c = leaf(), VectorQuantizer(codes=16).quantize(STATE, Y).values.clone().requires_grad_()
    theirs = directional_reparam(y, c, noise_variance=1e-12)
    from quantbench.quantizers import Code

    mine = received(G.DiVeQ(noise=1e-6), VectorQuantizer(codes=16), STATE, y, Code(c, None))
    for a, b in zip(*[torch.autograd.grad((one * WEIGHTS).sum(), [y, c]) for one in (theirs, mine)], strict=True):
        assert torch.allclose(a, b, atol=1e-3)
    assert their_vq(directional_reparam=True, threshold_ema_dead_code=2).directional_reparam_variance ** 0.5 > 70 * 1e-3


@checks("synchronised")
def test_synchronised_deviates():
    """Deviation of vector-quantize-pytorch: sync_update_v scales the encoder's gradient and gives the codebook none."""
    module = vqp.VectorQuantize(
        dim=4, codebook_size=16, rotation_trick=False, learnable_codebook=True, ema_update=False, sync_update_v=0.2
    )
    y = leaf()
    out = module.train()(y)[0]
    by_latent, by_codebook = torch.autograd.grad((out * WEIGHTS).sum(), [y, module._codebook.embed], allow_unused=True)
    assert torch.allclose(by_latent, 1.2 * WEIGHTS, atol=1e-5)
    assert by_codebook is None


def test_cosine_search():
    """vector-quantize-pytorch, use_cosine_sim: the same indices; its codes have unit length, ours do not (as in DAC)."""
    module = vqp.VectorQuantize(dim=4, codebook_size=16, use_cosine_sim=True)
    module._codebook.embed.data.copy_(torch.nn.functional.normalize(CODEBOOK, dim=-1))
    index = module.eval()(Y)[1]
    code = VectorQuantizer(codes=16, search="cosine").quantize(STATE, Y)
    assert torch.equal(index, code.indices[..., 0])


@checks("fsq", "vqp_fsq")
def test_fsq():
    """vector-quantize-pytorch, FSQ: codes, packed indices and gradients for odd and even numbers of levels."""
    levels = (8, 5, 4, 3)
    y = leaf()
    (out, index), gradient = through(vqp.FSQ(levels=list(levels)), y)
    passed, restored, found = ours(FSQ(levels=levels, shift="artanh"), {}, STE(), y)
    assert torch.allclose(out, restored, atol=1e-6)
    assert torch.allclose(gradient, found, atol=1e-5)
    packed = (passed.code.indices * torch.tensor([1, 8, 40, 160])).sum(-1)
    assert torch.equal(index.long(), packed)


@checks("cdf", "fsp", "vqp_fsp")
def test_fsp():
    """vector-quantize-pytorch, FSP(act_name='normal'): codes at test time, and the loss on moments."""
    module = vqp.FSP(levels=[5, 5, 5, 5], act_name="normal", vector_norm="var")
    out, _, loss, _ = module.eval()(Y)
    quantizer = CDF(levels=5, commitment=0.0)
    prepared = quantizer.prepare({}, Y)
    code = quantizer.quantize({}, prepared)
    assert torch.allclose(out, quantizer.restore({}, code.values), atol=1e-5)
    found = quantizer.loss({}, prepared, code, Moment(0.5, STREAMS))
    assert found.item() == pytest.approx(loss.item(), rel=0.05)  # its variance has n - 1 below, over all frames


@checks("lfq", "vqp_lfq")
def test_lfq():
    """vector-quantize-pytorch, LFQ: codes, gradient, and both entropy terms."""
    module = vqp.LFQ(codebook_size=16, dim=4)
    y = 0.05 * Y
    result = module.train()(y, inv_temperature=10.0)
    quantizer = LFQ(commitment=0.0, entropy_weight=0.1, sharpness=10.0)
    code = quantizer.quantize({}, y)
    assert torch.allclose(result.quantized, code.values)
    packed = (code.indices * torch.tensor([8, 4, 2, 1])).sum(-1)
    assert torch.equal(result.indices.long(), packed)
    loss = quantizer.loss({}, y, code, Moment(0.5, STREAMS))
    assert loss.item() == pytest.approx(result.entropy_aux_loss.item(), rel=1e-3)


@checks("bsq")
def test_bsq():
    """vector-quantize-pytorch, LFQ(spherical=True): codes."""
    result = vqp.LFQ(codebook_size=16, dim=4, spherical=True).eval()(Y)
    quantizer = BSQ()
    assert torch.allclose(result.quantized, quantizer.quantize({}, quantizer.prepare({}, Y)).values, atol=1e-6)


@checks("simvq", "vqp_simvq")
@pytest.mark.parametrize("rotation", [False, True])
def test_simvq(rotation):
    """vector-quantize-pytorch, SimVQ: codes, gradient and loss, with STE and with the rotation trick (its default)."""
    module = vqp.SimVQ(dim=4, codebook_size=16, rotation_trick=rotation)
    state = {"codewords": module.frozen_codebook.unsqueeze(0), "map": module.code_transform.weight.detach().T.unsqueeze(0)}
    y = leaf()
    (out, index, loss), gradient = through(module, y)
    strategy = G.RotationTrick() if rotation else STE()
    passed, restored, found = ours(SimVQ(codes=16, bias=False), state, strategy, y)
    assert torch.equal(index, passed.code.indices[..., 0])
    assert torch.allclose(out, restored, atol=1e-5)
    assert torch.allclose(gradient, found, atol=1e-5)
    assert loss.item() == pytest.approx(passed.loss.item(), rel=1e-4)


def their_rvq(**settings):
    module = vqp.ResidualVQ(dim=4, codebook_size=16, num_quantizers=3, decay=1.0, rotation_trick=False, **settings)
    for i, layer in enumerate(module.layers):
        layer._codebook.embed.data.copy_(CODEBOOK / 2**i)
    return module


RVQ_STATE = {f"{i}.codewords": CODEBOOK / 2**i for i in range(3)}


@checks("rvq", "vqp_rvq")
def test_rvq():
    """vector-quantize-pytorch, ResidualVQ(quant_grad_frac=1): codes and gradient; its default counts every stage."""
    y = leaf()
    (out, index, losses), gradient = through(their_rvq(quant_grad_frac=1.0), y)
    quantizer = Residual(VectorQuantizer(codes=16, commitment=1.0, codebook_weight=0.0), 3)
    passed, restored, found = ours(quantizer, RVQ_STATE, STE(), y)
    assert torch.equal(index, passed.code.indices)
    assert torch.allclose(out, restored, atol=1e-5)
    assert torch.allclose(gradient, found, atol=1e-5)
    assert losses.sum().item() == pytest.approx(passed.loss.item(), rel=1e-4)
    assert torch.allclose(through(their_rvq(), y)[1], 3 * found, atol=1e-5)


@checks("rfsq", "vqp_rfsq")
@pytest.mark.parametrize("levels", [3, 4, 5])
def test_rfsq(levels):
    """vector-quantize-pytorch, ResidualFSQ: codes; its gradient counts every stage that does not clamp, ours the sum once."""
    y = leaf()
    (out, _), gradient = through(vqp.ResidualFSQ(levels=[levels] * 4, num_quantizers=3), y)
    passed, restored, found = ours(Residual(Uniform(levels=levels, bound="tanh"), 3), {}, STE(), y)
    close = torch.isclose(out, restored, atol=1e-5).all(-1)
    assert close.float().mean() > 0.98  # values that rounding puts on the other side of a threshold
    assert passed.code.indices.shape[-1] == 12
    times = gradient / found
    assert torch.allclose(times, times.round(), atol=1e-2)
    assert times.min() > -0.1
    assert 2.5 < times.max() < 3.5


@checks("rlfq")
def test_rlfq():
    """vector-quantize-pytorch, ResidualLFQ: codes."""
    out = vqp.ResidualLFQ(dim=4, codebook_size=16, num_quantizers=3).eval()(Y)[0]
    assert torch.allclose(out, Residual(LFQ(), 3).quantize({}, Y).values, atol=1e-6)


@checks("external", "own")
def test_external():
    """A module trained through the stack is the same module trained by itself: output, gradients, buffers after 5 steps."""
    arguments = {"dim": 4, "codebook_size": 16, "rotation_trick": False}
    quantizer = External(module="vector_quantize_pytorch.VectorQuantize", arguments=arguments, slots=(16,))
    state = quantizer.init(Streams([5, 6]), 4)
    alone = vqp.VectorQuantize(**arguments).train()
    with torch.no_grad():
        for name, tensor in [*alone.named_parameters(), *alone.named_buffers()]:
            tensor.copy_(state[name][1])
    for step in range(5):
        both = torch.randn(2, 64, 4, generator=torch.Generator().manual_seed(step)).requires_grad_()
        single = both.detach()[1:].clone().requires_grad_()
        passed = quantizer.forward(state, both, None, Moment(0.5, Streams([5, 6])))
        out, index, loss = alone(single)
        assert torch.equal(passed.code.indices[1, :, 0], index[0])
        pair = [
            torch.autograd.grad((value.square()).sum() + total, latents)[0]
            for value, total, latents in [(passed.received, passed.loss.sum(), both), (out, loss.sum(), single)]
        ]
        assert torch.allclose(pair[0][1:], pair[1], atol=1e-6)
    for name, tensor in alone.named_buffers():
        assert torch.equal(state[name][1], tensor), name
    looked = {name: tensor.clone() for name, tensor in state.items()}
    quantizer.forward(state, torch.randn(2, 64, 4), None, Moment(1.0, Streams([5, 6]), training=False))
    assert all(torch.equal(looked[name], state[name]) for name in state)  # evaluation leaves the module as it is


def test_external_names_what_is_wrong():
    from quantbench.errors import ConfigError

    with pytest.raises(ConfigError, match=r"quantizer\.module=nowhere\.Thing: cannot be imported .*a file of your own"):
        External(module="nowhere.Thing").check_dim(4)
    with pytest.raises(ConfigError, match=r"quantizer\.arguments=.*refuses"):
        External(arguments={"nothing": 1}).check_dim(4)
    with pytest.raises(ConfigError, match=r"quantizer\.slots=\[16, 16\]"):
        External(arguments={"dim": 4, "codebook_size": 16}, slots=(16, 16)).check_dim(4)
    with pytest.raises(ConfigError, match=r"fails on latents"):
        External(arguments={"dim": 6, "codebook_size": 16}, slots=(16,)).check_dim(4)

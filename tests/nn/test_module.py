"""A bottleneck behaves as a module of PyTorch."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import multiprocessing, nn

from quantbench.errors import ConfigError, QuantBenchError
from quantbench.gradients import MSTE
from quantbench.nn import Bottleneck
from quantbench.nn.random import TorchStreams
from quantbench.quantizers import FSQ, VectorQuantizer
from quantbench.streams import Streams

torch.set_num_threads(1)


def latents(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ema(**settings):
    """Draws no random numbers at its first step."""
    torch.manual_seed(0)
    own = {"update_by": "ema", "restart": 0.5, "restart_every": 2, "init_by": "normal"}
    return Bottleneck("vq", dim=4, codes=16, **own, **settings)


def test_settings_are_those_of_the_command_line():
    one = Bottleneck("rvq", gradient="mste", dim=8, stages=3, codes=32)
    assert (one.quantizer.stages, one.quantizer.stage.codes, one.alphabet) == (3, 32, [32] * 3)
    assert isinstance(one.gradient, MSTE)
    two = Bottleneck("residual", dim=4, stage="fsq", levels=3, **{"quantizer.stages": 2})
    assert isinstance(two.quantizer.stage, FSQ)
    assert two.alphabet == [3] * 8
    assert Bottleneck(VectorQuantizer(codes=8), MSTE(), dim=4).alphabet == [8]
    assert Bottleneck("vq", "rotation", dim=4).quantizer.update_by == "gradient"
    assert Bottleneck("vq", "rotation", dim=4, recommended=True).quantizer.update_by == "ema"
    assert Bottleneck("vq", "rotation", dim=4, recommended=True, decay=0.5).quantizer.decay == 0.5
    assert Bottleneck("vq", "warm_up", dim=4, then="nsvq", share=0.1).gradient.share == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantizer": "vqq"}, "no such choice.*vq"),
        ({"code": 4}, "code=4: unknown setting.*codes"),
        ({"codes": 1}, "quantizer.codes=1: must be at least 2"),
        ({"gradient": "dsq"}, "DSQ does not fit quantizer=VectorQuantizer: .*grid"),
        ({"quantizer": "vqp_vq"}, "module of another package"),
        ({"quantizer": "fsq", "levels": "many"}, "levels='many'"),
        ({"quantizer": "product", "dim": 5}, "groups"),
        ({"quantizer": 3}, "quantizer=3: must be the name of a choice"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    if arguments.get("quantizer") == "vqp_vq":
        pytest.importorskip("vector_quantize_pytorch")
    with pytest.raises(ConfigError, match=message):
        Bottleneck(**{"dim": 4} | arguments)


def test_shapes_codes_and_their_values():
    x = latents(3, 5, 7, 4)
    one = Bottleneck("rvq", dim=4, codes=16)
    quantized, indices, loss = one(x)
    assert (quantized.shape, indices.shape, loss.shape) == (x.shape, (3, 5, 7, 2), ())
    one.eval()
    quantized, indices, loss = one(x)
    assert torch.equal(one.encode(x), indices)
    assert torch.allclose(one.decode(indices), quantized)
    assert loss == 0
    assert not quantized.requires_grad
    first = copy.deepcopy(one)
    first.channel_first = True
    moved, codes, _ = first(x.movedim(-1, 1))
    assert torch.equal(moved.movedim(1, -1), quantized)
    assert torch.equal(codes, indices)
    assert torch.allclose(first.decode(codes), moved)
    assert Bottleneck("vq", dim=4)(x)[1].shape == (3, 5, 7)
    for wrong in (latents(4), latents(3, 5), latents(3, 4, 5)):
        with pytest.raises(ConfigError, match="must have the shape"):
            one(wrong)
    with pytest.raises(ConfigError, match="must have 2 slots"):
        one.decode(indices[..., 0])


def test_what_a_mask_leaves_out_changes_nothing():
    x = latents(2, 12, 4)
    mask = torch.arange(12) < torch.tensor([[12], [7]])
    one, other = ema(), ema()
    wild = torch.where(mask.unsqueeze(-1), x, torch.nan)
    quantized, indices, loss = one(wild.requires_grad_(), mask=mask)
    kept, codes, same = other(x[mask])
    assert torch.equal(quantized[mask], kept)
    assert torch.equal(indices[mask], codes)
    assert torch.equal(loss, same)
    assert (quantized[~mask] == 0).all()
    assert (indices[~mask] == -1).all()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    (quantized.sum() + loss).backward()
    assert wild.grad[mask].isfinite().all()
    assert (wild.grad[~mask] == 0).all()
    assert (one.eval().decode(indices)[~mask] == 0).all()
    nothing = one.train()(x, mask=torch.zeros_like(mask))
    assert (nothing[0] == 0).all()
    with pytest.raises(ConfigError, match="mask of shape"):
        one(x, mask=mask[0])


def test_the_first_batch_starts_the_codebook_even_where_it_is_small():
    x = 5 + latents(10, 4)
    one = Bottleneck("vq", dim=4, codes=64)
    one(x)
    codewords = one.tensors.state()["codewords"][0]
    assert torch.cdist(codewords, x).amin(1).max() < 0.3
    assert len(codewords.unique(dim=0)) == 64
    before = codewords.clone()
    one(x + 9)
    assert torch.equal(one.tensors.state()["codewords"][0], before)


def test_moving_averages_follow_in_training_alone():
    one, x = ema(), latents(64, 4)
    one(x)
    before = one.state_dict()["tensors.codewords"].clone()
    one.eval()(x + 1)
    assert torch.equal(before, one.state_dict()["tensors.codewords"])
    one.train()(x + 1)
    assert not torch.equal(before, one.state_dict()["tensors.codewords"])


def test_a_state_dict_goes_on_where_it_was():
    one, x = ema(gradient="noise_ste_mix"), latents(64, 4)
    for step in (1, 2, 3):
        one.at(step, of=10)
        one(x)
    other = ema(gradient="noise_ste_mix")
    other.load_state_dict(pickle.loads(pickle.dumps(one.state_dict())))
    for bottleneck in (one, other, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        torch.manual_seed(1)
        found = bottleneck(2 * x), bottleneck(2 * x), bottleneck.state_dict()
        if bottleneck is one:
            expected = found
        assert torch.equal(found[1][0], expected[1][0])
        assert all(torch.equal(a, b) for a, b in zip(found[2].values(), expected[2].values(), strict=True))
    assert not torch.equal(one(x)[0], one(x)[0])  # other random numbers, from PyTorch's own generator


def test_schedules_ask_how_far_the_training_is():
    one = Bottleneck("vq", "soft_to_hard", dim=4, codes=8)
    assert Bottleneck("vq", "mste", dim=4)(latents(9, 4))
    with pytest.raises(QuantBenchError, match=r"bottleneck.at\(step, of=total\)"):
        one(latents(9, 4))
    one.at(5, of=5)
    one(latents(9, 4))
    with pytest.raises(ConfigError, match="between 1 and of=5"):
        one.at(6, of=5)


def test_what_else_a_strategy_needs_is_asked_for():
    one = Bottleneck("vq", "score_function", dim=4, codes=8)
    one.at(1, of=2)
    with pytest.raises(QuantBenchError, match="frame_loss"):
        one(latents(9, 4))
    quantized, _, _ = one(latents(2, 9, 4), frame_loss=lambda values: values.square().sum(-1))
    assert quantized.shape == (2, 9, 4)
    two = Bottleneck("vq", "vp_small", dim=4, codes=8)
    with pytest.raises(ConfigError, match="needs 2"):
        two(latents(1, 4))
    two(latents(64, 4))
    with pytest.raises(QuantBenchError, match=r"call bottleneck.fit\(latents\)"):
        two.eval()(latents(64, 4))
    two.fit(latents(2048, 4))
    quantized, _, _ = two(latents(64, 4))
    assert (quantized - latents(64, 4)).square().mean() < 0.6


def test_low_precision_around_it_changes_no_codebook():
    x = latents(64, 4)
    one = ema()
    plain = copy.deepcopy(one)(x.bfloat16().float())
    low = copy.deepcopy(one).bfloat16()
    assert low.tensors.state()["codewords"].dtype == torch.float32
    quantized, indices, loss = low(x.bfloat16())
    assert (quantized.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(indices, plain[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(one(x.bfloat16().float())[0], plain[0])
    assert one.double().tensors.state()["counts"].dtype == torch.float32


def test_it_compiles_with_a_break_of_the_graph():
    model = nn.Sequential(nn.Linear(4, 4), ema())
    other = copy.deepcopy(model)
    x = latents(64, 4)
    found = torch.compile(model, backend="eager")(x)
    expected = other(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    (found[0].sum() + found[2]).backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_it_trains_with_an_optimizer():
    torch.manual_seed(0)
    x = latents(256, 4)
    model = nn.ModuleList([nn.Linear(4, 4), Bottleneck("rvq", "rotation", dim=4, codes=16), nn.Linear(4, 4)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        quantized, _, loss = model[1](model[0](x))
        error = (model[2](quantized) - x).square().mean()
        optimizer.zero_grad()
        (error + loss).backward()
        optimizer.step()
        losses.append(float(error.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_random_numbers_are_what_streams_have_and_of_the_global_generator():
    theirs, ours = Streams((0,)), TorchStreams(torch.device("cpu"))
    for draw in (
        lambda one: one.normal("p", 3, 2),
        lambda one: one.uniform("p", 3, 2),
        lambda one: one.integers("p", 7, 5),
        lambda one: one.permutations("p", 9),
        lambda one: one.rotations("p", 2, dim=3),
    ):
        torch.manual_seed(5)
        first = draw(ours)
        torch.manual_seed(5)
        assert torch.equal(first, draw(ours))
        assert not torch.equal(first, draw(ours))
        assert (first.shape, first.dtype) == (draw(theirs).shape, draw(theirs).dtype)
    public = {name for name in dir(Streams) if not name.startswith("_")} - {"state", "restore"}
    assert public <= set(dir(ours)) | {"device", "trials", "capturable"}


def _train(rank, world, folder):
    """Steps of several bottlenecks, with the rank's share of every batch; writes states of rank 0."""
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    found = []
    for settings in (
        {"update_by": "ema", "init_by": "kmeans"},
        {"update_by": "ema", "restart": 0.5, "restart_every": 2, "quantizer": "rvq"},
        {"restart": 2.0, "restart_by": "count", "restart_every": 1},
    ):
        torch.manual_seed(0)
        one = Bottleneck(**{"quantizer": "vq", "dim": 4, "codes": 8} | settings)
        wrapped = one
        if world > 1 and any(parameter.requires_grad for parameter in one.parameters()):
            wrapped = nn.parallel.DistributedDataParallel(one)
        for step in range(4):
            wrapped(latents(96, 4, seed=step).chunk(world)[rank])
        found.append(one.state_dict())
    torch.save(found, f"{folder}/{world}-{rank}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()


def test_two_ranks_change_what_one_process_does_with_the_whole_batch(tmp_path):
    multiprocessing.start_processes(_train, (2, str(tmp_path)), nprocs=2, start_method="fork")  # not all imported anew
    _train(0, 1, str(tmp_path))
    first, second, alone = (torch.load(tmp_path / f"{name}.pt") for name in ("2-0", "2-1", "1-0"))
    for one, other, whole in zip(first, second, alone, strict=True):
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name
            assert torch.equal(tensor, whole[name]), name


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = ema()
        one(latents(64, 4))
        one.eval()(latents(64, 4))

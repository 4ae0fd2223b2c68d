"""When a code counts as dead, and what takes its place: each rule against its source, written out."""

from __future__ import annotations

import pytest
import torch

from quantbench.components import joined
from quantbench.errors import ConfigError
from quantbench.quantizers import Code, VectorQuantizer
from quantbench.quantizers import restart as rules
from quantbench.streams import Streams

SEEDS = (3, 4, 5)
LATENTS = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))


def looked(hits, steps, **settings):
    """State before and after ``steps`` steps in which the codes ``hits(step)`` were used, of 8; both trials alike."""
    streams = Streams([0, 1])
    quantizer = joined([VectorQuantizer(codes=8, **settings)] * 2)
    state = quantizer.init(streams, 3)
    before = state["codewords"].detach().clone()
    for step in range(1, steps + 1):
        used = torch.tensor(hits(step))
        index = used[torch.arange(40) % len(used)].expand(2, 40)
        quantizer.update(state, [(LATENTS, Code(LATENTS, index.unsqueeze(-1)))], streams, step)
    return before, state["codewords"].detach()


def moved(before, after):
    return (before != after).any(-1)[0].nonzero().flatten().tolist()


def is_one_of(vectors, those, apart=1e-6):
    return torch.cdist(vectors, those, compute_mode="donot_use_mm_for_euclid_dist").amin(-1).max() < apart


def test_hits_copies_codewords_in_use():
    """Vali & Bäckström: after a period, codes hit in less than a share of its batches become copies of those hit in more."""

    def hits(step):
        return [0, 1, 2, 3] + ([4] if step <= 3 else []) + ([5] if step <= 1 else [])

    before, after = looked(hits, 20, restart=0.1, restart_by="hits", restart_every=20)
    assert moved(before, after) == [5, 6, 7]  # code 4 was hit in 3 of 20 steps
    assert is_one_of(after[0, [5, 6, 7]], before[0, :5])
    assert torch.equal(looked(hits, 19, restart=0.1, restart_by="hits", restart_every=20)[1], before)  # not before the look


def test_hits_copies_each_as_often_as_it_must():
    before, after = looked(lambda step: [0, 1], 10, restart=0.5, restart_by="hits", restart_every=10)
    copied = torch.cdist(after[0, 2:], before[0, :2]).argmin(-1).bincount(minlength=2)
    assert copied.tolist() == [3, 3]


def test_weighted_hits_copies_by_use():
    """DiVeQ: what takes the place of codes hit too rarely is drawn in proportion to the steps in which it was hit."""

    def hits(step):
        return [0, 1, 2, 3] + ([4] if step <= 3 else []) + ([5] if step <= 1 else [])

    before, after = looked(hits, 20, restart=0.1, restart_by="weighted_hits", restart_every=20)
    assert moved(before, after) == [5, 6, 7]
    assert is_one_of(after[0, [5, 6, 7]], before[0, :5])
    codes = 4000
    seen = torch.zeros(2, codes)
    seen[:, :3] = torch.tensor([20.0, 5, 1])
    codewords = torch.randn(2, codes, 3)
    copies = rules.from_used_codewords(codewords, seen, seen < 2, Streams([0, 1]))
    share = torch.cdist(copies, codewords[:, :3]).argmin(-1)[0].bincount(minlength=3) / codes
    assert share.tolist() == pytest.approx([0.8, 0.2, 0], abs=0.02)
    assert is_one_of(rules.from_used_codewords(codewords, 0 * seen, seen < 99, Streams([0, 1])), codewords)  # none is in use


def test_count_looks_at_latents_a_step():
    """EnCodec: a moving average of the latents a step below 2, at every step; a latent of the batch takes its place."""
    # 40 latents in turn over 7 codes at first, then 4: the averages of the others decay by 0.9 from 5 or 6.
    before, after = looked(
        lambda step: [0, 1, 2, 3, 4, 5, 6] if step == 1 else [0, 1, 2, 3],
        12,  # 6 * 0.9**11 = 1.88
        restart=2.0,
        restart_by="count",
        restart_every=1,
        decay=0.9,
    )
    assert moved(before, after) == [4, 5, 6, 7]
    assert is_one_of(after[0, [4, 5, 6, 7]], LATENTS[0])
    early = looked(
        lambda step: [0, 1, 2, 3, 4, 5, 6] if step == 1 else [0, 1, 2, 3],
        9,  # 5 * 0.9**8 = 2.15
        restart=2.0,
        restart_by="count",
        restart_every=1,
        decay=0.9,
    )
    assert moved(*early) == [7]


def test_idle_waits_for_its_time():
    """Huh et al.: a code that no batch hit for a time becomes a latent, with noise of a share of its length."""

    def hits(step):
        return [0, 1, 2, 3, 4] if step == 3 else [0, 1, 2, 3]

    before, after = looked(hits, 5, restart=0.01, restart_by="idle", restart_every=5)
    assert moved(before, after) == [5, 6, 7]
    assert not is_one_of(after[0, 5:], LATENTS[0])
    assert is_one_of(after[0, 5:], LATENTS[0], apart=0.2)
    before, after = looked(hits, 8, restart=0.01, restart_by="idle", restart_every=5)
    assert moved(before, after) == [4, 5, 6, 7]


def test_smoothing_draws_unused_codes_to_the_origin():
    """EnCodec and others: sums / ((n + eps) / (N + K eps) N); van den Oord et al.: sums / n, and those without latents stay."""
    kept = {}
    for smoothing in (0.0, 1e-5):
        quantizer = joined([VectorQuantizer(codes=8, update_by="ema", decay=0.5, smoothing=smoothing)] * 2)
        state = quantizer.init(Streams([0, 1]), 3)
        index = torch.zeros(2, 40, 1, dtype=torch.long)
        for step in range(1, 61):
            quantizer.update(state, [(LATENTS, Code(LATENTS, index))], Streams([0, 1]), step)
        kept[smoothing] = state["codewords"]
        if smoothing:
            counts, total = state["counts"], state["counts"].sum(1, keepdim=True)
            smooth = (counts + smoothing) / (total + 8 * smoothing) * total
            assert torch.allclose(state["codewords"], state["sums"] / smooth.unsqueeze(-1))
    assert torch.allclose(kept[0.0][:, 0], LATENTS.mean(1), atol=1e-6)
    assert kept[0.0][:, 1:].norm(dim=-1).min() > 0.1
    assert kept[1e-5][:, 1:].norm(dim=-1).max() < 1e-6


def test_a_threshold_beyond_its_units_is_refused():
    with pytest.raises(ConfigError, match=r"quantizer\.restart=2.0: must lie between 0 and 1"):
        VectorQuantizer(restart=2.0).check()
    VectorQuantizer(restart=2.0, restart_by="count").check()


def test_online_moves_codes_by_how_little_they_are_used():
    """CVQ-VAE: c + exp(-10 K p / 0.01 - 0.001) (nearest latent - c), p the moving average of the share, from 0."""
    before, after = looked(lambda step: [0, 1], 1, restart=1.0, restart_by="online")
    share = torch.tensor([0.5, 0.5] + [0.0] * 6) * 0.01
    weight = torch.exp(-10 * 8 * share / 0.01 - 1e-3).unsqueeze(1)
    nearest = torch.cdist(before[0], LATENTS[0], compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert torch.allclose(after[0], (1 - weight) * before[0] + weight * LATENTS[0, nearest], atol=1e-5)
    assert torch.equal(after[0, :2], before[0, :2])
    with pytest.raises(ConfigError, match=r"restart_by=online: needs quantizer\.update_by=gradient"):
        VectorQuantizer(restart=1.0, restart_by="online", update_by="ema").check()


RULES = {"usage": 1.0, "count": 2.0, "hits": 0.5, "weighted_hits": 0.5, "idle": 0.01, "online": 1.0}


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_trials_with_and_without_restarts_share_a_stack(rule, affine):
    """Each has, bit by bit, the codebook that it has alone; that of a trial without restarts is not touched."""
    shares = (0.0, RULES[rule], RULES[rule] / 2)
    ones = [
        VectorQuantizer(codes=8, restart=share, restart_by=rule, restart_every=3, decay=0.5, affine=affine, init_by=start)
        for share, start in zip(shares, ("data", "kmeans", "means"), strict=True)
    ]
    latents = torch.randn(3, 40, 3, generator=torch.Generator().manual_seed(1))
    index = torch.arange(40).remainder(4).expand(3, 40).unsqueeze(-1)

    def trained(places):
        streams, own = Streams([SEEDS[place] for place in places]), latents[places]
        quantizer = joined([ones[place] for place in places])
        state = quantizer.init(streams, 3)
        if affine:
            state["affine_scale"].data.add_(0.037)
        quantizer.fit(state, own, streams)
        before = state["codewords"].detach().clone()
        for step in range(1, 80):
            quantizer.update(state, [(own, Code(own, index[places]))], streams, step)
        return before, state["codewords"].detach(), "usage" in state

    starts, together, _ = trained([0, 1, 2])
    assert torch.equal(starts[0], together[0])
    assert not torch.equal(starts[1], together[1])
    for place in range(3):
        start, alone, counts = trained([place])
        assert torch.equal(start[0], starts[place])
        assert torch.equal(alone[0], together[place])
        assert counts is bool(shares[place])  # who restarts nothing counts nothing

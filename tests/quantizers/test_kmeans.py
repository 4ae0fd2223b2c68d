"""A codebook of means, as VP-VAE's code makes it."""

import torch

from quantbench.components import joined
from quantbench.quantizers import Residual, VectorQuantizer, by_means
from quantbench.quantizers.kmeans import kmeans, means, quantile, seeds
from quantbench.quantizers.search import draw, nearest
from quantbench.streams import Streams

CENTRES = 10 * torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).expand(2, 8, 3)
"""So few that none has less of the latents than the quantile leaves out."""


def clusters(each=20):
    return CENTRES.repeat(1, each, 1) + 0.01 * torch.randn(2, 8 * each, 3, generator=torch.Generator().manual_seed(2))


def test_every_cluster_has_its_mean():
    found = kmeans(clusters(), 8, nearest, Streams([0, 1]))
    expected = clusters().view(2, 20, 8, 3).mean(1)
    assert torch.cdist(expected, found).amin(-1).max() < 1e-3


def test_alike_alone_and_with_others():
    latents = torch.cat([clusters(), torch.randn(1, 160, 3)])
    together = kmeans(latents, 24, nearest, Streams([4, 5, 6]))
    for trial in range(3):
        alone = kmeans(latents[trial : trial + 1], 24, nearest, Streams([4 + trial]))
        assert torch.equal(alone[0], together[trial])


def test_codes_without_latents_halve_the_largest():
    counts, noise = torch.tensor([[5.0, 0, 9, 0, 1]]), torch.arange(1.0, 6).view(1, 5, 1)
    sums = counts.unsqueeze(-1) * torch.tensor([10.0, 0, 20, 0, 30]).view(1, 5, 1)
    # Code 1 goes with code 2, code 3 with code 0: each pair on both sides of the mean.
    assert means(counts, sums, noise).flatten().tolist() == [10 - 4, 20 + 2, 20 - 2, 10 + 4, 30]
    equal = torch.ones(1, 6, 2)  # more codes than values
    assert kmeans(equal, 4, nearest, Streams([0])).isfinite().all()


def test_quantile_is_that_of_torch_and_seeds_are_latents():
    values = torch.rand(3, 37)
    for share in (0.0, 0.5, 0.9, 1.0):
        assert torch.allclose(quantile(values, share), values.quantile(share, dim=1, keepdim=True))
    found = seeds(clusters(), 8, Streams([0, 1]))
    assert torch.cdist(found, clusters(), compute_mode="donot_use_mm_for_euclid_dist").amin(-1).max() == 0


def test_draws_are_in_proportion_to_weights():
    weights = torch.tensor([[0.0, 1, 3, 0], [2, 0, 0, 2]])
    index = draw(weights, torch.rand(2, 20000))
    share = torch.stack([row.bincount(minlength=4) for row in index]) / 20000
    assert torch.allclose(share, weights / 4, atol=0.015)
    assert draw(weights, torch.tensor([[0.0, 1.0], [0.0, 1.0]])).tolist() == [[1, 2], [0, 3]]


def test_by_means_reaches_the_parts_of_a_quantizer():
    quantizer = joined([Residual(VectorQuantizer(codes=8, affine=True), 2)] * 2)
    streams = Streams([0, 1])
    state = quantizer.init(streams, 3)
    with torch.no_grad():
        state["0.affine_shift"] += 0.03
    by_means(quantizer).fit(state, clusters(), streams)
    found = quantizer.stage.codebook({name[2:]: one for name, one in state.items() if name.startswith("0.")})
    assert torch.cdist(CENTRES, found.detach()).amin(-1).max() < 0.02

import json

import pytest
import torch
from scipy import stats

from quantbench.precision import computing
from quantbench.streams import Streams


def test_a_trial_draws_the_same_whoever_shares_its_stack():
    together, alone = Streams([3, 5, 5, 8]), Streams([5])
    for _ in range(2):
        drawn = together.normal("data", 7, 2)
        assert torch.equal(drawn[1:2], alone.normal("data", 7, 2))
        assert torch.equal(drawn[1], drawn[2])
        assert not torch.equal(drawn[0], drawn[1])


def test_purposes_do_not_disturb_each_other():
    one, other = Streams([0]), Streams([0])
    other.uniform("gradient noise", 100)
    assert torch.equal(one.normal("data", 10), other.normal("data", 10))
    assert not torch.equal(one.normal("a", 10), one.normal("b", 10))


def test_rotations_are_rotations():
    rotations = Streams([0, 1]).rotations("source", 3, dim=5).double()
    assert rotations.shape == (2, 3, 5, 5)
    assert torch.allclose(rotations @ rotations.mT, torch.eye(5).double().expand(2, 3, 5, 5), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(2, 3).double(), atol=1e-5)


def test_permutations_hold_every_number_once():
    assert torch.equal(Streams([0, 1]).permutations("x", 9).sort(1).values, torch.arange(9).expand(2, 9))


def test_permutations_are_all_as_likely():
    orders = Streams(range(2400)).permutations("x", 4)
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    long = Streams([0, 1]).permutations("x", 20_000).double()
    assert torch.equal(long.sort(1).values, torch.arange(20_000).double().expand(2, -1))
    places = torch.stack([torch.arange(20_000.0).double(), *long])
    assert (torch.corrcoef(places) - torch.eye(3)).abs().max() < 4 / 20_000**0.5


def test_seeds_purposes_and_draws_are_independent():
    count = 2**15
    streams = Streams([0, 1, 2**31, 123456789])
    drawn = torch.cat([streams.normal(purpose, count) for purpose in ("data", "source", "source", "gradient noise")])
    among = torch.corrcoef(drawn) - torch.eye(16)
    assert float(among.abs().max()) < 4 / count**0.5
    assert float(among.square().sum() / 240) * count == pytest.approx(1, abs=0.3)


def test_a_draw_goes_on_where_a_state_was_taken():
    one, other = Streams([7, 8]), Streams([7, 8])
    one.normal("data", 100), one.integers("data", 5, 33), one.permutations("source", 6)
    state = one.state()
    assert state == {"data": 2 + 2, "source": 1}  # in groups of 64 numbers, or of 32 integers
    other.restore(json.loads(json.dumps(state)))
    for streams in (one, other):
        assert torch.equal(streams.normal("data", 9), Streams([7, 8]).normal("data", 265)[:, 256:])
    assert torch.equal(one.permutations("source", 6), other.permutations("source", 6))
    assert one.state() == other.state()


def test_shapes_of_draws():
    streams = Streams([0, 0, 1])
    assert streams.integers("x", 2**31).shape == (3,)
    assert streams.uniform("x", 0, 1).shape == (3, 0, 1)
    assert streams.normal("x", 2, 0).shape == (3, 2, 0)
    assert streams.normal("x", 5, 3).is_contiguous()
    with torch.inference_mode():
        streams.normal("y", 3)
    streams.normal("y", 3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_draws_the_same(precision):
    expected = Streams([0, 1]).normal("x", 1000)
    with computing(precision):
        assert torch.equal(Streams([0, 1]).normal("x", 1000), expected)


def test_numbers_stay_what_they_are():
    """Results are to be had again: a change of these is a change of every result, and of the changelog."""
    streams = Streams([0])
    assert streams.normal("data", 3).tolist() == [[1.1291122436523438, 0.4084583818912506, -1.193088412284851]]
    assert streams.uniform("data", 3).tolist() == [[0.0036240816116333008, 0.5311554074287415, 0.13859403133392334]]
    assert streams.integers("data", 1000, 4).tolist() == [[290, 960, 626, 417]]
    assert streams.permutations("data", 5).tolist() == [[1, 2, 3, 0, 4]]

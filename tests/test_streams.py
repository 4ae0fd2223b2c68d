import torch

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

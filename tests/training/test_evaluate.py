import math

import pytest
import torch

from quantbench.training.evaluate import _counts, code_usage


def test_code_usage_by_hand():
    counts = torch.tensor([[4.0, 4, 0, 8, 6, 2], [16, 0, 0, 0, 8, 8]])
    usage = code_usage(counts, [4, 2])
    first = 1.5 + (0.75 * math.log2(4 / 3) + 0.25 * 2)
    assert usage["entropy_bits"].tolist() == pytest.approx([first, 0 + 1])
    assert usage["perplexity"][1].item() == pytest.approx((1 + 2) / 2)
    assert usage["usage"].tolist() == pytest.approx([5 / 6, 3 / 6])
    assert usage["dead_codes"].tolist() == [1, 3]


def test_counts_keep_slots_and_trials_apart():
    indices = torch.tensor([[[0, 1], [2, 1]], [[1, 0], [1, 1]]])
    assert _counts(indices, [3, 2]).tolist() == [[1, 0, 1, 0, 2], [0, 2, 0, 1, 1]]

"""The experiments of the verdict are what their script writes, at equal rates, with spaces that can be searched."""

import subprocess
import sys
from pathlib import Path

import pytest

from quantbench.config import instance
from quantbench.sweeps.compose import compose
from quantbench.sweeps.search import design
from quantbench.sweeps.tune import asked

ROOT = Path(__file__).parent.parent


def test_the_experiments_are_up_to_date():
    assert subprocess.run([sys.executable, ROOT / "scripts" / "verdict.py", "--check"], check=False).returncode == 0


@pytest.mark.parametrize(("name", "methods", "tasks"), [("verdict_small", 10, 3), ("verdict_drawn", 20, 2)])
def test_all_methods_of_a_task_have_its_rate_and_a_space(name, methods, tasks):
    settings, words = asked([f"+experiment={name}"])
    sweep = compose([*words, "seed=0"])
    rates: dict[str, set[float]] = {}
    for _, config in sweep.configs():
        bits = instance("quantizer", config["quantizer"]).nominal_bits(config["codec"]["latent_dim"])
        rates.setdefault(str(config["simulator"]), set()).add(bits)
    assert len(rates) == tasks
    assert all(len(each) == 1 for each in rates.values())
    found = design(sweep, settings)
    assert len(found.candidates) == methods * tasks
    assert all(1 <= len(one.quartiles) <= 5 and len(one.settings) == 25 for one in found.candidates)

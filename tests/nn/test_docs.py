"""The code of docs/nn.md runs, and so do the examples."""

import importlib.util
import math
import re
from pathlib import Path

import pytest
import torch

from quantbench import kernels

DOCS = Path(__file__).parents[2] / "docs"
torch.set_num_threads(1)


def example(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "nn.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    space = {}
    for block in blocks:
        exec(block, space)
    assert space["quantized"].shape == (4, 50, 64)
    assert space["indices"].shape == (4, 50)
    assert space["again"].shape == (4, 50, 64)
    with kernels.without():  # an exported graph has none, and rounding may change a nearest code
        assert torch.equal(space["encode"](space["x"].detach()), space["bottleneck"].encode(space["x"]))


@pytest.mark.parametrize(("name", "steps"), [("speech_codec", 3), ("image_tokenizer", 4), ("lightning_module", 40)])
def test_an_example_runs(name, steps, capsys):
    if name == "lightning_module":
        pytest.importorskip("lightning")
    errors = example(name).main(steps)
    assert len(errors) == steps
    assert all(map(math.isfinite, errors))
    assert capsys.readouterr().out

"""Halves of a bottleneck as graphs."""

import pytest
import torch

from quantbench import kernels
from quantbench.errors import QuantBenchError
from quantbench.nn import Bottleneck, Decode, Encode, to_onnx, to_torchscript
from tests.nn.test_equal import DIMS, EVERY, frame_loss

torch.set_num_threads(1)


def trained(name):
    """A bottleneck that has started, and latents."""
    torch.manual_seed(0)
    dim = DIMS.get(name, 8)
    one = Bottleneck(EVERY[name], dim=dim)
    one(torch.randn(2, 64, dim), frame_loss=frame_loss)
    return one.eval(), torch.randn(2, 10, dim), torch.randn(2, 10, dim)


def test_torchscript_of_every_quantizer_gives_the_same_for_other_latents():
    for name in EVERY:
        if name != "none":
            one, example, other = trained(name)
            codes = one.encode(example)
            with kernels.without():
                encode, decode = to_torchscript(Encode(one), example), to_torchscript(Decode(one), codes)
                assert torch.equal(encode(other), one.encode(other)), name
                assert torch.allclose(decode(one.encode(other)), one.decode(one.encode(other)), atol=1e-6), name


def test_what_has_no_codes_has_no_graph():
    with pytest.raises(QuantBenchError, match="quantizes nothing"):
        to_torchscript(Encode(Bottleneck("none", dim=4).eval()), torch.randn(2, 4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vq", "fsq", "lfq", "rvq", "simvq"])
def test_onnx_gives_the_same_for_other_latents(tmp_path, name):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    one, example, other = trained(name)
    cases = ((Encode(one), example, other), (Decode(one), one.encode(example), one.encode(other)))
    for half, shown, given in cases:
        to_onnx(half, shown, tmp_path / "half.onnx")
        (found,) = runtime.InferenceSession(tmp_path / "half.onnx").run(None, {"input": given.numpy()})
        assert torch.allclose(torch.from_numpy(found), half(given), atol=1e-6)

"""Modules of the user's own: what is understood of them by running them once, and that they train as it says."""

from typing import NamedTuple

import pytest
import torch
from torch import nn

from quantbench.errors import ConfigError
from quantbench.quantizers import External, Module, Moment
from quantbench.streams import Streams
from tests.conformance import checks
from tests.conftest import SMALL

DIM, FRAMES, CODES = 6, 10, 12


class Named(NamedTuple):
    z_q: torch.Tensor
    token_ids: torch.Tensor
    commit: torch.Tensor


class Own(nn.Module):
    """Nearest codeword, in the calling conventions of public code; ``form`` says which."""

    def __init__(self, dim, form="plain", n_e=CODES, tells=True):
        super().__init__()
        self.form = form
        self.table = nn.Embedding(n_e, dim) if tells else None
        self.words = None if tells else nn.Parameter(torch.randn(n_e, dim))
        self.dim = dim

    def forward(self, z):
        shape = z.shape
        if self.form == "image":  # as in the VQ-VAE and VQGAN repositories
            assert z.dim() == 4
            rows = z.permute(0, 2, 3, 1).reshape(-1, self.dim)
        elif self.form in ("conv", "dac"):
            assert z.dim() == 3
            assert z.shape[1] == self.dim
            rows = z.transpose(1, 2).reshape(-1, self.dim)
        elif self.form == "rows":
            assert z.dim() == 2
            rows = z
        else:
            assert z.shape[-1] == self.dim
            rows = z.reshape(-1, self.dim)
        words = self.words if self.table is None else self.table.weight
        index = (rows[:, None] - words).square().sum(-1).argmin(1)
        near = words[index]
        commit, book = (rows - near.detach()).square().mean(), (rows.detach() - near).square().mean()
        if self.form == "image":
            q = near.view(shape[0], shape[2], shape[3], self.dim).permute(0, 3, 1, 2)
        elif self.form in ("conv", "dac"):
            q = near.view(shape[0], shape[2], self.dim).transpose(1, 2)
        else:
            q = near.view(shape)
        q = z + (q - z).detach()
        if self.form == "image":
            hot = nn.functional.one_hot(index, len(words)).float()
            return q, commit + book, (torch.tensor(3.0), hot, index.unsqueeze(1))
        if self.form == "dac":
            return q, index.view(shape[0], 1, -1), z, commit, book
        if self.form == "dict":
            return {"loss": commit + book, "commit_loss": commit, "perplexity": book.detach(), "indices": index, "quantized": q}
        if self.form == "named":
            return Named(q, index.view(shape[:2]), commit)
        if self.form == "first":  # loss first, as in a well-known tutorial
            return commit + book, q, torch.tensor(2.0), index
        if self.form == "alone":
            return q
        if self.form == "codeless":
            return q, commit
        return q, index.view(shape[0], -1) if self.form == "conv" else index.view(shape[:-1]), commit + book


def own(form, **settings):
    return Module(module=f"{__name__}.Own", arguments={"form": form}, **settings)


@checks("module")
@pytest.mark.parametrize(
    ("form", "told", "weight"),
    [
        ("plain", "takes (1, frames, dim); quantized: output 0, codes: output 1 (12 values), loss: output 2", 2),
        ("conv", "takes (1, dim, frames); quantized: output 0, codes: output 1 (12 values), loss: output 2", 2),
        ("dac", "takes (1, dim, frames); quantized: output 0, codes: output 1 (12 values), loss: output 3 and output 4", 2),
        ("image", "takes (1, dim, height, width); quantized: output 0, codes: output 2.2 (12 values), loss: output 1", 2),
        ("rows", "takes (frames, dim); quantized: output 0, codes: output 1 (12 values), loss: output 2", 2),
        (
            "dict",
            "takes (1, frames, dim); quantized: output quantized, codes: output indices (12 values), loss: output loss",
            2,
        ),
        ("named", "takes (1, frames, dim); quantized: output z_q, codes: output token_ids (12 values), loss: output commit", 1),
        ("first", "takes (1, frames, dim); quantized: output 1, codes: output 3 (12 values), loss: output 0", 2),
    ],
)
def test_it_is_understood_and_trains_so(form, told, weight, capsys):
    """the nearest codeword by a plain loop, for eight ways of calling a module"""
    quantizer = own(form)
    quantizer.check()
    quantizer.check_dim(DIM)
    assert capsys.readouterr().err.strip() == f"quantizer.module={__name__}.Own: {told}"
    assert quantizer.alphabet(DIM) == [CODES]
    state = quantizer.init(Streams([0]), DIM)
    words = state["table.weight"][0].detach()
    for frames in (FRAMES, DIM, 1):
        latents = torch.randn(1, frames, DIM, generator=torch.Generator().manual_seed(frames), requires_grad=True)
        nearest = torch.tensor([min(range(CODES), key=lambda i, z=z: float((z - words[i]).square().sum())) for z in latents[0]])
        passed = quantizer.forward(state, latents, None, Moment(0.5, Streams([0])))
        assert torch.equal(passed.code.indices[0, :, 0], nearest)
        assert torch.allclose(passed.received[0], words[nearest], atol=1e-6)
        expected = weight * (latents[0] - words[nearest]).square().mean()
        assert float(passed.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        assert torch.autograd.grad(passed.loss.sum(), latents)[0].abs().sum() > 0
        assert torch.equal(quantizer.quantize(state, latents.detach()).indices, passed.code.indices)


def test_what_is_not_clear_can_be_said():
    hidden = Module(module=f"{__name__}.Own", arguments={"tells": False})
    with pytest.raises(ConfigError, match=r"not clear how many codes .*quantizer.slots=\[256\]"):
        hidden.check_dim(DIM)
    said = Module(module=f"{__name__}.Own", arguments={"tells": False}, slots=(CODES,))
    said.check_dim(DIM)
    assert said.alphabet(DIM) == [CODES]
    commit = own("dac", loss_at=(3,))
    commit.check_dim(DIM)
    assert commit._external(DIM).loss_at == (3,)


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        (Module(), "quantizer.module='': must name a class"),
        (Module(module="nowhere.VQ"), "nowhere.VQ: cannot be imported .*--config-dir"),
        (own("alone"), r"gives one tensor \(1, 29, 6\) alone"),
        (own("codeless"), r"no output holds one integer for each of 29 latents; .* gives 0: \(1, 29, 6\) float32, 1: \(\)"),
        (Module(module=f"{__name__}.Own", arguments={"dim": 5}), r"could not be used as a quantizer of 6 dimensions.*fails"),
        (Module(module=f"{__name__}.Own", arguments={"codes": 5}), r"quantizer.arguments=.*refuses them \(TypeError"),
    ],
)
def test_what_cannot_be_used_is_refused(quantizer, message):
    quantizer.check()
    with pytest.raises(ConfigError, match=message):
        quantizer.check_dim(DIM)


def test_it_is_what_external_makes_of_the_same_settings():
    quantizer = own("plain")
    same = External(module=f"{__name__}.Own", arguments={"dim": DIM, "form": "plain"}, slots=(CODES,))
    latents = torch.randn(2, FRAMES, DIM)
    one, other = (q.quantize(q.init(Streams([3, 4]), DIM), latents) for q in (quantizer, same))
    assert torch.equal(one.values, other.values)


def test_the_command_line_at_the_first_try(quantbench, tmp_path):
    (tmp_path / "my_vq.py").write_text(
        "import torch\nfrom torch import nn\nclass VQ(nn.Module):\n"
        "    def __init__(self, dim, codes):\n        super().__init__()\n        self.words = nn.Embedding(codes, dim)\n"
        "    def forward(self, z):\n        i = torch.cdist(z[0], self.words.weight).argmin(-1)\n"
        "        q = self.words(i)[None]\n"
        "        return z + (q - z).detach(), i, (q - z).square().mean()\n"
    )
    words = ["quantizer=module", "quantizer.module=my_vq.VQ", "quantizer.arguments={dim:8,codes:16}", "gradient=own"]
    code, _, err = quantbench("run", "--config-dir", ".", *words, "executor=inline", *SMALL)
    assert code == 0, err
    assert "quantized: output 0, codes: output 1 (16 values), loss: output 2" in err

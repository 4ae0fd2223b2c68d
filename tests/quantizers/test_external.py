"""Modules of other packages: which of their outputs is which, and what is refused before anything trains."""

import re
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from quantbench.errors import ConfigError
from quantbench.quantizers import External, Moment
from quantbench.streams import Streams
from tests.conftest import SMALL

DIM, FRAMES = 6, 10


class Rounding(nn.Module):
    """Two codes, -1 and 1, in each of two slots; ``form`` says how they are returned."""

    def __init__(self, form: str):
        super().__init__()
        self.form = form
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, z):
        first = self.form in ("dac", "audiocraft", "wrong")
        codes = (z.transpose(1, 2) if first else z)[..., :2] > 0  # (1, frames, slots)
        values = z + self.scale * (z.sign() - z).detach()
        losses = (z - 1).square().mean(), (z + 1).square().mean()
        if self.form == "dac":
            return values, codes.transpose(1, 2).long(), torch.cat([z, z], 1), *losses
        if self.form == "audiocraft":
            return Result(values, codes.permute(2, 0, 1).long(), losses[0].reshape(1))
        if self.form == "groups":
            return values, codes.permute(2, 0, 1).unsqueeze(-1).long(), torch.stack(losses)
        if self.form == "named":
            return {"codes": codes.long(), "quantized": values, "aux": losses[0]}
        if self.form == "large":
            return values, 300 * codes.long(), losses[0]
        if self.form == "single":
            return values
        if self.form == "fraction":
            return values, codes.float() + 0.5
        return values.transpose(1, 2), codes.long()


@dataclass
class Result:
    quantized: torch.Tensor
    codes: torch.Tensor
    penalty: torch.Tensor


def external(form, **settings):
    return External(module=f"{__name__}.Rounding", arguments={"form": form}, slots=(2, 2), **settings)


@pytest.mark.parametrize(
    ("quantizer", "losses"),
    [
        (external("dac", channels_first=True, loss_at=(3, 4)), 2),
        (external("dac", channels_first=True, loss_at=(3,)), 1),
        (external("dac", channels_first=True, loss_at="none"), 0),
        (external("audiocraft", channels_first=True, values_at="quantized", codes_at="codes", loss_at=("penalty",)), 1),
        (external("groups"), 2),
        (external("named", values_at="quantized", codes_at="codes", loss_at=("aux",)), 1),
        (external("named", values_at="quantized", codes_at="codes"), 0),
    ],
)
def test_outputs_by_place_and_by_name(quantizer, losses):
    quantizer.check_dim(DIM)
    state = quantizer.init(Streams([0]), DIM)
    for frames in (FRAMES, 2, 1):  # as many as slots, and a single one
        latents = torch.randn(1, frames, DIM, generator=torch.Generator().manual_seed(frames), requires_grad=True)
        passed = quantizer.forward(state, latents, None, Moment(0.5, Streams([0])))
        assert torch.equal(passed.received, latents.sign())
        assert torch.equal(passed.code.indices, (latents[..., :2] > 0).long())
        assert torch.equal(quantizer.quantize(state, latents.detach()).indices, passed.code.indices)
        expected = [(latents - 1).square().mean(), (latents + 1).square().mean()][:losses]
        assert passed.loss.item() == pytest.approx(float(sum(expected, torch.zeros(())).detach()))


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        (external("dac", channels_first=True), r"loss_at=third.*\(1, 12, 29\).*2 slots.*3: \(\), 4: \(\)"),
        (external("dac", channels_first=True, loss_at=(7,)), r"loss_at=7: must name a tensor.*0: \(1, 6, 29\)"),
        (external("dac"), r"codes_at=1: is of the shape \(1, 2, 6\)"),
        (external("wrong", channels_first=True), r"values_at=0: is of the shape \(1, 29, 6\); must be .*\(1, 6, 29\)"),
        (external("named"), r"values_at=0: must name a tensor; the module gives codes: \(1, 29, 2\), quantized"),
        (external("groups", codes_at=2), r"codes_at=2: is of the shape \(2,\).*29 frames.*slots=\[2, 2\]"),
        (external("groups", values_at="quantized"), "values_at=quantized: must name a tensor"),
        (external("large"), r"slots=\[2, 2\]: the module gave the code 300 in slot 0; allowed are 0 \.\. 1"),
        (external("fraction"), "codes_at=1.*float32; must be one integer"),
        (external("single"), r"gives \(1, 29, 6\); must give a tuple"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(quantizer, message):
    with pytest.raises(ConfigError, match=message):
        quantizer.check_dim(DIM)


def test_the_modules_own_number_of_codes(monkeypatch):
    monkeypatch.setattr(Rounding, "codebook_size", 4, raising=False)
    with pytest.raises(ConfigError, match=r"slots=\[2, 2\]: .* says codebook_size=4; set each slot to 4"):
        external("groups").check_dim(DIM)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (
            {"arguments": {"dim": 6, "levels": [17] * 6}, "slots": (16,)},
            "arguments.levels=[17, 17, 17, 17, 17, 17]: makes 24137569",
        ),
        ({"slots": (17**6,)}, "slots=[24137569]: makes"),
        ({"arguments": {"codebook_size": 2**24}}, "arguments.codebook_size=16777216: makes"),
    ],
)
def test_too_many_codes_take_no_memory(settings, name):
    with pytest.raises(ConfigError, match=re.escape(f"quantizer.{name}")):
        External(**settings).check()


def test_first_latents_take_bounded_memory():
    assert External().fit_frames(64) == 1024
    assert External(slots=(4096,)).fit_frames(64) == 4 * 4096
    assert External(slots=(2**20,)).fit_frames(64) == 64
    assert External(slots=(2**20,)).fit_frames(256) == 256


def test_the_command_line_names_outputs(quantbench):
    words = ["quantizer=external", "gradient=own", f"quantizer.module={__name__}.Rounding"]
    words += ["+quantizer.arguments.form=dac", "~quantizer.arguments.dim", "~quantizer.arguments.codebook_size"]
    words += ["quantizer.slots=[2,2]", "quantizer.channels_first=true", "executor=inline", *SMALL]
    code, _, err = quantbench("run", *words)
    assert code == 2
    assert "quantizer.loss_at=third" in err
    code, _, err = quantbench("run", *words, "quantizer.loss_at=[3,4]")
    assert (code, "" if "kernels" in err else err) == (0, "")

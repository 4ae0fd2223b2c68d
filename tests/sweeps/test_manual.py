"""What the command line says of settings."""

import csv
import dataclasses
import json
import re
import subprocess
import sys

import pytest

from quantbench.choices import GROUPS, choices
from quantbench.components import Component
from quantbench.schema import find_class
from quantbench.sweeps import manual
from quantbench.sweeps.choice_files import filled
from quantbench.sweeps.docstrings import parts_of
from quantbench.sweeps.manual import page


def row(found, name):
    return next(one for one in found["settings"] if one["setting"] == name)


def test_a_setting_has_its_meaning_range_and_default():
    vq = page("quantizer", "vq")
    assert vq["words"] == "Vector quantization with a learned codebook."
    assert vq["facts"]["Source"].startswith("van den Oord et al. (2017)")
    assert vq["facts"]["Recommended"].startswith("commitment 0.25 (DAC")
    assert row(vq, "quantizer.codes") == {
        "setting": "quantizer.codes",
        "default": "256",
        "allowed": "an integer, at least 2",
        "description": "size of the codebook.",  # of a base class
    }
    assert row(vq, "quantizer.update_by")["allowed"] == "one of gradient, ema"
    assert row(vq, "quantizer.decay")["allowed"] == "a number, between 0 and 1"
    assert row(vq, "quantizer.affine")["default"] == "false"


def test_settings_of_components_within_a_component_and_values_of_the_file():
    rlfq = page("quantizer", "rlfq")
    assert row(rlfq, "quantizer.stage")["default"] == "LFQ"
    assert "+quantizer@quantizer.stage=CHOICE" in row(rlfq, "quantizer.stage")["allowed"]
    assert row(page("quantizer", "rvq"), "quantizer.stage.codes")["default"] == "16"  # 256 by itself
    soft = page("gradient", "soft_to_hard")
    assert row(soft, "gradient.temperature.start")["allowed"] == "a number, above 0"  # the strategy asks, not the schedule
    assert row(soft, "gradient.temperature.finish")["allowed"] == "a number, between 0 and 1"
    vqp = row(page("quantizer", "vqp_vq"), "quantizer.arguments")
    assert "dim:${codec.latent_dim}" in vqp["default"]


def test_every_setting_of_every_choice_has_words():
    for group in set(GROUPS) - {"experiment"}:
        for name, path in choices(group).items():
            cls = find_class(filled(path)["_target_"], Component, name)
            assert {field.name for field in dataclasses.fields(cls)} <= set(parts_of(cls).attributes), (group, name)
    for shown in manual.pages().values():
        assert all(one["description"] for one in shown["settings"])


@pytest.mark.parametrize(
    "words", [["run", "--help"], ["list"], ["list", "quantizer", "vq"], ["list", "train"], ["list", "experiment", "smoke"]]
)
def test_no_line_is_broken_by_a_terminal(quantbench, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = quantbench(*words)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    if words in (["list"], ["run", "--help"]):  # no name is broken
        assert {"entropy_scalar", "soft_then_hard", "audio_adversarial", "gaussian_limit"} <= set(re.findall(r"\w+", out))


def test_the_same_for_machines(quantbench):
    rows = json.loads(quantbench("list", "gradient", "noise", "--format", "json")[1])
    assert {"setting", "default", "allowed", "description"} == set(rows[0])
    assert quantbench("list", "quantizer", "vq", "--format", "markdown")[1].startswith("| setting | default |")
    rows = list(csv.DictReader(quantbench("list", "run", "--format", "csv")[1].splitlines()))
    assert {"seed", "output"} <= {one["setting"] for one in rows}
    assert "experiment" not in {one["setting"] for one in rows}
    rows = json.loads(quantbench("list", "experiment", "smoke", "--format", "json")[1])
    assert {"what": "varies", "setting": "gradient", "value": "ste,mste"} in rows
    assert {"what": "set", "setting": "train.steps", "value": "200"} in rows


def test_help_from_the_cache_does_without_torch():
    manual.pages()
    code = "import sys; from quantbench.cli import main; main(['run', '--help']); print(*{'torch', 'hydra'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.endswith("\n\n")


def test_a_choice_of_the_users_own(quantbench, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gradient").mkdir()
    (tmp_path / "gradient" / "mine.yaml").write_text("# My own.\n_target_: own_manual.Mine\nscale: 0.5\n")
    (tmp_path / "own_manual.py").write_text(
        "from quantbench.components import Factor, at_least, component\n"
        "from quantbench.gradients import Gradient\n\n\n"
        "@component\nclass Mine(Gradient):\n"
        "    scale: Factor = 0.1\n\n"
        "    def check(self):\n        at_least('gradient.scale', self.scale, 0.25)\n\n"
        "    def pass_through(self, quantizer, state, latents, code, moment):\n        return latents\n"
    )
    code, out, err = quantbench("list", "gradient", "mine", "--config-dir", str(tmp_path))
    assert code == 0, err
    assert out.startswith("gradient=mine: My own.\n")
    assert "gradient.scale=0.5\n      (a number, at least 0.25)" in out
    assert "mine" in quantbench("run", "--help", "--config-dir", str(tmp_path))[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["quantizer", "vqq"], "quantizer=vqq: no such choice; there are bsq, "),
        (["quantiser"], "did you mean quantizer?"),
        (["vq"], "type `quantbench list quantizer vq`"),
        (["experiment", "smok"], "did you mean smoke?"),
        (["metrics", "mse"], "metrics has no choices; `quantbench list metrics` shows all"),
    ],
)
def test_what_is_not_there_is_told(quantbench, words, expected):
    code, _, err = quantbench("list", *words)
    assert code == 2
    assert expected in err

"""What classes say of themselves, and ``columns.json``, which tells it to readers that do not import them."""

import dataclasses
import json

import pytest

from quantbench.choices import choices
from quantbench.components import size_settings
from quantbench.config import COMPONENTS
from quantbench.gradients import STE, WarmUp
from quantbench.quantizers import BSQ, LFQ, External, Product, Residual, Uniform, VectorQuantizer
from quantbench.schema import find_class
from quantbench.sweeps.catalogue import default_component


def test_every_size_and_path_is_a_setting_of_its_class():
    """A name that is spelled wrong would be no size of anything, silently."""
    for group in ("codec", "quantizer", "gradient", "loss", "simulator"):
        for path in choices(group).values():
            target = next(line for line in path.read_text().splitlines() if line.startswith("_target_:")).split()[1]
            cls = find_class(target, COMPONENTS[group], group)
            for name in (*cls.sizes, *cls.paths):
                assert name.partition(".")[0] in cls.__dataclass_fields__, (cls, name)


@pytest.mark.parametrize(
    ("quantizer", "expected"),
    [
        (VectorQuantizer(), ["codes"]),
        (Residual(), ["stages", "stage.codes"]),
        (Residual(Uniform()), ["stages", "stage.levels"]),
        (Residual(Product()), ["stages", "stage.groups", "stage.part.codes"]),
        (Product(), ["groups", "part.codes"]),
        (Residual(LFQ()), ["stages"]),
        (LFQ(), []),  # one bit a latent dimension
    ],
)
def test_what_decides_the_bits_of_a_quantizer(quantizer, expected):
    assert size_settings(quantizer, "quantizer") == [f"quantizer.{name}" for name in expected]
    assert "quantizer.slots" in size_settings(External(), "quantizer")


def test_every_quantizer_of_fixed_rate_names_what_decides_it():
    """But for those whose rate is the number of latent dimensions alone, so that no whole number is among their settings."""
    for name in choices("quantizer"):
        one = default_component("quantizer", name)
        values = [getattr(one, field.name) for field in dataclasses.fields(one)]
        whole = [value for value in values if isinstance(value, int | tuple) and not isinstance(value, bool)]
        assert one.sizes or not whole, name


def test_sizes_within_a_component_are_found(monkeypatch):
    monkeypatch.setattr(STE, "sizes", ("width",))
    assert size_settings(WarmUp(then=STE()), "gradient") == ["gradient.then.width"]


def test_cost_is_the_class_s_own():
    assert LFQ.cost > 1
    assert BSQ.cost == 0  # not that of the class that it derives from
    assert VectorQuantizer.cost == STE.cost == 0


def test_a_run_has_its_facts(small_run, quantbench):
    folder = small_run("-m", "quantizer=vq,rvq,fsq", "codec.latent_dim=4")
    facts = json.loads((folder / "columns.json").read_text())
    assert facts == {
        "sizes": ["quantizer.codes", "quantizer.stages", "quantizer.stage.codes", "quantizer.levels"],
        "metrics": [],
    }
    (folder / "columns.json").unlink()
    assert quantbench("resume", str(folder))[0] == 0  # nothing to train
    assert json.loads((folder / "columns.json").read_text()) == facts
    (folder / "columns.json").unlink()
    (folder / "results.csv").unlink()
    assert quantbench("resume", str(folder))[0] == 0
    assert json.loads((folder / "columns.json").read_text()) == facts

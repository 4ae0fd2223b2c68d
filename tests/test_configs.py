import dataclasses
import math

import pytest
from omegaconf import OmegaConf

from quantbench.choices import GROUPS, choices, description
from quantbench.config import COMPONENTS, RunSettings
from quantbench.paths import config_folder
from quantbench.schema import check_settings, construct, find_class, plain, without_target
from quantbench.sweeps.choice_files import filled
from quantbench.sweeps.compose import compose
from quantbench.training import TrainSettings

COMPONENT_CHOICES = [(group, name) for group in COMPONENTS for name in choices(group)]


@pytest.mark.parametrize(("group", "name"), COMPONENT_CHOICES)
def test_every_choice_can_be_used(group, name):
    cls, given, _ = choice(group, name)
    if name not in ("audio_frames", "audio", "array", "images"):  # whose folder is not there
        own = {setting: value for setting, value in given.items() if setting != "latent_dim" or isinstance(value, int)}
        check_settings(cls, own, group)  # a simulator's frames decide about the others


def test_large_codebooks_hold_several_evaluation_frames_a_code():
    toy = [config for _, config in compose(["+experiment=large_codebooks"]).configs()]
    speech = [config for _, config in compose(["+experiment=large_codebooks_speech"]).configs()]
    assert [one["quantizer"] for one in toy] == [one["quantizer"] for one in speech]
    for one in toy:
        codes = one["quantizer"].get("codes") or math.prod(one["quantizer"]["levels"])
        assert one["simulator"]["evaluation_frames"] >= 4 * codes


def choice(group, name):
    """Class, settings of the file, and settings of the class of a choice."""
    node = OmegaConf.to_container(OmegaConf.load(choices(group)[name]))
    node = {key: value for key, value in node.items() if key not in ("space", "recommended")}
    cls = find_class(node["_target_"], COMPONENTS[group], group)
    return cls, without_target(node), without_target(plain(construct(cls, {})))


def settings(given):
    """Dotted names of all settings."""
    for name, value in given.items():
        if isinstance(value, dict) and name != "arguments":
            yield from (f"{name}.{inner}" for inner in settings(without_target(value)))
        else:
            yield name


def repeated(given, default):
    """Dotted names of the settings that are as in the class."""
    for name, value in given.items():
        own = default[name]
        if isinstance(own, dict) and value.get("_target_", own["_target_"]) == own["_target_"]:
            yield from (f"{name}.{inner}" for inner in repeated(without_target(value), own))
        elif (tuple(value) if isinstance(value, list) else value) == own:
            yield name


def by_class():
    """Of the choices of each class, the one with the class's name, as ``noise_ste_mix``; else the one that sets least."""
    found = {}
    for group, name in COMPONENT_CHOICES:
        found.setdefault(choice(group, name)[0], []).append((group, name))
    named = {cls: [one for one in every if one[1].replace("_", "") == cls.__name__.lower()] for cls, every in found.items()}
    return [(named[cls] or sorted(every, key=lambda one: len(choice(*one)[1])))[0] for cls, every in found.items()]


@pytest.mark.parametrize(("group", "name"), by_class())
def test_a_class_is_by_default_the_choice_with_its_name(group, name):
    _, given, default = choice(group, name)
    assert {*settings(given)} - {*repeated(given, default)} <= {"arguments", "latent_dim"}  # which name the trial's


@pytest.mark.parametrize(("group", "name"), COMPONENT_CHOICES)
def test_a_choice_holds_only_what_differs_from_its_class(group, name):
    _, given, default = choice(group, name)
    assert list(repeated(given, default)) == []


def test_the_base_has_all_settings_of_a_run_and_of_a_training():
    """Hydra takes no setting that is not there; what the file leaves out comes from the classes."""
    node = filled(config_folder() / "config.yaml")
    assert node["train"] == {field.name: field.default for field in dataclasses.fields(TrainSettings)}
    assert {field.name for field in dataclasses.fields(RunSettings)} <= node.keys()


def test_every_choice_has_one_line_of_description():
    for group in GROUPS:
        for path in choices(group).values():
            assert description(path).endswith("."), path

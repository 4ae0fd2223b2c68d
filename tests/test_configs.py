import dataclasses

import pytest
from omegaconf import OmegaConf

from quantbench.choices import GROUPS, choices, description
from quantbench.config import COMPONENTS, check_settings, find_class, without_target
from quantbench.paths import config_folder
from quantbench.quantizers import Quantizer
from quantbench.training import TrainSettings

COMPONENT_CHOICES = [(group, name) for group in COMPONENTS for name in choices(group)]


@pytest.mark.parametrize(("group", "name"), COMPONENT_CHOICES)
def test_every_choice_spells_out_every_setting(group, name):
    """So that each can be changed on the command line; only what stages and parts are may be left to the class."""
    node = OmegaConf.to_container(OmegaConf.load(choices(group)[name]))
    cls = find_class(node["_target_"], COMPONENTS[group], group)
    left = {field.name for field in dataclasses.fields(cls) if isinstance(field.default, Quantizer)}
    assert set(without_target(node)) | left == {field.name for field in dataclasses.fields(cls)}
    if name not in ("audio_frames", "audio"):  # whose folder is not there
        check_settings(cls, without_target(node), group)


def test_train_settings_in_yaml_are_the_defaults():
    node = OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml"))["train"]
    assert node == {field.name: field.default for field in dataclasses.fields(TrainSettings)}


def test_every_choice_has_one_line_of_description():
    for group in GROUPS:
        for path in choices(group).values():
            assert description(path).endswith("."), path

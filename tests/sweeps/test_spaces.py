"""Search spaces in the files of choices: what is read, what is refused, what a method's is made of."""

import pytest

from quantbench.choices import choices
from quantbench.errors import ConfigError
from quantbench.sweeps.catalogue import resolved
from quantbench.sweeps.priors import Prior, prior
from quantbench.sweeps.spaces import method_space, recommended_of, space_of

EVERY = [(group, name) for group in ("quantizer", "gradient") for name in choices(group)]


def space(quantizer="vq", gradient="ste", varied=()):
    config = {
        "train": {"lr": 1e-3},
        "quantizer": resolved("quantizer", quantizer),
        "gradient": resolved("gradient", gradient),
    }
    return method_space({"quantizer": quantizer, "gradient": gradient}, config, varied)


@pytest.mark.parametrize(("group", "name"), EVERY)
def test_every_space_of_the_project_can_be_used(group, name):
    space_of(group, name)
    recommended_of(group, name)


@pytest.mark.parametrize("gradient", list(choices("gradient")))
def test_what_is_recommended_is_a_setting_of_vq_or_of_the_strategy(gradient):
    assert len(space(gradient=gradient).recommended) == len(recommended_of("gradient", gradient))


def test_a_prior_goes_from_end_to_end():
    one = prior({"log_uniform": [0.01, 1], "zero": 0.2}, "x")
    assert [one.at(share) for share in (0, 0.19, 0.2, 0.6, 1)] == [0, 0, 0.01, 0.1, 1]
    assert prior({"uniform": [1, 3]}, "x").quartiles == [1.5, 2, 2.5]
    assert prior({"choice": ["a", "b"]}, "x").quartiles == ["a", "b"]
    assert [Prior("choice", (1, 2, 3)).at(share) for share in (0, 0.34, 0.99, 1)] == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (3, "one of log_uniform, uniform, choice"),
        ({"normal": [0, 1]}, "one of log_uniform, uniform, choice"),
        ({"uniform": [0, 1], "step": 1}, "step: is no part of a prior"),
        ({"uniform": [1, 0]}, "the lower one first"),
        ({"log_uniform": [0, 1]}, "must lie above 0"),
        ({"uniform": [0, 1], "zero": 0.1}, "is for log_uniform"),
        ({"log_uniform": [1, 2], "zero": 1}, "must be a probability"),
        ({"choice": []}, "must be a list"),
        ({"choice": [[1]]}, "must be a list"),
    ],
)
def test_what_is_no_prior_is_refused(written, words):
    with pytest.raises(ConfigError, match=words):
        prior(written, "space.x")


def users(tmp_path, text, group="quantizer"):
    (tmp_path / group).mkdir()
    target = {"quantizer": "quantizers.VectorQuantizer", "gradient": "gradients.STE"}[group]
    (tmp_path / group / "mine.yaml").write_text(f"# Mine.\n_target_: quantbench.{target}\n{text}")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("space: {comitment: {uniform: [0, 1]}}", "no such setting.*did you mean commitment"),
        ("space: {commitment: {uniform: [-1, 1]}}", "leaves the setting's range.*at least 0"),
        ("space: {update_by: {choice: [gradient, sgd]}}", "leaves the setting's range.*one of gradient, ema"),
        ("space: [commitment]", "must be a mapping"),
        (
            "space: {commitment: {uniform: [0, 1]}, decay: {uniform: [0, 1]}, restart: {choice: [0, 1]}, "
            "codebook_weight: {uniform: [0, 1]}, update_by: {choice: [gradient, ema]}}",
            "has 5 settings; a choice has at most 4 beside train.lr",
        ),
    ],
)
def test_a_users_space_is_checked(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        space_of("quantizer", "mine", users(tmp_path, text))


def test_what_is_recommended_names_a_group(tmp_path):
    with pytest.raises(ConfigError, match="must be a setting of quantizer or gradient"):
        recommended_of("quantizer", "mine", users(tmp_path, "recommended: {commitment: 0}"))


def test_a_users_space_never_reaches_the_component(tmp_path):
    folder = users(tmp_path, "space: {commitment: {uniform: [0, 1]}}")
    assert list(space_of("quantizer", "mine", folder)) == ["commitment"]
    assert "space" not in resolved("quantizer", "mine", folder)


def test_a_method_has_the_learning_rate_then_the_strategys_then_the_quantizers_and_at_most_five():
    found = space(gradient="soft_to_hard")
    assert list(found.priors) == [
        "train.lr",
        "gradient.temperature.start",
        "gradient.temperature.end",
        "gradient.hard_fraction",
        "quantizer.commitment",
    ]
    assert found.left_out == ["quantizer.update_by", "quantizer.restart", "quantizer.init_by"]


def test_a_strategy_may_hold_a_setting_of_the_quantizer_and_reaches_its_stages():
    found = space("rvq", "synchronised")
    assert found.held == {"quantizer.stage.update_by": "gradient"}
    assert found.recommended["quantizer.stage.affine"] is True
    assert not any(name.endswith("update_by") for name in found.priors)


def test_what_the_experiment_varies_is_not_searched():
    assert "quantizer.commitment" not in space(varied=["quantizer.commitment"]).priors


def test_of_what_a_quantizer_does_not_have_nothing_is_said():
    assert space("fsq", "nsvq").recommended == {"quantizer.commitment": 0}

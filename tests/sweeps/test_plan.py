import re

import pytest

from quantbench.config import COMPONENTS
from quantbench.errors import ConfigError
from quantbench.sweeps.plan import plan
from quantbench.sweeps.schedule import schedule
from quantbench.sweeps.sweep import Combination, Sweep

CHOICES = {"simulator": "codeword", "codec": "mlp", "quantizer": "vq", "gradient": "ste"}


def config(**changes):
    base = {
        "simulator": {"_target_": "quantbench.simulators.Codeword", "bits": 4},
        "codec": {"_target_": "quantbench.codecs.MLP", "latent_dim": 4},
        "quantizer": {
            "_target_": "quantbench.quantizers.VectorQuantizer",
            "codes": "${two_to:${simulator.bits}}",
            "commitment": 1,
        },
        "gradient": {"_target_": "quantbench.gradients.STE"},
        "loss": {"_target_": "quantbench.losses.MSE"},
        "executor": {"_target_": "quantbench.sweeps.executors.Inline", "stack_size": 4},
        "train": {"steps": 10, "lr": 0.001},
        "experiment": "test",
        "seed": 0,
        "device": "cpu",
        "output": "outputs",
        "dry_run": False,
    }
    for name, value in changes.items():
        base[name] = base[name] | value if isinstance(value, dict) else value
    return base


def sweep(axes=None, points=None, combinations=None):
    return Sweep([], [], combinations or [Combination(CHOICES, config())], axes or {}, points)


def test_stacks_share_shape_but_not_per_trial_settings():
    planned = plan(sweep({"simulator.bits": [4, 6], "quantizer.commitment": [0, 0.5, 1], "seed": [0, 1]}))
    assert len(planned.trials) == 12
    assert sorted(map(len, schedule(planned).stacks)) == [3, 3, 3, 3]  # 6 of each shape, at most 4 in a stack, evenly
    for stack in schedule(planned).stacks:
        assert len({trial.config["simulator"]["bits"] for trial in stack}) == 1
    assert planned.columns == ["simulator.bits", "quantizer.commitment", "quantizer.codes"]


def test_restarts_and_starts_from_latents_share_a_shape():
    base = config(quantizer={"restart": 0.0, "init_by": "data"})
    axes = {"quantizer.restart": [0.0, 0.1], "quantizer.init_by": ["data", "kmeans", "means", "normal", "kmeans++"]}
    trials = plan(sweep(axes, combinations=[Combination(CHOICES, base)])).trials
    shapes = {trial.config["quantizer"]["init_by"]: trial.shape for trial in trials}
    assert shapes["data"] == shapes["kmeans"] == shapes["means"]
    assert len({trial.shape for trial in trials}) == len({*shapes.values()}) == 3


def test_interpolations_follow_the_values():
    planned = plan(sweep({"simulator.bits": [4, 6]}))
    assert [trial.config["quantizer"]["codes"] for trial in planned.trials] == [16, 64]


def test_identity_ignores_what_cannot_change_the_result_and_nothing_else():
    def identity(**changes):
        return plan(sweep(combinations=[Combination(CHOICES, config(**changes))])).trials[0].id

    base = identity()
    assert base == identity(output="elsewhere", experiment="other", dry_run=True, executor={"stack_size": 1})
    assert base == identity(quantizer={"commitment": 1.0})
    assert base == identity(train={"batch": 256})  # a default, spelled out
    assert base != identity(quantizer={"commitment": 0.5})
    assert base != identity(train={"steps": 11})
    assert identity(seed=7).partition("-")[0] == base.partition("-")[0]
    assert identity(seed=7).endswith("-7")


CHANGES = {
    "simulator": {"frame_dim": 8},
    "codec": {"hidden": 8},
    "quantizer": {"commitment": 0.5},
    "gradient": {"_target_": "quantbench.gradients.MSTE"},
    "loss": {"weight": 2.0},
    "train": {"lr": 0.002},
}


@pytest.mark.parametrize("group", [*COMPONENTS, "train"])
def test_every_group_is_part_of_a_trials_identity(group):
    """The choices, by their names, are the same here: what they hold differs."""
    one, other = (
        plan(sweep(combinations=[Combination(CHOICES, made)])) for made in (config(), config(**{group: CHANGES[group]}))
    )
    assert one.trials[0].id != other.trials[0].id


@pytest.mark.parametrize("setting", ["steps", "batch", "warm_start", "log_every", "explode"])
def test_trials_that_are_trained_otherwise_share_no_stack(setting):
    """A stack is trained as its first trial says."""
    values = [5, 6]
    base = config(train={setting: values[0]})
    planned = plan(sweep({f"train.{setting}": values, "seed": [0, 1]}, combinations=[Combination(CHOICES, base)]))
    assert [len(stack) for stack in schedule(planned).stacks] == [2, 2]
    for stack in schedule(planned).stacks:
        assert len({trial.config["train"][setting] for trial in stack}) == 1


def test_points_name_the_trials_that_are_no_full_product():
    planned = plan(sweep({"quantizer.commitment": [0, 1], "seed": [0, 1, 2]}, points=[[0, 0, 2], [0, 1, 0]]))
    found = [(trial.config["quantizer"]["commitment"], trial.config["seed"]) for trial in planned.trials]
    assert found == [(0.0, 2), (1.0, 0)]


def test_a_value_named_twice_is_one_trial():
    assert len(plan(sweep({"seed": [3, 3]})).trials) == 1


def test_pairs_that_do_not_fit_are_skipped_or_refused():
    none = Combination(
        CHOICES | {"quantizer": "none", "gradient": "soft_to_hard"},
        config()
        | {
            "quantizer": {"_target_": "quantbench.quantizers.Identity"},
            "gradient": {"_target_": "quantbench.gradients.SoftToHard"},
        },
    )
    planned = plan(sweep(combinations=[none, Combination(CHOICES, config())]))
    reason = planned.trials[0].skipped
    assert "gradient=soft_to_hard does not fit quantizer=none: the quantizer offers no soft assignment" in reason
    assert re.search("gradients that fit it: .*mste, .*noise", reason)
    assert [len(stack) for stack in schedule(planned).stacks] == [1]
    vp = Combination(CHOICES | {"gradient": "vp"}, config(gradient={"_target_": "quantbench.gradients.VP"}, train={"batch": 1}))
    small = plan(sweep({"train.batch": [1, 2]}, combinations=[vp]))
    assert re.match("train.batch=1: VP needs at least 2 latents a step", small.trials[0].skipped)
    assert small.trials[1].skipped is None
    with pytest.raises(ConfigError, match="nothing to train: gradient=soft_to_hard does not fit"):
        plan(sweep(combinations=[none]))


def test_done_trials_are_not_scheduled_again():
    planned = plan(sweep({"seed": [0, 1, 2]}))
    rest = schedule(planned, done=frozenset({planned.trials[1].id}))
    assert [trial.config["seed"] for stack in rest.stacks for trial in stack] == [0, 2]


def test_planning_and_scheduling_contact_nobody(monkeypatch):
    def contact(*arguments, **settings):
        raise AssertionError("contacted")

    monkeypatch.setattr("socket.socket.connect", contact)
    monkeypatch.setattr("subprocess.Popen", contact)
    for name, more, workers in (
        ("Slurm", {"jobs": 3}, 3),
        ("Dask", {"address": "tcp://127.0.0.1:1"}, None),
    ):
        one = config() | {"executor": {"_target_": f"quantbench.sweeps.executors.{name}", "stack_size": 4} | more}
        scheduled = schedule(plan(sweep({"seed": [0, 1, 2]}, combinations=[Combination(CHOICES, one)])))
        assert sum(map(len, scheduled.stacks)) == 3
        assert scheduled.workers == workers


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"quantizer.codez": [1, 2]}, "quantizer.codez=1: unknown setting; quantizer takes codes, commitment"),
        ({"nothing.at.all": [1]}, "nothing.at.all=1: unknown setting; a run takes simulator"),
        ({"simulator.bits.deep": [1]}, "unknown setting"),
        ({"quantizer.commitment": ["high"]}, "quantizer.commitment='high': must be a number"),
        ({"quantizer.codes": [1]}, "quantizer.codes=1: must be at least 2"),
        ({"seed": ["zero"]}, "seed='zero': must be an integer"),
        ({"train.steps": [1.5]}, "train.steps=1.5: must be an integer"),
        ({"quantizer.commitment": [float("nan")]}, "must be a number"),
        ({"experiment": ["../x"]}, "experiment=../x: must be a name"),
        ({"experiment": ["a\nb"]}, r"experiment=a\\nb: must be a name"),
        ({"experiment": ["\x1b[31m"]}, r"experiment=\\x1b\[31m: must be a name"),
        ({"experiment": ["a\u202eb"]}, r"experiment=a\\u202eb: must be a name"),
    ],
)
def test_wrong_axes_are_named(axes, message):
    with pytest.raises(ConfigError, match=message):
        plan(sweep(axes))


def test_a_sweep_survives_its_file(tmp_path):
    original = sweep({"quantizer.commitment": [0, 0.5], "seed": [0, 1]}, points=[[0, 0, 1], [0, 1, 0]])
    original.save(tmp_path / "sweep.yaml")
    assert Sweep.load(tmp_path / "sweep.yaml") == original

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from quantbench.choices import choices
from quantbench.errors import ConfigError
from quantbench.paths import config_folder
from quantbench.results.tables import read_results
from quantbench.sweeps.audit import with_small
from quantbench.sweeps.catalogue import named_classes
from quantbench.sweeps.compose import OtherEngine, compose, jobs
from quantbench.sweeps.plan import plan


def configs(*overrides, **settings):
    return [config for _, config in compose(list(overrides), **settings).configs()]


@pytest.fixture
def mine(tmp_path):
    """A folder of the user's own with an experiment, as text."""

    def write(sweeper, group="experiment", name="mine", head="# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n"):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(head + sweeper)
        return tmp_path

    return write


def hydras_own(words):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return OmegaConf.to_container(hydra_compose("config", words), resolve=True)


SINGLE = {
    "defaults": [],
    "choices": ["quantizer=fsq", "codec=mlp", "gradient=noise"],
    "values": ["quantizer=rvq", "train.lr=1e-2", "simulator.bits=5"],
    "a list": ["quantizer=fsq", "quantizer.levels=[3,4]", "codec.latent_dim=2"],
    "a dictionary": ["gradient=soft_to_hard", "gradient.temperature={start:3,shape:linear}"],
    "an interpolation": ["quantizer.codes='${two_to:${simulator.bits}}'", "simulator.bits=4"],
    "quoted": ["output='a b'", "device='cpu'"],
    "a choice within a choice": ["gradient=warm_up", "+gradient@gradient.then=mste"],
    "added": ["+quantizer.new=3"],
    "deleted": ["~train.lr"],
}


@pytest.mark.parametrize("case", SINGLE)
def test_one_trial_is_what_hydra_composes(case):
    (found,) = configs(*SINGLE[case])
    assert found == hydras_own(SINGLE[case])


def test_the_same_choices_put_together_or_composed_by_hydra():
    """Choices of several groups are put together without Hydra where that is the same."""
    some = [*list(choices("quantizer"))[::4], "rvq"]
    others = ["ste", "warm_up", "soft_to_hard", "curriculum"]
    sweep = compose([f"quantizer={','.join(some)}", f"gradient={','.join(others)}", "simulator=gaussian,laplace"])
    pairs = list(itertools.product(some, others, ["gaussian", "laplace"]))
    assert len(sweep.combinations) == len(pairs)
    for number, (quantizer, gradient, simulator) in list(enumerate(pairs))[::13]:
        combination = sweep.combinations[number]
        words = [f"quantizer={quantizer}", f"gradient={gradient}", f"simulator={simulator}"]
        assert combination.choices["quantizer"] == quantizer
        assert combination.choices["simulator"] == simulator
        found = OmegaConf.to_container(OmegaConf.create(combination.config), resolve=True)
        assert found == hydras_own(words)


def test_a_choice_that_changes_another_group_is_composed_by_hydra(mine):
    own = "codec: {hidden: 7}\nloss: {_target_: quantbench.losses.MSE}\n"
    folder = mine(own, "loss", "own", "# @package _global_\n")
    found = configs("loss=own,mse", "codec=mlp,seanet", "gradient=ste,mste", config_dir=folder)
    assert [one["codec"].get("hidden") for one in found] == [7, 7, 7, 7, 64, 64, None, None]


def test_a_dictionary_as_a_value_of_an_axis_is_merged():
    found = configs("gradient=soft_to_hard", "gradient.temperature={start:2,end:0.5},{end:0.2}", "seed=0,1")
    ends = [(one["gradient"]["temperature"]["start"], one["gradient"]["temperature"]["end"]) for one in found]
    assert ends == [(2, 0.5)] * 2 + [(1.0, 0.2)] * 2
    assert {one["gradient"]["temperature"]["shape"] for one in found} == {"exponential"}
    with pytest.raises(ConfigError, match=r"gradient.temperature.warmth=1: unknown setting; gradient.temperature takes"):
        configs("gradient=soft_to_hard", "gradient.temperature={warmth:1},{end:0.2}")


def test_a_dictionary_with_an_interpolation_is_resolved_anew_for_each_trial():
    words = ["gradient=soft_to_hard", "gradient.temperature={start:'${simulator.bits}'},{end:0.2}", "simulator.bits=4,5"]
    every = configs(*words, "train.explode='${gradient.temperature.start}'")
    assert [one["train"]["explode"] for one in every] == [4, 5, 1.0, 1.0]
    found = [one["gradient"]["temperature"] for one in every]
    assert [one["start"] for one in found] == [4, 5, 1.0, 1.0]
    assert [one["end"] for one in found] == [0.1, 0.1, 0.2, 0.2]


def test_values_in_yaml_are_values(mine):
    folder = mine(
        "    params:\n      gradient: [ste, mste]\n      output: ['range(0,3)']\n      seed: [0, 1]\n"
        "    points:\n      - {quantizer: vq, quantizer.init_by: 'a,b'}\n      - {quantizer: fsq, quantizer.levels: [3, 4]}\n"
    )
    found = configs("+experiment=mine", config_dir=folder)
    assert len(found) == 8
    assert {one["output"] for one in found} == {"range(0,3)"}
    assert [one["quantizer"].get("init_by") for one in found] == ["a,b"] * 4 + [None] * 4
    assert [one["quantizer"].get("levels") for one in found] == [None] * 4 + [[3, 4]] * 4
    assert [one["seed"] for one in found] == [0, 1] * 4


def test_points_of_plain_values_share_a_combination(mine):
    points = [(0.1, 0), (0.2, 1), (0.1, 1)]
    folder = mine("    points:\n" + "".join(f"      - {{train.lr: {lr}, seed: {seed}}}\n" for lr, seed in points))
    sweep = compose(["+experiment=mine"], folder)
    assert len(sweep.combinations) == 1
    assert [(one["train"]["lr"], one["seed"]) for _, one in sweep.configs()] == points


def test_hydras_own_place_for_axes():
    assert len(configs("+hydra.sweeper.params={seed:'0,1',gradient:'ste,mste'}")) == 4
    assert len(configs("hydra.sweeper.points=[{seed:1},{seed:2}]", "hydra.sweeper.exclude=[{seed:2}]")) == 1


def test_without_multirun_only_an_experiment_has_axes():
    with pytest.raises(ConfigError, match=r"seed=0,1: -m sweeps over several values"):
        compose(["seed=0,1"], multirun=False)
    assert len(configs("+experiment=ste_vs_anneal", multirun=False)) == 50


def test_globs():
    assert len(configs("simulator=glob(g*)")) == len([name for name in choices("simulator") if name.startswith("g")])


def test_the_overrides_for_other_launchers_give_the_same_trials(mine):
    folder = mine(
        "    params: {seed: [0, 1], gradient: 'ste,mste'}\n"
        "    points:\n      - {quantizer: vq, quantizer.init_by: normal, train.lr: 1e-3}\n"
        "      - {quantizer: fsq, quantizer.levels: [3, 4], codec.latent_dim: 2, train.lr: 1e-2}\n"
        "    exclude: [{quantizer: fsq, seed: 1}]\n"
    )
    words = ["+experiment=mine"]
    sweep = compose(words, folder)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        from hydra.core.global_hydra import GlobalHydra

        sweeper = {
            "params": {"seed": [0, 1], "gradient": "ste,mste"},
            "points": [
                {"quantizer": "vq", "quantizer.init_by": "normal", "train.lr": 1e-3},
                {"quantizer": "fsq", "quantizer.levels": [3, 4], "codec.latent_dim": 2, "train.lr": 1e-2},
            ],
            "exclude": [{"quantizer": "fsq", "seed": 1}],
        }
        listed = jobs([], sweeper, GlobalHydra.instance().config_loader())
    ids = {trial.id for trial in plan(sweep).trials}
    assert len(listed) == len(ids) == 6
    assert {plan(compose(job)).trials[0].id for job in listed} == ids


def test_other_engines_are_hydras_to_run():
    with pytest.raises(OtherEngine, match="quantbench run"):
        compose(["hydra/launcher=basic"])


def test_a_file_of_a_choice_holds_only_what_differs(mine):
    folder = mine("_target_: quantbench.quantizers.VectorQuantizer\ncodes: 5\n", "quantizer", "five", "# Five codes.\n")
    (one,) = configs("quantizer=five", "quantizer.decay=0.5", config_dir=folder)
    (other,) = configs("quantizer=vq", "quantizer.decay=0.5", "quantizer.codes=5")
    assert one["quantizer"]["codes"] == 5
    assert one["quantizer"].keys() == other["quantizer"].keys()
    assert one["quantizer"]["decay"] == 0.5


def test_a_rerun_that_would_unpickle_is_refused(quantbench):
    code, _, err = quantbench("run", "--experimental-rerun", "config.pickle")
    assert code == 2
    assert "quantbench resume" in err


def test_optuna_goes_on_where_parts_do_not_fit(quantbench):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs hydra-optuna-sweeper")
    words = [
        "run",
        "-m",
        "hydra/sweeper=optuna",
        "quantizer=choice(vq,fsq)",
        "gradient=choice(ste,rotation)",
        "executor=inline",
    ]
    words += ["hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=1", "objective=nmse_db"]
    code, _, err = quantbench(*words, "train.steps=20", "simulator.bits=3", "codec.latent_dim=2", "train.batch=16")
    assert code == 0, err


def test_optuna_minimises_a_metric(quantbench, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs hydra-optuna-sweeper")
    words = ["run", "-m", "hydra/sweeper=optuna", "train.lr=interval(0.0001,0.01)", "gradient=ste,mste", "executor=inline"]
    words += ["hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "train.steps=30", "quantizer.codes=16", "simulator.bits=4"]
    code, _, err = quantbench(*words)
    assert code == 2
    assert "objective=null: OptunaSweeper needs a metric" in err
    code, _, err = quantbench(*words, "objective=beauty")
    assert code == 2
    assert "objective=beauty: no such metric" in err
    code, _, err = quantbench(*words, "objective=nmse_db")
    assert code == 0, err
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    runs = list((tmp_path / "outputs" / "default").iterdir())
    assert len(runs) == 2
    best = min(read_results(folder)["nmse_db"].min() for folder in runs)
    assert found.best_value == pytest.approx(best)


STAGES = {
    "a stage": (["quantizer=rvq", "+quantizer@quantizer.stage=fsq"], "stage", "fsq"),
    "a part": (["quantizer=product", "+quantizer@quantizer.part=scalar"], "part", "scalar"),
    "the default": (["quantizer=product", "quantizer.part.decay=0.5"], "part", "vq"),
    "within both": (
        ["quantizer=residual", "+quantizer@quantizer.stage=product", "+quantizer@quantizer.stage.part=fsq"],
        "stage.part",
        "fsq",
    ),
}


@pytest.mark.parametrize("case", STAGES)
def test_a_choice_within_a_choice_leaves_nothing_of_the_default(case):
    words, place, name = STAGES[case]
    (found,) = configs(*words)
    node = found["quantizer"]
    for part in place.split("."):
        node = node[part]
    (alone,) = configs(f"quantizer={name}")
    assert node.keys() == alone["quantizer"].keys()
    assert node["_target_"] == alone["quantizer"]["_target_"]
    assert plan(compose(words)).trials[0].config["quantizer"]


def test_a_setting_that_a_choice_within_a_choice_lacks_is_still_told():
    words = ["quantizer=rvq", "+quantizer@quantizer.stage=fsq"]
    with pytest.raises(
        ConfigError, match=r"quantizer.stage.codes=4: unknown setting; quantizer.stage takes commitment, levels"
    ):
        configs(*words, "quantizer.stage.codes=4")
    with pytest.raises(ConfigError, match=r"quantizer.stage.new=4: unknown setting"):
        plan(compose([*words, "+quantizer.stage.new=4"]))


def test_an_axis_in_random_order_names_what_it_composes():
    for _ in range(4):
        sweep = compose(["quantizer=shuffle(fsq,vq,scalar,lfq)", "hydra.sweeper.exclude=[{quantizer:vq}]"])
        classes = {
            one.choices["quantizer"]: one.config["quantizer"]["_target_"].rpartition(".")[2] for one in sweep.combinations
        }
        assert classes == {"fsq": "FSQ", "scalar": "Uniform", "lfq": "LFQ"}


def test_of_a_key_that_is_there_twice_the_last_counts():
    assert [one["seed"] for one in configs("seed=0,1", "seed=3")] == [3]
    assert [one["seed"] for one in configs("seed=3", "seed=0,1")] == [0, 1]


ORDER = {
    "a forced addition": (["train.steps=9", "++train.steps=7"], "train.steps", [7]),
    "a value after an axis": (["quantizer.codes=16,32", "quantizer.codes=8"], "quantizer.codes", [8]),
    "an axis after a value": (["quantizer.codes=8", "quantizer.codes=16,32"], "quantizer.codes", [16, 32]),
    "an axis between": (["seed=1", "seed=2,3", "seed=4"], "seed", [4]),
    "a choice after an axis": (["loss=mse,audio", "loss=mse"], "loss.weight", [1.0]),
    "forced after an axis": (["seed=1,2", "++seed=5"], "seed", [5]),
    "within an axis of dictionaries": (["train={steps:30},{batch:3}", "train.batch=5"], "train.batch", [5, 5]),
    "before an axis of dictionaries": (["train.batch=5", "train={steps:30},{batch:3}"], "train.batch", [5, 3]),
    "around a dictionary": (["train.steps=9", "train={steps:7}", "train.steps=8"], "train.steps", [8]),
    "over an experiment's": (
        ["+hydra.sweeper.params={train:[{batch:3},{steps:2}]}", "train.batch=5"],
        "train.batch",
        [5, 5],
    ),
    "a forced value after a dictionary": (["train={batch:3}", "++train.batch=5"], "train.batch", [5]),
    "a dictionary after a forced value": (["++train.batch=5", "train={batch:3}"], "train.batch", [3]),
    "a dictionary after an axis": (["train.batch=5,6", "train={batch:3}"], "train.batch", [3, 3]),
    "two dictionaries": (["train={batch:3}", "train={steps:2}"], "train.batch", [3]),
    "an axis of dictionaries and one more": (["train={batch:3},{batch:4}", "train={steps:2}"], "train.batch", [3, 4]),
    "a value of what is added": (["+quantizer.new=1,2", "quantizer.new=5"], "quantizer.new", [5]),
    "deleted and added": (["~train.lr", "+train.lr=5"], "train.lr", [5]),
    "a dictionary over an experiment's": (
        ["+hydra.sweeper.params={train:[{batch:3},{batch:4}]}", "train={steps:2}"],
        "train.batch",
        [3, 4],
    ),
    "within a point": (
        ["hydra.sweeper.points=[{train.batch:5,train:{batch:3}},{train.batch:6}]"],
        "train.batch",
        [3, 6],
    ),
    "null for a dictionary with an interpolation": (
        ["quantizer=vqp_vq", "quantizer.arguments=null,null"],
        "quantizer.arguments",
        [None, None],
    ),
    "over a point's": (["hydra.sweeper.points=[{train:{batch:3}},{train:{steps:2}}]", "train.batch=5"], "train.batch", [5, 5]),
}


@pytest.mark.parametrize("case", ORDER)
def test_the_last_word_counts(case):
    words, name, values = ORDER[case]
    found = [OmegaConf.select(OmegaConf.create(one), name) for one in configs(*words)]
    assert found == values


def test_globs_see_the_users_own_choices(mine):
    folder = mine("_target_: quantbench.gradients.STE\n", "gradient", "dampened", "# Mine.\n")
    sweep = compose(["gradient=glob(dam*)"], folder)
    assert [one.choices["gradient"] for one in sweep.combinations] == ["dampened"]
    found = [one.choices["gradient"] for one in compose(["gradient=glob(d*)"]).combinations]
    assert found == [name for name in choices("gradient") if name.startswith("d")]  # and not those of another command


def test_within_an_application_of_hydras_and_in_threads(tmp_path):
    (tmp_path / "config.yaml").write_text("theirs: 3\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert len(configs("seed=1,2")) == 2
        assert hydra_compose("config").theirs == 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seeds: len(configs(f"seed=range(0,{seeds})")), [1, 2, 3, 4]))
    assert found == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["it's", "a,b=c", "[x] y", "über"])
def test_folders_with_any_name(mine, tmp_path, quantbench, name):
    folder = mine("_target_: quantbench.gradients.STE\n", "gradient", "dampened", "# Mine.\n")
    place = folder / name
    place.mkdir()
    (folder / "gradient").rename(place / "gradient")
    assert compose(["gradient=dampened"], place).search_path == [str(place)]
    code, out, err = quantbench("run", "--config-dir", str(place), "--cfg", "job", "gradient=dampened")
    assert code == 0, err
    assert "quantbench.gradients.STE" in out


@pytest.mark.parametrize(
    "words", [["train={steps:100},{steps:300}", "train.batch=32"], ["train.steps=100,300", "train.batch=32"]]
)
def test_an_axis_of_dictionaries_is_as_good_as_one_of_values(words):
    found = plan(compose(["+experiment=smoke", "gradient=ste", "seed=0", *words])).trials
    assert [(one.config["train"]["steps"], one.config["train"]["batch"]) for one in found] == [(100, 32), (300, 32)]
    alone = [
        plan(compose(["+experiment=smoke", "gradient=ste", "seed=0", f"train.steps={steps}", "train.batch=32"])).trials[0].id
        for steps in (100, 300)
    ]
    assert [one.id for one in found] == alone


def test_a_dictionary_keeps_what_it_does_not_name(mine):
    words = ["quantizer=vqp_vq", "quantizer.arguments={codebook_size:16},{codebook_size:32}"]
    found = [one["quantizer"]["arguments"] for one in configs(*words)]
    right = [{"dim": 8, "codebook_size": size, "rotation_trick": False} for size in (16, 32)]
    assert found == right
    folder = mine("    params: {quantizer: [vqp_vq], quantizer.arguments: [{codebook_size: 16}, {codebook_size: 32}]}\n")
    assert [one["quantizer"]["arguments"] for one in configs("+experiment=mine", config_dir=folder)] == right


HOSTILE = ["split/x,y", "a=b", "(x", "~z", "it's", "\\", "null", "007", "{a:b}", "[q]", ""]


def test_text_in_yaml_is_text(mine):
    axis = mine(f"    params: {{simulator.folder: {json.dumps([*HOSTILE, None])}}}\n")
    assert [one["simulator"]["folder"] for one in configs("+experiment=mine", "simulator=audio", config_dir=axis)] == [
        *HOSTILE,
        None,
    ]
    points = [{"simulator": "audio", "++simulator.folder": one} for one in [*HOSTILE, {"a": "b,c=d"}]]
    folder = mine(f"    points: {json.dumps(points)}\n")
    found = [one["simulator"]["folder"] for one in configs("+experiment=mine", config_dir=folder)]
    assert found == [*HOSTILE, {"a": "b,c=d"}]


def test_a_setting_that_only_the_choices_of_an_axis_have(mine):
    folder = mine("    params: {quantizer: 'fsq,scalar', quantizer.levels: 3}\n")
    assert [one["quantizer"]["levels"] for one in configs("+experiment=mine", config_dir=folder)] == [3, 3]


NUMBERS = {"007": "STE", "1e3": "MSTE", "mine/a": "VP"}


@pytest.fixture
def numbered(mine):
    """A folder with choices whose names look like numbers, and with one in a sub-folder."""
    (mine("", "gradient") / "gradient" / "mine").mkdir()
    for name, cls in NUMBERS.items():
        folder = mine(f"_target_: quantbench.gradients.{cls}\n", "gradient", name, "# Mine.\n")
    (folder / "gradient" / "mine.yaml").unlink()
    return folder


@pytest.mark.parametrize(
    "sweeper",
    [
        "    params: {gradient: '007,1e3,mine/a'}\n",
        "    params: {gradient: ['007', '1e3', mine/a]}\n",
        "    points: [{gradient: '007'}, {gradient: '1e3'}, {gradient: mine/a}]\n",
        "    params: {gradient: 'glob([0*,1*,mine*])'}\n",
        "    params: {gradient: 'choice(007, 1e3, mine/a)'}\n",
        "",
    ],
)
def test_names_of_choices_are_text(numbered, mine, sweeper):
    mine(sweeper or "    params: {}\n")
    sweep = compose(["+experiment=mine", *([] if sweeper else ["gradient=007,1e3,mine/a"])], numbered)
    classes = {one.choices["gradient"]: one.config["gradient"]["_target_"].rpartition(".")[2] for one in sweep.combinations}
    assert classes == NUMBERS


def test_a_name_that_looks_like_a_number_in_hydras_hands(numbered, quantbench):
    code, out, err = quantbench("run", "--config-dir", str(numbered), "--cfg", "job", "gradient=1e3")
    assert code == 0, err
    assert "quantbench.gradients.MSTE" in out


def test_choices_in_sub_folders_are_found_everywhere(numbered, quantbench):
    audited = compose(with_small(["quantizer=vq"], 1), numbered)
    assert NUMBERS.keys() <= {one.choices["gradient"] for one in audited.combinations}
    code, out, err = quantbench("list", "gradient", "--config-dir", str(numbered), "--format", "csv")
    assert code == 0, err
    assert "gradient,mine/a," in out
    assert {one.__name__ for one in named_classes(numbered)} == {*NUMBERS.values()}


def test_the_overrides_of_entangled_words_for_other_launchers(mine):
    folder = mine("    params: {train: [{batch: 3}, {batch: 4}]}\n    exclude: [{train.batch: 4, seed: 1}]\n")
    words = ["train={steps:2}", "seed=0,1", "gradient=ste"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        from hydra.core.global_hydra import GlobalHydra

        sweeper = {"params": {"train": [{"batch": 3}, {"batch": 4}]}, "exclude": [{"train.batch": 4, "seed": 1}]}
        listed = jobs(words, sweeper, GlobalHydra.instance().config_loader())
    ids = {trial.id for trial in plan(compose(["+experiment=mine", *words], folder)).trials}
    assert len(ids) == len(listed) == 3
    assert {plan(compose(job)).trials[0].id for job in listed} == ids


WRONG = {
    "several choices in brackets": (["gradient=[ste,mste]"], "to try each of them, write gradient=ste,mste"),
    "settings for a choice": (["quantizer=vq,fsq", "quantizer={codes:3},{codes:4}"], "must name a choice"),
    "null among choices": (["gradient=ste,null"], "gradient=ste,null: must name a choice"),
    "a key to exclude that is nowhere": (
        ["+experiment=smoke", "hydra.sweeper.exclude=[{gradiennt: mste}]"],
        "so nothing would be left out; hydra.sweeper.exclude=[] gives up all exclusions; did you mean gradient?",
    ),
    "a value to exclude that is nowhere": (
        ["+experiment=smoke", "hydra.sweeper.exclude=[{gradient: mste, seed: 7}]"],
        "seed: 7: no point of this grid has this value; seed is 0, 1, 2",
    ),
    "a choice that is null": (["gradient=null"], "gradient=null: must name a choice"),
    "a range without an end": (["seed=range(0,3,0)"], "seed=range(0,3,0): has no values"),
    "no sweeper": (["hydra.sweeper=null"], "hydra.sweeper=None: must hold settings"),
    "no launcher": (["~hydra/launcher"], "hydra.launcher"),
    "settings of a run in points": (
        ["hydra.sweeper.points=[{seed:1,output:a},{seed:2,output:b}]"],
        "output: is a setting of the whole run and cannot vary within it",
    ),
    "text that is no grammar": (["+hydra.sweeper.params={seed:'1,2,'}"], "hydra.sweeper.params.seed=1,2,: cannot be read"),
}


@pytest.mark.parametrize(
    ("sweeper", "message"),
    [
        ("    points: [{seed: 1}, {'': 2}]\n", "holds a key without a name"),
        ("    params: {seed: }\n", "params.seed: this axis has"),
        ("    params: {gradient: [007]}\n", "params.gradient: 7: must name a choice; .* in YAML, quote a name"),
        ("    params: {gradient: [null]}\n", "params.gradient: None: must name a choice"),
        ("    points: [{gradient: [ste, mste]}]\n", "write gradient=ste,mste"),
        ("    points: [{++quantizer.new: {'it''s': 1}}]\n", "Hydra's grammar has no words for one of these keys"),
    ],
)
def test_an_experiment_that_is_wrong_is_told(mine, sweeper, message):
    with pytest.raises(ConfigError, match=message):
        compose(["+experiment=mine"], mine(sweeper))


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case):
    words, message = WRONG[case]
    with pytest.raises(ConfigError) as told:
        compose(words)
    assert message in str(told.value)


def test_hydras_launcher_with_a_choice_within_a_choice(quantbench, tmp_path):
    words = ["-m", "hydra/launcher=basic", "quantizer=residual", "+quantizer@quantizer.stage=fsq,scalar", "train.steps=5"]
    code, _, err = quantbench("run", "executor=inline", *words, "codec.latent_dim=2", "train.batch=8")
    assert code == 0, err
    classes = {read_results(folder)["quantizer"].item() for folder in (tmp_path / "outputs" / "default").iterdir()}
    assert classes == {"residual"}


def test_flags_of_cfg_alone_train_nothing(quantbench, tmp_path):
    code, _, err = quantbench("run", "--package", "train")
    assert code == 2
    assert "give --cfg job" in err
    assert not (tmp_path / "outputs").exists()


def test_a_word_of_the_users_is_not_forgotten_with_the_defaults():
    words = ["quantizer=residual", "+quantizer@quantizer.stage=fsq", "++quantizer.stage.codes=32"]
    with pytest.raises(ConfigError, match=r"quantizer.stage.codes=32: unknown setting; FSQ takes"):
        plan(compose(words))


def test_a_setting_two_levels_down_has_its_whole_name():
    words = ["quantizer=residual", "+quantizer@quantizer.stage=residual", "quantizer.stage.stages=0"]
    with pytest.raises(ConfigError, match=r"^quantizer.stage.stages=0: must be at least 1"):
        plan(compose(words))

import json
import re
import subprocess
import sys
from importlib.metadata import version

import pandas as pd
import pytest

from quantbench.cli import SUBCOMMANDS
from quantbench.results.tables import read_results
from tests.conftest import SMALL


def test_help_and_version_do_not_import_torch():
    for words in (["--help"], ["--version"]):
        code = f"""
import sys
from quantbench.cli import main
try:
    main({words})
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules and "pandas" not in sys.modules and "hydra" not in sys.modules
"""
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert "run" in out or version("quantbench") in out


def test_help_of_run_shows_choices_and_settings(quantbench):
    code, out, _ = quantbench("run", "--help")
    assert code == 0
    for text in ("quantizer    bsq, cdf, conditioned", "ste_vs_anneal", "train.steps=4000", "--config-dir", "--cfg job"):
        assert text in out
    assert not re.search(r"^  experiment\b", out, re.MULTILINE)  # it is chosen with a plus
    assert "Hydra" in quantbench("run", "--hydra-help")[1]


def test_cfg_job_shows_the_composed_configuration(quantbench):
    code, out, _ = quantbench("run", "--cfg", "job", "quantizer=fsq", "+experiment=ste_vs_anneal", "simulator.bits=6")
    assert code == 0
    assert "_target_: quantbench.quantizers.FSQ" in out
    assert "bits: 6" in out


def test_list_shows_every_choice_and_the_pairs(quantbench):
    code, out, _ = quantbench("list")
    assert code == 0
    for text in ("codeword", "ste_vs_anneal", "soft_to_hard", "Vector quantization with a learned codebook."):
        assert text in out
    row = next(line for line in out.rpartition("pairs that fit")[2].splitlines() if line.startswith("soft_to_hard"))
    fitting = row.replace(",", "").split()
    assert fitting[:3] == ["soft_to_hard", "soft", "assignment"]
    assert fitting[3:5] == ["all", "but"]
    assert {"none", "tcq", "external"} <= set(fitting[5:])
    assert not {"vq", "fsq", "rvq"} & set(fitting[5:])
    assert "quantizer:" not in quantbench("list", "simulator")[1]


def test_a_sweep_from_the_command_line(small_run):
    table = read_results(small_run("-m", "quantizer=fsq,scalar", "seed=0,1"))
    assert len(table) == 4


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path):
    yield
    assert not list(tmp_path.rglob("*.partial"))


RUN = ["run", "executor=inline", *SMALL]
BAD = {
    "unknown experiment": (["run", "+experiment=nothing"], ["+experiment=nothing: no such choice", "ste_vs_anneal"]),
    "unknown choice": (["run", "quantizer=nothing"], ["quantizer=nothing: no such choice; there are bsq", "fsq, ", "rvq, "]),
    "unknown group": (["run", "quantiser=vq"], ["quantiser=vq: unknown setting", "did you mean quantizer?"]),
    "unknown setting": (["run", "quantizer.codez=4"], ["quantizer.codez", "quantizer takes", "codes, codebook_weight"]),
    "added setting": (["run", "+quantizer.codez=4"], ["quantizer.codez=4: unknown setting", "codes"]),
    "added top-level setting": (["run", "+colour=red"], ["colour=red: unknown setting", "seed"]),
    "unknown train setting": (["run", "train.epochs=4"], ["train.epochs", "steps, batch"]),
    "wrong type": (["run", "train.steps=many"], ["train.steps='many': must be an integer"]),
    "wrong type of seed": (["run", "seed=first"], ["seed='first': must be an integer"]),
    "levels": (["run", "quantizer=fsq", "quantizer.levels=1"], ["quantizer.levels=1: must be at least 2"]),
    "levels for another latent": (["run", "quantizer=fsq", "quantizer.levels=[8,5]"], ["codec.latent_dim=8"]),
    "bits": (["run", "simulator.bits=0"], ["simulator.bits=0: must be at least 1"]),
    "far too many bits": (["run", "simulator.bits=1000000000000"], ["simulator.bits=1000000000000", "at most simulator.bits="]),
    "far too many rotations": (["run", "simulator=rotation", "simulator.bits=2000"], ["allows at most simulator.bits="]),
    "codes": (["run", "quantizer.codes=100000000000"], ["quantizer.codes=100000000000: must be at most"]),
    "a rate that float32 lacks": (["run", "train.lr=1e39"], ["train.lr=1e+39: must be a number"]),
    "no train": (["run", "train=5"], ["train"]),
    "train deleted": (["run", "~train"], ["train=None: must hold settings"]),
    "gradient deleted": (["run", "~gradient"], ["gradient=None: must hold settings"]),
    "executor null": (["run", "executor=null"], ["executor=null: must name a choice"]),
    "seed deleted": (["run", "~seed"], ["seed=None: must be an integer"]),
    "seed too large": (["run", "seed=100000000000000000000"], ["must fit into 64 bits"]),
    "two unknown settings": (["run", "foo.bar=1", "baz.qux=2"], ["foo.bar=1: unknown setting; a run takes simulator"]),
    "unknown beside a sweep": (
        ["run", "-m", "seed=range(4)", "quantizer.foo=1"],
        ["quantizer.foo=1: unknown setting; quantizer takes", "codes, "],
    ),
    "everything excluded": (
        ["run", "+experiment=ste_vs_anneal", "gradient=mste", "quantizer.commitment=1"],
        ["hydra.sweeper.exclude leaves out every point"],
    ),
    "resume of a file": (["resume", "r.csv"], ["r.csv: no folder of a run"]),
    "text for numbers": (["diff", "r.csv", "text.csv"], ["text.csv: column mse holds 'high', which is no number"]),
    "too many bits": (["run", "simulator.bits=50"], ["simulator.bits=50", "allows at most simulator.bits="]),
    "a pair": (
        ["run", "quantizer=none", "gradient=soft_to_hard"],
        ["soft assignment", "gradients that fit it: ", "mste"],
    ),
    "one of": (["run", "gradient=noise", "gradient.match=nothing"], ["gradient.match='nothing': must be one of step, error"]),
    "a schedule's shape": (
        ["run", "gradient=soft_to_hard", "gradient.temperature.shape=square"],
        ["gradient.temperature.shape='square': must be one of constant, linear"],
    ),
    "a schedule's end": (
        ["run", "gradient=sga", "quantizer=fsq", "gradient.temperature.end=0"],
        ["gradient.temperature", "above 0"],
    ),
    "no strategy": (["run", "gradient=warm_up", "gradient.then=5"], ["gradient.then=5: must hold settings"]),
    "a nested strategy": (
        ["run", "quantizer=fsq", "gradient=warm_up", "+gradient@gradient.then=ewgs", "gradient.then.delta=-1"],
        ["gradient.then.delta=-1", "at least 0"],
    ),
    "a nested misfit": (["run", "gradient=warm_up", "+gradient@gradient.then=dsq"], ["no grid of levels"]),
    "own gradient": (["run", "quantizer=external"], ["gradient of its own", "gradients that fit it: own"]),
    "lattice": (["run", "quantizer=lattice", "codec.latent_dim=6"], ["quantizer.lattice=E8", "multiple of 8"]),
    "too many bits for the entropy": (["run", "quantizer=lfq", "codec.latent_dim=20"], ["codec.latent_dim=20", "at most 12"]),
    "a part that cannot be one": (
        ["run", "quantizer=residual", "+quantizer@quantizer.stage=none"],
        ["quantizer.stage: Identity cannot be a stage"],
    ),
    "a setting of stages": (
        ["run", "quantizer=rvq", "quantizer.stage.codes=1"],
        ["error: quantizer.stage.codes=1: must be at least 2"],
    ),
    "a setting that stages have": (
        ["run", "quantizer=rfsq", "quantizer.range=0.5"],
        ["quantizer.range=0.5: unknown setting; quantizer takes stage", "did you mean quantizer.stage.range?"],
    ),
    "an abstract class": (["run", "quantizer._target_=quantbench.quantizers.Quantizer"], ["is abstract"]),
    "groups": (["run", "quantizer=product", "quantizer.groups=3"], ["quantizer.groups=3: must divide codec.latent_dim=8"]),
    "affine of averages": (["run", "quantizer.affine=true", "quantizer.update_by=ema"], ["quantizer.affine=true: needs"]),
    "empty axis": (["run", "-m", "seed=range(0,0)"], ["seed=range(0,0)", "no values"]),
    "empty value": (["run", "seed="], ["seed=''"]),
    "missing folder": (
        ["run", "simulator=audio_frames"],
        ["simulator.folder=/", "/data/speech: no such folder", "scripts/get_audio.sh"],  # where it was looked for
    ),
    "no such GPU": (["run", "device=cuda:77"], ["device=cuda:77: must be auto, cpu", "CUDA devices on this machine"]),
    "no device": (["run", "device=abacus"], ["device=abacus: must be auto, cpu, cuda or cuda:N"]),
    "another device of torch": (["run", "device=meta"], ["device=meta: must be auto, cpu, cuda or cuda:N"]),
    "no device at all": (["run", "device=null"], ["device=None: must be text"]),
    "no class": (["run", "quantizer._target_=nowhere.Nothing"], ["quantizer._target_=nowhere.Nothing: cannot be loaded"]),
    "another class": (["run", "quantizer._target_=quantbench.codecs.MLP"], ["must be a dataclass that derives from Quantizer"]),
    "an axis of the run": (["run", "-m", "output=a,b"], ["output", "cannot vary"]),
    "several experiments": (["run", "-m", "+experiment=smoke,bit_budget"], ["experiment", "cannot vary"]),
    "several executors": (["run", "-m", "executor.stack_size=1,2"], ["executor.stack_size", "cannot vary"]),
    "a sweep without -m": (["run", "seed=0,1"], ["seed=0,1"]),
    "an interval": (["run", "-m", "seed=interval(0,1)"], ["interval"]),
    "bad grammar": (["run", "seed=[1"], ["[1"]),
    "config dir": (["run", "--config-dir", "nowhere"], ["nowhere"]),
    "axis that is not there": (
        ["run", "-m", "quantizer.codez=1,2"],
        ["quantizer.codez", "quantizer takes", "codes, codebook_weight"],
    ),
    "stack size": (["run", "executor.stack_size=0"], ["executor.stack_size=0: must be at least 1"]),
    "experiment without +": (["run", "experiment=smoke"], ["choose one with +experiment=smoke"]),
    "list": (["list", "nothing"], ["list nothing: no such group; there are experiment, simulator"]),
    "diff": (["diff", "a.csv", "b.csv"], ["a.csv: no such file"]),
    "metric": (
        ["diff", "r.csv", "r.csv", "--metric", "beauty"],
        ["--metric beauty: no such metric; there are mse, dead_codes"],
    ),
    "command": (["frobnicate"], ["frobnicate: no such command; there are run, resume"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_message(quantbench, tmp_path, case):
    words, expected = BAD[case]
    row = "a,x,completed,,0,codeword,mlp,vq,ste," + ",".join("1" for _ in range(2))
    header = "trial,experiment,status,error,seed,simulator,codec,quantizer,gradient,mse,dead_codes"
    (tmp_path / "r.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "text.csv").write_text(f"{header}\n{row.replace(',1,1', ',high,1')}\n")
    code, out, err = quantbench(*words)
    assert code == 2, out + err
    assert "Traceback" not in err
    for text in expected:
        assert text in err
    assert not (tmp_path / "outputs").exists()  # nothing was trained


def test_resume_of_no_run(quantbench, tmp_path):
    code, _, err = quantbench("resume", str(tmp_path))
    assert code == 2
    assert "no folder of a run" in err


def test_a_sweep_skips_pairs_that_do_not_fit_and_says_why(small_run):
    table = read_results(small_run("-m", "quantizer=vq,none", "gradient=ste,soft_to_hard"))
    skipped = table[table["status"] == "skipped"]
    assert len(table) == 4
    assert skipped["quantizer"].tolist() == ["none"]
    assert "soft assignment" in skipped["error"].item()
    assert skipped["mse"].isna().all()


def test_dry_run_trains_nothing(quantbench, tmp_path):
    words = ["run", "executor=inline", "dry_run=true", "-m", "quantizer=vq,none", "gradient=ste,soft_to_hard", "seed=0,1"]
    code, out, _ = quantbench(*words)
    assert code == 0
    assert "default: 8 trials in 3 stacks, 2 skipped" in out
    assert (
        "skipped, 2 trials: gradient=soft_to_hard does not fit quantizer=none: the quantizer offers no soft assignment" in out
    )
    assert out.count("quantizer=vq gradient=ste loss=mse seed=") == 2
    assert not (tmp_path / "outputs").exists()


def test_an_axis_on_the_command_line_replaces_the_experiments(quantbench):
    words = ["run", "+experiment=ste_vs_anneal", "dry_run=true", "executor=inline"]
    assert "ste_vs_anneal: 50 trials in 8 stacks" in quantbench(*words)[1]
    _, out, _ = quantbench(*words, "seed=range(0,16)", "gradient=ste,mste")
    assert "ste_vs_anneal: 96 trials" in out
    assert "soft_to_hard" not in out


@pytest.mark.parametrize("experiment", ["smoke", "ste_vs_anneal", "ste_stability", "bit_budget"])
def test_every_experiment_can_be_planned(quantbench, experiment):
    code, out, err = quantbench("run", f"+experiment={experiment}", "dry_run=true")
    assert code == 0, err
    assert out.startswith(f"{experiment}: ")


def test_hydras_own_launcher_trains_the_same(small_run, quantbench, tmp_path):
    words = ["-m", "gradient=ste,mste", "seed=0,1"]
    stacked = read_results(small_run(*words))
    before = set((tmp_path / "outputs" / "default").iterdir())
    code, _, err = quantbench("run", "executor=inline", *SMALL, "hydra/launcher=basic", *words)
    assert code == 0, err
    folders = set((tmp_path / "outputs" / "default").iterdir()) - before
    assert len(folders) == 4
    single = pd.concat([read_results(folder) for folder in folders]).set_index("trial")
    for _, row in stacked.iterrows():
        assert single.loc[row["trial"], "mse"] == row["mse"]


def test_shell_completion(quantbench, monkeypatch):
    assert "complete" in quantbench("-sc", "install=bash")[1]
    monkeypatch.setenv("COMP_LINE", "quantbench r")
    assert quantbench("-sc", "query=bash")[1].split() == list(SUBCOMMANDS)
    monkeypatch.setenv("COMP_LINE", "quantbench run quantizer=")
    assert "quantizer=fsq" in quantbench("-sc", "query=bash")[1].split()
    monkeypatch.setenv("COMP_LINE", "quantbench run +experiment=ste_v")
    assert quantbench("-sc", "query=bash")[1].split() == ["+experiment=ste_vs_anneal"]


EXTENSION = '''
import torch
from quantbench.components import component
from quantbench.gradients import Gradient
from quantbench.quantizers import Code, Quantizer
from quantbench.simulators import Gaussian


@component
class Sign(Quantizer):
    """One bit a dimension."""

    scale: float = 1.0

    def alphabet(self, dim):
        return [2] * dim

    def quantize(self, state, latents):
        positive = latents.detach() > 0
        return Code(self.scale * (2.0 * positive - 1), positive.long())


@component
class Half(Gradient):
    def pass_through(self, quantizer, state, latents, code, moment):
        return 0.5 * latents + (code.values - 0.5 * latents).detach()


@component
class Broken(Gradient):
    def pass_through(self, quantizer, state, latents, code, moment):
        raise ValueError("a bug of the user's")


@component
class Cubed(Gaussian):
    def samples(self, streams, frames, purpose):
        return super().samples(streams, frames, purpose) ** 3
'''


def test_a_choice_that_is_no_yaml_is_named(quantbench, tmp_path):
    (tmp_path / "quantizer").mkdir()
    (tmp_path / "quantizer" / "bad.yaml").write_text("_target_: [unclosed\n")
    for words in (["run", "--config-dir", str(tmp_path), "quantizer=bad"], ["list", "--config-dir", str(tmp_path)]):
        code, _, err = quantbench(*words)
        assert code == 2
        assert "bad.yaml" in err
        assert "Traceback" not in err


@pytest.fixture
def extension(tmp_path):
    """A user's own folder: choices in YAML and the classes beside them."""
    folder = tmp_path / "mine"
    (folder / "experiment").mkdir(parents=True)
    (folder / "my_classes.py").write_text(EXTENSION)
    for group, name, cls in (
        ("quantizer", "sign", "Sign\nscale: 0.5"),
        ("gradient", "half", "Half"),
        ("gradient", "broken", "Broken"),
        ("simulator", "cubed", "Cubed\nframe_dim: 4"),
    ):
        (folder / group).mkdir(exist_ok=True)
        (folder / group / f"{name}.yaml").write_text(f"# Mine: {name}.\n_target_: my_classes.{cls}\n")
    (folder / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /simulator: cubed\n  - override /quantizer: sign\n"
        "experiment: mine\ntrain: {steps: 20, batch: 16}\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {gradient: 'half,ste', quantizer.scale: '0.5,1', seed: '0,1'}}}\n"
    )
    yield folder
    sys.modules.pop("my_classes", None)


@pytest.mark.parametrize(
    "executor", [pytest.param(["executor=inline"], marks=pytest.mark.slow), ["executor.workers=2", "executor.stack_size=2"]]
)
def test_ones_own_classes_and_experiment(quantbench, extension, tmp_path, executor):
    code, _, err = quantbench("run", "--config-dir", str(extension), "+experiment=mine", *executor)
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "mine").iterdir()
    table = read_results(folder)
    assert len(table) == 8
    assert set(table["status"]) == {"completed"}
    assert set(table["gradient"]) == {"half", "ste"}
    assert sorted(table["quantizer.scale"].unique()) == [0.5, 1.0]
    out = quantbench("list", "--config-dir", str(extension))[1]
    assert "Mine: sign." in out
    row = next(line for line in out.rpartition("pairs that fit")[2].splitlines() if line.startswith("soft_to_hard"))
    fitting = row.partition("soft assignment")[2]
    assert ("sign" in fitting) == ("all but" in fitting)  # it offers nothing, so it does not fit


def test_a_failing_trial_is_told_and_spares_the_others(quantbench, extension, tmp_path):
    words = ["--config-dir", str(extension), "+experiment=mine", "executor=inline", "gradient=ste,broken"]
    code, _out, err = quantbench("run", *words)
    assert code == 1
    assert "4 of 8 trials failed" in err
    assert err.count("a bug of the user's") == 4
    assert "my_classes.py:" in err
    (folder,) = (tmp_path / "outputs" / "mine").iterdir()
    table = read_results(folder)
    assert table.groupby("gradient")["status"].unique().map(list).to_dict() == {"broken": ["failed"], "ste": ["completed"]}
    source = extension / "my_classes.py"
    source.write_text(source.read_text().replace('raise ValueError("a bug of the user\'s")', "return latents"))
    sys.modules.pop("my_classes")
    code, _out, err = quantbench("resume", str(folder), "--config-dir", str(extension))
    assert code == 0, err
    assert set(read_results(folder)["status"]) == {"completed"}


def test_a_setting_of_a_group_that_is_swept_over(quantbench):
    words = ["run", "executor=inline", "dry_run=true", "-m", "quantizer=fsq,scalar", "codec.latent_dim=2", "seed=range(0,5)"]
    for levels in ("3", "[3,5]"):
        code, out, err = quantbench(*words, f"quantizer.levels={levels}")
        assert code == 0, err
        assert "default: 10 trials in 2 stacks" in out


def test_excluded_points_are_matched_by_value(quantbench):
    words = ["run", "+experiment=ste_vs_anneal", "dry_run=true", "simulator.bits=6"]
    assert "ste_vs_anneal: 25 trials" in quantbench(*words)[1]
    assert "ste_vs_anneal: 25 trials" in quantbench(*words, "quantizer.commitment=0,1.0")[1]
    assert "ste_vs_anneal: 20 trials" in quantbench(*words, "quantizer.commitment=0")[1]


def test_points_hold_values_that_go_together(quantbench, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "trio.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n"
        "    points:\n"
        "      - {quantizer: vq, quantizer.codes: 16, quantizer.affine: true}\n"
        "      - {quantizer: fsq, quantizer.levels: [3, 4], codec.latent_dim: 2}\n"
        "      - {quantizer: fsq, quantizer.levels: 5, codec.latent_dim: 3}\n"
        "    params: {seed: 'range(0,2)'}\n"
        "    exclude: [{quantizer: fsq, quantizer.levels: 5, seed: 1}]\n"
    )
    words = ["run", "--config-dir", "mine", "+experiment=trio", "executor=inline", *SMALL]
    code, out, err = quantbench(*words)
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    table = read_results(folder)
    assert list(table["quantizer"]) == ["vq", "vq", "fsq", "fsq", "fsq"]
    assert list(table["codec.latent_dim"]) == [8, 8, 2, 2, 3]
    assert list(table["quantizer.levels"].fillna("")) == ["", "", "[3, 4]", "[3, 4]", "5"]
    # A value on the command line takes the place of the points' own; points that are then alike count once.
    alike = "hydra.sweeper.points=[{quantizer:vq,train.lr:0.1},{quantizer:fsq,train.lr:0.1}]"
    code, out, err = quantbench(*words, alike, "quantizer=vq", "dry_run=true")
    assert code == 2
    assert "hydra.sweeper.exclude: quantizer.levels: 5: quantizer.levels is not in this grid" in err
    code, out, err = quantbench(*words, alike, "hydra.sweeper.exclude=[]", "quantizer=vq", "dry_run=true")
    assert "default: 2 trials in 1 stacks" in out, err
    code, out, err = quantbench(*words, "hydra.sweeper.points=[]", "hydra.sweeper.exclude=[]", "dry_run=true")
    assert "default: 2 trials in 1 stacks" in out


def test_a_strategy_within_a_strategy(small_run):
    table = read_results(small_run("-m", "gradient=warm_up", "+gradient@gradient.then=ste,mste", "gradient.share=0.1,0.2"))
    assert sorted(table["gradient.then"].unique()) == ["MSTE", "STE"]
    assert len(table) == 4
    assert table["mse"].nunique() == 4


def test_a_quantizer_within_a_quantizer(small_run):
    folder = small_run(
        "-m", "quantizer=residual", "+quantizer@quantizer.stage=vq,lattice", "quantizer.stages=2,3", "codec.latent_dim=8"
    )
    table = read_results(folder)
    rates = {("VectorQuantizer", 2): 16, ("VectorQuantizer", 3): 24, ("Lattice", 2): 16, ("Lattice", 3): 24}
    keys = zip(table["quantizer.stage"], table["quantizer.stages"], strict=True)
    assert dict(zip(keys, table["rate_bits"], strict=True)) == rates
    assert set(table["quantizer"]) == {"residual"}
    assert table["mse"].nunique() == 4
    assert json.loads((folder / "columns.json").read_text())["sizes"] == [
        "quantizer.stages",
        "quantizer.stage.codes",
        "quantizer.stage.levels",
    ]


def test_schedules_are_settings_like_others(small_run):
    folder = small_run("-m", "gradient=soft_to_hard", "gradient.temperature.start=1,2", "gradient.temperature.shape=linear")
    table = read_results(folder)
    assert list(table["gradient.temperature.start"]) == [1, 2]
    assert list(table["stack_size"]) == [2, 2]  # the ends of a schedule may differ within a stack
    assert table["mse"].nunique() == 2


def test_bits_of_the_range_coder_are_columns(small_run):
    table = read_results(small_run("quantizer=entropy_scalar"))
    assert table["coded_bits"].item() >= 0.98 * table["estimated_bits"].item() > 0
    assert table["rate_bits"].isna().all()

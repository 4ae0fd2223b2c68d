import os
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import quantbench as qb
from quantbench import imports
from quantbench.results.tables import read_results
from tests.conftest import SMALL

READERS = (qb.load, qb.rank, lambda one: qb.diff(one, one), lambda one: qb.transfer(one, one))
WORDS = ["executor=inline", *SMALL]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_the_package_imports_no_torch_and_no_pandas():
    heavy = "{'torch', 'pandas', 'hydra', 'numpy'}"
    ended = run(f"import sys, quantbench; assert not {heavy} & set(sys.modules); print(dir(quantbench))")
    assert ended.returncode == 0, ended.stderr
    assert "sweep" in ended.stdout


def test_everything_that_is_promised_is_there():
    for name in qb.__all__:
        assert getattr(qb, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qb.nothing


def test_a_sweep_is_what_the_command_line_runs(quantbench, folder):
    found = qb.sweep(["gradient=ste,mste", "seed=range(0,2)", *WORDS])
    assert found.folder.parent == folder / "outputs" / "default" or found.folder.is_relative_to("outputs/default")
    assert len(found.results) == 4
    assert set(found.curves["metric"]) >= {"mse", "encoder_std"}
    assert quantbench("run", "-m", "gradient=ste,mste", "seed=range(0,2)", *WORDS)[0] == 0
    (other,) = set((folder / "outputs" / "default").iterdir()) - {folder / found.folder}
    assert read_results(other)["mse"].tolist() == found.results["mse"].tolist()
    assert qb.diff(found, other).found.identical
    assert "4 trials (4 completed)" in repr(found)


def test_readings_show_what_the_commands_print(quantbench, capsys):
    found = qb.sweep(["gradient=ste,mste", "seed=range(0,3)", *WORDS])
    assert "results: outputs" in capsys.readouterr().out
    for name, read in (("rank", qb.rank(found, metric="mse")), ("diff", qb.diff(found, found.folder, "mse"))):
        words = [str(found.folder)] * (2 if name == "diff" else 1)
        assert quantbench(name, *words, "--metric", "mse")[1].strip() == str(read).strip()
        assert len(read.table) == 2
    assert qb.rank(found, metric="excess_bits").found.rankings[0].metric.name == "excess_bits"
    assert len(qb.load(found.folder).results) == 6


def test_a_failed_trial_is_a_row_and_a_warning(folder):
    (folder / "mine" / "gradient").mkdir(parents=True)
    (folder / "mine" / "face_classes.py").write_text(
        "from quantbench.components import component\nfrom quantbench.gradients import Gradient\n\n@component\n"
        "class Broken(Gradient):\n    def pass_through(self, *rest):\n        raise ValueError('a bug')\n"
    )
    (folder / "mine" / "gradient" / "broken.yaml").write_text("_target_: face_classes.Broken\n")
    with pytest.warns(UserWarning, match="1 of 2 trials failed"):
        found = qb.sweep(["gradient=ste,broken", *WORDS], config_dir="mine")
    assert found.results["status"].tolist() == ["completed", "failed"]
    with pytest.warns(UserWarning, match="1 of 2 trials failed"):
        assert len(qb.resume(found.folder, ["mine"]).results) == 2


def test_a_plan_trains_nothing(folder):
    planned = qb.plan(["quantizer=vq,none", "gradient=soft_to_hard", "seed=range(0,3)"])
    assert [trial.skipped is None for trial in planned.trials] == [True] * 3 + [False] * 3
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qb.sweep("seed=0"), "must be a list of overrides"),
        (lambda: qb.sweep(["quantizer.codez=3"]), "quantizer.codez=3: unknown setting; quantizer takes"),
        (lambda: qb.sweep(["dry_run=true"]), "quantbench.plan"),
        (lambda: qb.sweep(["hydra/launcher=basic"]), "`quantbench run` alone"),
        (lambda: qb.plan(["seed=0"], config_dir="nowhere"), "nowhere: no such folder"),
        (lambda: qb.resume("nowhere"), "no folder of a run"),
        (lambda: qb.rank("nowhere.csv"), "no such file"),
        (lambda: qb.plan(None), "None: must be a list of overrides"),
        (lambda: qb.sweep(3), "3: must be a list of overrides"),
        (lambda: qb.plan([], config_dir=3), "config_dir=3: must be the path of a folder"),
        (lambda: qb.resume(None), "folder=None: must be the path of a folder"),
        (lambda: qb.resume("nowhere", config_dirs=3), "config_dirs=3: must be the path of a folder"),
        (lambda: qb.resume("nowhere", allow=3), "allow=3: must be the name of a package"),
        (lambda: qb.train(3), "stack=3: must be a Stack"),
        *(
            (partial(call, one), "must be a results.csv")
            for call in READERS
            for one in (None, 3, [3], pd.DataFrame({"a": [1]}))
        ),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(call, message):
    with pytest.raises(qb.ConfigError, match=message):
        call()


def test_a_stack_has_the_messages_of_the_command_line(quantbench):
    def stack(quantizer, gradient, **settings):
        parts = {"simulator": qb.simulators.Codeword(bits=4), "codec": qb.codecs.MLP()}
        return qb.Stack.of(**parts, quantizer=quantizer, gradient=gradient, **settings)

    with pytest.raises(qb.ConfigError) as told:
        stack(qb.quantizers.VectorQuantizer(codes=1), qb.gradients.STE())
    assert str(told.value) in quantbench("run", "quantizer.codes=1")[2]
    with pytest.raises(qb.ConfigError, match="does not fit quantizer=Identity: the quantizer offers no soft assignment"):
        stack(qb.quantizers.Identity(), qb.gradients.SoftToHard())
    made = stack(qb.quantizers.VectorQuantizer(codes=16), qb.gradients.MSTE(), seeds=range(3), train=qb.TrainSettings(steps=5))
    assert [outcome.metrics["steps"] for outcome in qb.train(made)] == [5, 5, 5]


def test_a_single_text_is_one_folder_and_one_name(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("quantbench.sweeps.face.runner.resume", lambda *rest: asked.append(rest))
    monkeypatch.setattr("quantbench.sweeps.face.load", lambda path: path)
    qb.resume("run", config_dirs="mine", allow="package")
    qb.resume(folder, config_dirs=["mine", folder], allow=("package", "other"))
    assert asked[0][:3] == (Path("run"), [Path("mine")], ["package"])
    assert asked[1][:3] == (folder, [Path("mine"), folder], ["package", "other"])


def test_a_relative_folder_is_that_of_the_working_directory(folder, monkeypatch):
    for place in ("one", "two"):
        (folder / place / "mine").mkdir(parents=True)
        (folder / place / "mine" / f"face_{place}.py").write_text("")
        monkeypatch.chdir(folder / place)
        imports.import_from_config_dir(Path("mine"))
        import_module(f"face_{place}")


SCRIPT = """
import quantbench as qb

print("once")
run = qb.sweep(["seed=range(0,4)", "executor.workers=2", "executor.stack_size=2", {words}])
print(run.results["status"].tolist())
"""


def test_a_script_needs_no_main_guard(folder):
    (folder / "script.py").write_text(SCRIPT.format(words=", ".join(map(repr, SMALL))))
    ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("once") == 1
    assert "['completed', 'completed', 'completed', 'completed']" in ended.stdout
    assert "Traceback" not in ended.stderr


def own_class(folder, scale):
    (folder / "gradient").mkdir(parents=True)
    (folder / "gradient" / "jittery.yaml").write_text("_target_: face_jitter.Jitter\n")
    edit(folder, scale)


def edit(folder, scale):
    (folder / "face_jitter.py").write_text(
        "from quantbench.components import Factor, component\nfrom quantbench.gradients import Gradient\n\n@component\n"
        f"class Jitter(Gradient):\n    scale: Factor = {scale}\n\n    def pass_through(self, q, s, latents, code, moment):\n"
        "        return latents\n"
    )


def test_each_sweep_has_the_classes_that_are_in_its_folder_now(folder):
    own_class(folder / "a", 0.25)
    own_class(folder / "b", 0.5)

    def scale(name):
        return qb.plan(["gradient=jittery"], config_dir=name).trials[0].config["gradient"]["scale"]

    assert [scale("a"), scale("b"), scale("a")] == [0.25, 0.5, 0.25]
    edit(folder / "a", 0.75)
    os.utime(folder / "a" / "face_jitter.py", (1, 1))  # Python tells a change by the time
    assert scale("a") == 0.75


def test_a_sweep_leaves_the_process_as_it_was():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        qb.sweep(["seed=0", *WORDS])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_resume_that_is_refused_lets_go_of_the_run(folder):
    own_class(folder / "a", 0.25)
    found = qb.sweep(["gradient=jittery", *WORDS], config_dir="a")
    (found.folder / "results.csv").unlink()
    with pytest.raises(qb.ConfigError, match="--config-dir") as kept:
        qb.resume(found.folder)
    assert kept.value  # whoever keeps the error keeps what it holds
    assert len(qb.resume(found.folder, ["a"]).results) == 1

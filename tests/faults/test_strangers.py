"""A results folder that somebody else made: what of it runs, which is nothing that the user did not name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quantbench.errors import QuantBenchError
from quantbench.results.tables import read_results, results_table, write
from quantbench.sweeps.journal import Journal
from quantbench.sweeps.sweep import Combination, Sweep
from tests.conftest import SMALL
from tests.faults.test_disks import BOMB
from tests.faults.tools import limited
from tests.sweeps.test_plan import CHOICES, config

EVIL = """
from pathlib import Path
from quantbench.components import component
from quantbench.gradients import STE
Path({mark!r}).write_text("imported")

@component
class Evil(STE):
    pass
"""
COMMANDS = [
    ["diff", "{folder}", "{folder}"],
    ["transfer", "{folder}", "{folder}", "--metric", "nmse_db"],
    ["rank", "{folder}"],
    ["watch", "{folder}", "--once"],
    ["report", "{folder}", "--output", "report.html"],
    ["plot", "{folder}", "--output", "plots"],
]
"""Commands that only read tables."""


@pytest.fixture
def evil(tmp_path):
    """A folder with a module that leaves a mark when it is imported."""
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "evil_classes.py").write_text(EVIL.format(mark=str(tmp_path / "mark")))
    yield tmp_path / "evil"
    sys.modules.pop("evil_classes", None)


STANDARD = ("pickle", "selectors", "signal", "socket", "struct", "threading")
"""Modules of Python's that its helpers import."""


AUDIT = ["audit", "quantizer=fsq,scalar", "gradient=ste,noise", "--seeds", "1", "train.steps=5", "executor.workers=2"]


@pytest.mark.parametrize("words", [["resume", "."], pytest.param(AUDIT, marks=pytest.mark.slow)])
def test_modules_in_the_current_folder_are_not_imported_by_helpers(small_run, tmp_path, words):
    folder = small_run("-m", "seed=0,1,2,3")
    (folder / "results.csv").unlink()
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    for one in content["combinations"]:
        one["config"]["executor"] = {"_target_": "quantbench.sweeps.executors.Processes", "workers": 2, "stack_size": 1}
    del content["checksum"]
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    for name in STANDARD:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / name)!r}, 'w'); raise ImportError('a stranger')")
    command = [sys.executable, "-c", f"import sys; sys.path.pop(0); from quantbench.cli import main; sys.exit(main({words}))"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])  # whatever it is for these tests, no relative folder
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert not [name for name in STANDARD if (tmp_path / name).exists()]
    assert found.returncode == 0, found.stderr


@pytest.fixture
def crafted(small_run):
    """Makes the folder of a sweep that was cut short, and whose sweep.yaml was changed."""

    def craft(change):
        folder = small_run("seed=0")
        (folder / "results.csv").unlink()
        content = yaml.safe_load((folder / "sweep.yaml").read_text())
        change(content, content["combinations"][0]["config"])
        del content["checksum"]  # a stranger can leave it out, or compute another one
        (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
        return folder

    return craft


def system(content, config):
    config["quantizer"] = {"_target_": "os.system", "command": "touch mark"}


def class_elsewhere(content, config):
    config["gradient"] = {"_target_": "evil_classes.Evil"}


def interpolated(content, config):
    config["experiment"] = "evil_classes.Evil"
    config["gradient"] = {"_target_": "${experiment}"}


def nested(content, config):
    config["gradient"] = {"_target_": "quantbench.gradients.WarmUp", "then": {"_target_": "evil_classes.Evil"}}


def axis(content, config):
    content["axes"] = {"gradient._target_": ["evil_classes.Evil"]}
    content["points"] = None


def executor(content, config):
    config["executor"] = {"_target_": "evil_classes.Evil"}


def module(content, config):
    external(config, "evil_classes.Evil", {})


def process(content, config):
    external(config, "subprocess.Popen", {"args": ["touch", "mark"]})


def external(config, name, arguments):
    config["quantizer"] = {"_target_": "quantbench.quantizers.External", "module": name, "arguments": arguments}
    config["gradient"] = {"_target_": "quantbench.gradients.Own"}


@pytest.mark.parametrize("where", ["search path", "installed"])
@pytest.mark.parametrize(
    "change", [system, class_elsewhere, interpolated, nested, axis, executor, module, process], ids=lambda f: f.__name__
)
def test_a_strangers_sweep_imports_nothing(crafted, evil, quantbench, tmp_path, monkeypatch, change, where):
    def change_both(content, config):
        change(content, config)
        if where == "search path":
            content["search_path"] = [str(evil)]

    folder = crafted(change_both)
    if where == "installed":
        monkeypatch.syspath_prepend(str(evil))
    code, out, err = quantbench("resume", str(folder))
    assert code == 2, out + err
    assert "is no class of QuantBench" in err
    assert "Traceback" not in err
    assert not (tmp_path / "mark").exists()
    assert "evil_classes" not in sys.modules
    if where == "search path":
        assert f"--config-dir {evil}" in err
        assert str(evil) not in sys.path


@pytest.mark.parametrize(("words", "installed"), [(["--config-dir", "evil"], False), (["--allow", "evil_classes"], True)])
def test_what_the_user_names_is_imported(crafted, evil, quantbench, tmp_path, monkeypatch, words, installed):
    folder = crafted(class_elsewhere)
    if installed:
        monkeypatch.syspath_prepend(str(evil))
    code, _, err = quantbench("resume", str(folder), *words)
    assert code == 0, err
    assert (tmp_path / "mark").exists()
    assert set(read_results(folder)["status"]) == {"completed"}


def test_a_function_is_no_module_to_train(quantbench, tmp_path):
    words = ["quantizer=external", "gradient=own", "quantizer.module=os.system", "+quantizer.arguments.command='touch mark'"]
    code, _, err = quantbench("run", "executor=inline", *SMALL, *words)
    assert code == 2
    assert "quantizer.module=os.system: must be a class that derives from torch.nn.Module" in err
    assert not (tmp_path / "mark").exists()


def test_yaml_makes_no_objects(crafted, quantbench, tmp_path):
    folder = crafted(lambda content, config: None)
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text(text + "command: !!python/object/apply:os.system ['touch mark']\n")
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert "cannot be read as a sweep" in err
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["results.csv.partial", "curves.csv", "journal", "journal/lock", "checkpoints", "export"])
def test_no_link_leads_out_of_the_folder(crafted, quantbench, tmp_path, name):
    folder = crafted(lambda content, config: None)
    target = tmp_path / "precious"
    if name in ("journal", "checkpoints", "export"):
        target.mkdir()
        (target / "file").write_text("mine")
    else:
        target.write_text("mine")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert f"{folder / name}: is a link" in err
    content = {path.name: path.read_text() for path in target.iterdir()} if target.is_dir() else target.read_text()
    assert content in ("mine", {"file": "mine"})


def test_commands_that_read_tables_construct_nothing(crafted, tmp_path, small_run):
    folder = small_run("-m", "gradient=ste,mste,noise", "seed=0,1")
    (folder / "sweep.yaml").write_text("!!python/object/apply:os.system ['touch mark']")
    (folder / "environment.json").write_text("no JSON")
    script = f"""
import sys
from quantbench.cli import main
for words in {[[word.format(folder=folder) for word in words] for words in COMMANDS]}:
    print(words[0], "ends with", main(words), flush=True)
    assert not {{"torch", "hydra", "omegaconf"}} & {{name.partition(".")[0] for name in sys.modules}}, words
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^(\w+) ends with 0\n", done.stdout, flags=re.MULTILINE)
    assert parts[1::2] == [words[0] for words in COMMANDS]
    assert all(parts[:-1:2])  # each printed something
    assert not (tmp_path / "mark").exists()


SABOTAGE = """
import json, pickle, sys
import _pickle, numpy, torch
from quantbench.cli import main

def no(*arguments, **settings):
    raise AssertionError("a pickle was read")

load = numpy.load
def only_numbers(*arguments, allow_pickle=False, **settings):
    assert not allow_pickle
    return load(*arguments, **settings)

pickle.load = pickle.loads = pickle.Unpickler = _pickle.load = _pickle.loads = _pickle.Unpickler = torch.load = no
numpy.load = only_numbers
import pandas
pandas.read_pickle = no
sys.exit(max(main(words) for words in json.loads(sys.argv[1])))
"""


def test_nothing_is_read_from_a_pickle(quantbench, tmp_path, monkeypatch):
    """With every reader of pickles broken, all that reads files of a run works: checkpoints, warm start, journal, tables."""

    def full(self, records):
        raise QuantBenchError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", full)  # so that checkpoints stay
        words = ["-m", "train.warm_start=20", "checkpoint_every=10", "gradient=ste,mste,noise", "seed=0,1"]
        assert quantbench("run", "executor=inline", *SMALL, *words)[0] == 1
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    assert list((folder / "checkpoints").glob("*.safetensors"))
    assert list((folder / "warm_start").glob("*.safetensors"))
    one = str(folder)
    commands = json.dumps([["resume", one], ["diff", one, one], ["transfer", one, one, "--metric=mse"]])
    done = subprocess.run([sys.executable, "-c", SABOTAGE, commands], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert set(read_results(folder)["status"]) == {"completed"}


def test_a_report_shows_nothing_that_a_link_leads_to(small_run, quantbench, tmp_path):
    folder = small_run("seed=0,1", "-m")
    (tmp_path / "secret").write_text("mine alone")
    (folder / "sweep.yaml").unlink()
    (folder / "sweep.yaml").symlink_to(tmp_path / "secret")
    (folder / "environment.json").unlink()
    (folder / "environment.json").symlink_to("/dev/zero")
    code, _, err = quantbench("report", str(folder), "--output", str(tmp_path / "r.html"))
    assert code == 0, err
    assert "mine alone" not in (tmp_path / "r.html").read_text()


READ = {
    "rank": ["results.csv", "sweep.yaml", "columns.json", "environment.json"],
    "diff": ["results.csv", "sweep.yaml"],
    "transfer": ["results.csv"],
    "watch": ["results.csv", "columns.json", "journal/plan.csv"],
    "report": ["curves.csv", "sweep.yaml"],
    "plot": ["curves.csv", "audit.csv"],
}
"""Files that commands read."""
IN_VAIN = {"pipe": os.mkfifo, "link": lambda path: os.symlink("/dev/zero", path)}


@pytest.mark.parametrize("kind", IN_VAIN)
@pytest.mark.parametrize(("command", "name"), [(command, name) for command, names in READ.items() for name in names])
def test_what_has_no_end_is_told_and_keeps_nobody_waiting(quantbench, tmp_path, command, name, kind):
    """A pipe that nobody writes to never ends. (A pipe that the user names is the user's.)"""
    folder = tmp_path / "theirs"
    (folder / "journal").mkdir(parents=True)
    write(results_table(ROWS, []), folder / "results.csv")
    (folder / name).unlink(missing_ok=True)
    IN_VAIN[kind](folder / name)
    with limited():
        (words,) = (words for words in COMMANDS if words[0] == command)
        code, out, err = quantbench(*[word.format(folder=folder) for word in words])
    assert "Traceback" not in err
    if name in ("sweep.yaml", "environment.json"):
        assert code == 0  # the tables are read without it
        assert f"{folder / name}: is " in out or command == "report"
    else:
        assert code == 2
        assert f"{folder / name}: is " in err


@pytest.mark.parametrize("kind", IN_VAIN)
@pytest.mark.parametrize(
    "name", ["sweep.yaml", "journal/a.json", "journal/plan.csv", "checkpoints/a.safetensors", "curves.csv"]
)
def test_nor_when_a_sweep_is_resumed(quantbench, tmp_path, name, kind):
    folder = tmp_path / "theirs"
    Sweep([], [], [Combination(CHOICES, config())]).save(folder.parent / "sweep.yaml")
    for part in ("journal", "checkpoints"):
        (folder / part).mkdir(parents=True)
    (tmp_path / "sweep.yaml").rename(folder / "sweep.yaml")
    (folder / name).unlink(missing_ok=True)
    IN_VAIN[kind](folder / name)
    with limited():
        code, _, err = quantbench("resume", str(folder))
    assert code == 2
    assert f"{folder / name}: is " in err
    assert "remove it" in err


@pytest.mark.parametrize("kind", ["pipe", "device", "bomb", "nested"])
def test_a_choice_that_has_no_end_is_named(quantbench, tmp_path, kind):
    file = tmp_path / "theirs" / "gradient" / "bad.yaml"
    file.parent.mkdir(parents=True)
    if kind in ("bomb", "nested"):
        file.write_text("_target_: quantbench.gradients.STE\n" + (BOMB if kind == "bomb" else "x: " + "[" * 100_000))
    else:
        IN_VAIN["pipe" if kind == "pipe" else "link"](file)
    for words in (["run", "gradient=bad", *SMALL], ["list", "gradient"]):
        with limited():
            code, _, err = quantbench(*words, "--config-dir", "theirs")
        assert code == 2 or (words[0] == "list" and kind in ("bomb", "nested"))  # which reads the first lines
        assert code == 0 or "bad" in err
        assert "Traceback" not in err


ROWS = [
    {
        "trial": f"{name}-{seed}",
        "status": "completed",
        "seed": seed,
        "quantizer": "vq",
        "gradient": name,
        "nmse_db": -float(seed),
    }
    for name in ("ste", "mste")
    for seed in range(2)
]


@pytest.mark.parametrize("kind", ["hard link", "pipe", "link"])
def test_a_lock_that_leads_elsewhere_is_refused_and_left_alone(small_run, quantbench, tmp_path, kind):
    folder = small_run("seed=0")
    (folder / "results.csv").unlink()
    (folder / "journal").mkdir()
    mine = tmp_path / "mine.txt"
    mine.write_text("of somebody else's")
    lock = folder / "journal" / "lock"
    {"hard link": lambda: os.link(mine, lock), "pipe": lambda: os.mkfifo(lock), "link": lambda: lock.symlink_to(mine)}[kind]()
    code, _, err = quantbench("resume", str(folder))
    assert code in (1, 2)
    assert "remove it" in err
    assert "Traceback" not in err
    assert mine.read_text() == "of somebody else's"

"""The commands that pages, help and comments show are what a shell takes: each goes through bash, and each run is planned."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from quantbench.cli import SUBCOMMANDS
from tests.audio.signals import speech
from tests.test_readme import README, ROOT, extension

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BASH = shutil.which("bash")
SHELL_OWN = {"eval", "export", "cd"}
BEGINS = re.compile(r"(quantbench|scripts/[\w./]+|pip|python|\.venv/bin/\w+)\s")
"""How a command begins that is shown within a sentence."""
UNQUOTED = re.compile(r"(quantbench (run|audit)|quickstart\.sh)[^'\"`\n]*\s[\w.+@/]+=[^\s'\"`]*[(*{\[]")
"""An override that a shell would not hand on as it is."""


MINE = "# @package _global_\nexperiment: mine\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: 0}}}\n"


def commands(page: str) -> list[str]:
    """Those after a prompt in the blocks of a page, and those within its sentences."""
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    typed = [found for block in blocks for found in re.findall(r"^\w*\$ +((?:.*\\\n)*.*)", block, re.MULTILINE)]
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return typed + [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose) if BEGINS.match(words)]


def through_bash(command: str, folder: Path) -> list[list[str]]:
    """The words of every program that a command line starts, as bash hands them on; nothing is started.

    What bash would take for a pattern of files is an error here, as it is in zsh.
    """
    programs = {words[0] for part in command.split("&&") if (words := part.split())} | {"quantbench"}
    functions = [f"function {name} {{ printf '%s\\0' {name} \"$@\" >&3; echo >&3; }}" for name in sorted(programs - SHELL_OWN)]
    script = "\n".join(["shopt -s failglob", "exec 3>words", *functions, command])
    done = subprocess.run([BASH, "-c", script], cwd=folder, env={"PATH": ""}, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.stderr}"
    return [line.split("\0")[:-1] for line in (folder / "words").read_text().splitlines()]


SHOWN = {command: page.name for page in PAGES for command in commands(page.read_text())}
SHOWN |= dict.fromkeys(
    re.findall(r"^ +(quantbench run .*)", (ROOT / "configs" / "config.yaml").read_text(), re.MULTILINE), "--help"
)
RUNS = [command for command in SHOWN if re.match(r"quantbench run (?!\.\.\.|--help)", command)]
PLAIN = re.compile(r"(quantbench run \+experiment=(\w+)( && )?)+( *#.*)?|.*\+experiment=(transfer_|cost).*")
"""Runs of experiments as they are. Planned all together they take half a minute."""


def test_the_commands_are_found():
    assert "quantbench run +experiment=ste_vs_anneal" in RUNS
    assert any("executor.jobs=200 executor.wait=false" in command for command in RUNS)  # of two lines
    assert SHOWN["scripts/slurm_cluster.sh start"] == "scaling.md"
    assert {page.name for page in PAGES} >= {"README.md", "CONTRIBUTING.md", "findings.md"}


def test_bash_hands_every_command_on_as_it_is_shown(tmp_path):
    """Each override arrives as one word without its quotes, and each subcommand is one."""
    for command in SHOWN:
        for program, *words in through_bash(command, tmp_path):
            assert not any(set("'\"`") & set(word) for word in words), command
            if program == "quantbench" and words[0].islower() and not words[0].startswith("-"):
                assert words[0] in SUBCOMMANDS, command


def test_what_bash_would_not_take_is_seen(tmp_path):
    with pytest.raises(AssertionError, match="syntax error"):
        through_bash("quantbench run seed=range(0,16)", tmp_path)
    with pytest.raises(AssertionError, match="no match"):
        through_bash("pip install quantbench[plot]", tmp_path)
    assert through_bash("quantbench run 'seed=range(0,2)' && quantbench list  # all", tmp_path) == [
        ["quantbench", "run", "seed=range(0,2)"],
        ["quantbench", "list"],
    ]


def test_help_docstrings_and_comments_quote_too():
    files = [
        path for name in ("quantbench", "hydra_plugins", "configs", "scripts", "docs") for path in (ROOT / name).rglob("*")
    ]
    texts = {path: path.read_text() for path in [*files, *PAGES] if path.suffix in (".py", ".sh", ".yaml", ".md", ".ipynb")}
    found = [f"{path}: {one[0]}" for path, text in texts.items() for one in UNQUOTED.finditer(text)]
    assert len(texts) > 200
    assert not found
    assert UNQUOTED.search("#   quantbench run +experiment=mine seed=range(0,4)")


@pytest.fixture
def place(tmp_path):
    """A folder with what the pages' runs speak of: recordings, and choices of the user's own."""
    soundfile = pytest.importorskip("soundfile")
    for name in ("0", "1"):
        (tmp_path / "data" / "speech").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "data" / "speech" / f"{name}.flac", speech(3.0, seed=int(name)), 16000)
    extension(README, tmp_path / "mine")
    (networks,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "yours.md").read_text(), re.DOTALL)
    (tmp_path / "mine" / "my.py").write_text(networks)
    np.save(tmp_path / "latents.npy", np.random.default_rng(0).standard_normal((400, 16)).astype("float32"))
    (tmp_path / "mine" / "experiment").mkdir()
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text(MINE)
    return tmp_path


def test_experiments_that_are_named_are_there():
    from quantbench.choices import choices

    named = {name for command in SHOWN for name in re.findall(r"\+experiment=(\w+)", command)}
    assert named - {"mine"} <= set(choices("experiment"))


@pytest.mark.parametrize(
    "command", [pytest.param(one, marks=pytest.mark.slow) if PLAIN.fullmatch(one) else one for one in RUNS]
)
def test_every_run_is_planned(command, quantbench, place):
    for _, *words in through_bash(command, place):
        if "+experiment=peers" in words and not importlib.util.find_spec("vector_quantize_pytorch"):
            pytest.skip("needs the extra quantbench[peers]")
        if "+experiment=mine" in words:
            words += ["--config-dir", "mine"]
        code, out, err = quantbench(*words, "dry_run=true")
        assert code == 0, f"{command}: {err}"
        assert re.search(r"^\w+: \d+ trials (in|of) \d+ (stacks|shapes)", out, re.MULTILINE), out

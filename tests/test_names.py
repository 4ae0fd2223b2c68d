"""Names and folders of runs: what a command line may call them, where they are found again, and where readers write."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from quantbench.errors import ConfigError
from quantbench.results.load import load
from quantbench.results.reading import diff, rank, transfer
from tests.conftest import SMALL

RUN = ["run", "executor=inline", *SMALL]
DRY = [*RUN, "dry_run=true"]


@pytest.fixture
def named(quantbench, tmp_path):
    """A run of two seeds and two quantizers that was given a name."""
    code, out, err = quantbench(*RUN, "name=my-run", "-m", "seed=0,1", "quantizer=fsq,vq")
    assert code == 0, err
    return Path("outputs/default/my-run"), out


def test_a_run_is_named_on_the_command_line_and_its_folder_is_told_first_and_last(quantbench, named, small_run):
    folder, out = named
    lines = out.splitlines()
    assert lines[1] == f"folder: {folder}"
    assert lines[-1] == f"results: {folder}/results.csv"
    for again in ("name=my-run", "--name=my-run"):
        code, _, err = quantbench(*DRY, again)
        assert code == 2
        assert err == (
            f"error: name=my-run: {folder} is there; choose another name, or go on with `quantbench resume {folder}`\n"
        )
    other = small_run("seed=0", "quantizer=fsq")  # a name is no part of what a trial is
    assert set(pd.read_csv(other / "results.csv")["trial"]) <= set(pd.read_csv(folder / "results.csv")["trial"])


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", ".hidden", "..", "a\nb", "a\x1b[31m", os.fsdecode(b"run\xff"), "latest", "x" * 256]
)
def test_what_is_no_name_of_a_folder_is_refused(quantbench, name):
    code, _, err = quantbench(*DRY, "--name", name)
    assert code == 2
    assert err.startswith("error: name=")
    assert "Traceback" not in err


def test_our_own_flags_take_any_text(quantbench, tmp_path):
    output, name = tmp_path / "j\u00f6rg" / "a=b, (c) ${d}\\\\${e}", "\u7b2c1 'run' \"x\"\\"
    code, _, err = quantbench(*RUN, "--output", str(output), "--name", name)
    assert code == 0, err
    assert (output / "default" / name / "results.csv").is_file()
    assert quantbench("resume", str(output / "default" / name))[0] == 0
    for words in (["run", "--output", "a", "output=b"], ["audit", "--name", "a", "name=b"]):
        code, _, err = quantbench(*words)
        assert code == 2
        assert "give one of the two" in err
    code, out, err = quantbench(*DRY, "--name", "a$b", "--output", str(output), "--cfg", "job")  # by Hydra
    assert code == 0, err
    assert "name: a$b\n" in out


def test_an_audit_has_a_name_and_an_output_too(quantbench, tmp_path):
    words = ["quantizer=fsq", "gradient=ste", "codec.latent_dim=2", "codec.hidden=8", "simulator.frame_dim=2", "train.steps=5"]
    words = ["audit", *words, "--seeds", "1", "--output", "j\u00f6rg", "--name", "first"]
    assert quantbench(*words)[0] == 0
    assert (tmp_path / "j\u00f6rg" / "audit" / "first" / "audit.csv").is_file()
    code, _, err = quantbench(*words)
    assert code == 2
    assert "name=first: j\u00f6rg/audit/first is there" in err


def test_what_hydras_grammar_takes_in_quotes_only_is_told_with_them(quantbench):
    code, _, err = quantbench(*DRY, "output=/data/j\u00f6rg/x")
    assert code == 2
    assert "in quotes: 'output=\"/data/j\u00f6rg/x\"', or --output '/data/j\u00f6rg/x'" in err
    assert quantbench(*DRY, 'output="/data/j\u00f6rg/x"')[0] == 0
    assert "in quotes" not in quantbench(*DRY, "seed=[1")[2]


def test_latest_is_the_last_run(quantbench, named, tmp_path):
    first, _ = named
    second = Path("outputs/another/second")
    shutil.copytree(first, second)
    os.utime(first / "sweep.yaml", (1, 1))
    for words in (["rank", "latest"], ["watch", "latest"], ["resume", "latest"], ["diff", "latest", "latest"]):
        code, _, err = quantbench(*words)
        assert code == 0, err
        assert err.startswith(f"latest: {second}\n")
    assert f"{first}: complete" in quantbench("resume", "outputs/default/latest")[1]
    assert f"{second}: complete" in quantbench("resume", str(tmp_path / "outputs" / "latest"))[1].replace(f"{tmp_path}/", "")
    (tmp_path / "latest").symlink_to(first)  # what is there counts
    assert "latest: complete" in quantbench("watch", "latest")[1] or "complete  latest" in quantbench("watch", "latest")[1]
    code, _, err = quantbench("rank", "nowhere/latest")
    assert code == 2
    assert "nowhere/latest: there is no run in nowhere" in err


def test_readers_write_into_the_folder_of_the_run(quantbench, named, tmp_path):
    pytest.importorskip("plotly", reason="needs the extra quantbench[report]")
    folder, _ = named
    assert quantbench("report", "latest")[0] == 0
    assert (folder / "report.html").is_file()
    assert quantbench("plot", str(folder / "results.csv"), "--kind", "usage")[0] == 0
    assert [path.name for path in (folder / "plots").iterdir()] == ["usage.svg"]
    (tmp_path / "table.csv").write_bytes((folder / "results.csv").read_bytes())
    assert quantbench("plot", "table.csv", str(folder), "--kind", "usage")[0] == 0  # two: here
    assert (tmp_path / "plots" / "usage.svg").is_file()
    code, _, err = quantbench("report", "nowhere")
    assert code == 2
    assert "nowhere: no such file" in err


def test_readers_follow_no_link_that_somebody_put_there(quantbench, named, tmp_path):
    folder, _ = named
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (folder / "report.html").symlink_to(tmp_path / "precious")
    (folder / "plots").symlink_to(tmp_path / "elsewhere")
    for words in (["report", str(folder)], ["plot", str(folder)]):
        code, _, err = quantbench(*words)
        assert code == 2
        assert "is a link, and is not followed" in err
    (folder / "plots").unlink()
    (folder / "plots").mkdir()
    (folder / "plots" / "usage.svg").symlink_to(tmp_path / "precious")
    assert quantbench("plot", str(folder), "--kind", "usage")[0] == 0
    assert (tmp_path / "precious").read_text() == "mine"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_bytes_that_are_no_text_in_the_names_of_folders(quantbench, named, tmp_path):
    folder, _ = named
    odd = os.fsdecode(b"run\xff")
    code, out, err = quantbench(*RUN, "--output", odd, "--name", "x")
    assert code == 0, err
    assert "results: run\\udcff/default/x/results.csv" in out
    run = f"{odd}/default/x"
    (Path(run) / "results.csv").unlink()
    assert quantbench("resume", run)[0] == 0
    other = tmp_path / odd / "other"
    (tmp_path / folder).rename(other)
    for words in (
        ["rank", run, str(other)],
        ["diff", run, str(other)],
        ["watch", str(other)],
        ["plot", str(other), "--kind", "usage"],
    ):
        code, out, err = quantbench(*words)
        assert code == 0, err
        assert "cannot be read" not in out + err
    assert quantbench("transfer", run, str(other))[0] == 2
    assert quantbench("rank", odd)[0] == 2


def test_a_column_of_any_kind_for_every_option_that_takes_one(named):
    """What is no rate, no metric or no setting is said to be none."""
    folder, _ = named
    runs = load(folder)
    asked = ["trial", "status", "seed", "quantizer", "mse", "dead_codes", "device", "rate_bits", "rate", "nothing"]
    tries = [lambda name, option=option: rank(runs, **{option: name}) for option in ("metric", "by", "within", "rate")]
    tries += [lambda name, option=option: diff(runs, runs, **{option: name}) for option in ("metric", "by", "within")]
    tries += [lambda name, option=option: transfer(runs, runs, **{option: name}) for option in ("metric", "by")]
    refused = 0
    for name in asked:
        for one in tries:
            try:
                one(name)
            except ConfigError:
                refused += 1
    assert 0 < refused < len(asked) * len(tries)

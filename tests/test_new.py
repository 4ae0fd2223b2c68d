"""What `quantbench new` writes runs, and its own tests pass."""

import importlib
import sys

import pytest

from tests.conftest import SMALL


@pytest.mark.parametrize("group", ["quantizer", "gradient", "simulator", "codec"])
def test_it_runs_as_it_is_written_and_its_tests_pass(group, quantbench, tmp_path, monkeypatch):
    name = f"fresh_{group}"
    code, out, err = quantbench("new", group, name)
    assert code == 0, err
    folder = tmp_path / name
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == sorted([f"{name}.py", f"test_{name}.py", f"{group}/{name}.yaml"])
    assert f"quantbench run --config-dir {name} {group}={name}" in out
    monkeypatch.syspath_prepend(str(folder))
    tests = importlib.import_module(f"test_{name}")
    try:
        for test, function in vars(tests).items():
            if test.startswith("test_"):
                function(tmp_path) if test == "test_it_trains" else function()
        if group == "quantizer":
            small = [word for word in SMALL if "hidden" not in word]
            words = ["+quantizer@quantizer.stage=fresh_quantizer", "executor=inline", "references=false", *small]
            code, _, err = quantbench("run", "--config-dir", name, "quantizer=residual", *words)
            assert code == 0, err
    finally:
        for module in (name, f"test_{name}"):
            sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quantizer", "vq"], "the project has a quantizer of this name"),
        (["quantizer", "json"], "Python has a module of this name"),
        (["gradient", "torch"], "Python has a module of this name"),
        (["codec", "My-Codec"], "must be a name of small letters"),
        (["codec", "class"], "must be a name of small letters"),
        (["metric", "mine"], "invalid choice: 'metric'"),
    ],
)
def test_names_that_cannot_be_used(words, message, quantbench, tmp_path):
    code, _, err = quantbench("new", *words)
    assert (code, message in err) == (2, True), err
    assert not [*tmp_path.iterdir()]


def test_nothing_is_written_over(quantbench, tmp_path):
    assert quantbench("new", "codec", "mine_first", "--folder", "here")[0] == 0
    before = (tmp_path / "here" / "mine_first.py").read_text()
    (tmp_path / "here" / "mine_first.py").write_text(before + "# changed\n")
    code, _, err = quantbench("new", "codec", "mine_first", "--folder", "here")
    assert (code, "is there already" in err) == (2, True)
    assert (tmp_path / "here" / "mine_first.py").read_text().endswith("# changed\n")

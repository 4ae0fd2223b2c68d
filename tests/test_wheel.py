"""What a stranger gets from the wheel, in a fresh virtual environment and an empty folder."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_package_plugins_and_configs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "quantbench/configs/experiment/smoke.yaml" in names
    assert "hydra_plugins/quantbench_plugins/quantbench.py" in names
    assets = ROOT / "quantbench" / "results" / "report" / "assets"
    assert {f"quantbench/results/report/assets/{file.name}" for file in assets.iterdir()} <= set(names)
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"quantbench", "hydra_plugins"}


def test_the_installed_wheel_runs_from_an_empty_folder(wheel, tmp_path):
    environment, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", "torch", wheel]
    subprocess.run(install, check=True, capture_output=True, text=True)
    command = [environment / "bin" / "quantbench", "run", "+experiment=smoke"]
    ended = subprocess.run(command, cwd=empty, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (results,) = empty.glob("outputs/smoke/*/results.csv")
    assert len(results.read_text().splitlines()) == 1 + 6

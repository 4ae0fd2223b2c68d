"""What a stranger gets from the wheel, in a fresh virtual environment and an empty folder."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BARE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


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


def runs(environment, empty):
    """The smoke experiment, from a folder with nothing in it."""
    empty.mkdir()
    command = [environment / "bin" / "quantbench", "run", "+experiment=smoke"]
    ended = subprocess.run(command, cwd=empty, env=BARE, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (results,) = empty.glob("outputs/smoke/*/results.csv")
    assert len(results.read_text().splitlines()) == 1 + 6


def test_the_installed_wheel_runs_from_an_empty_folder(wheel, tmp_path):
    """With the packages that are here: what it needs is another test's."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # its own .pth files, one of this checkout, are not read
    python = str(environment / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    asked = [python, "-c", "import quantbench; print(quantbench.__file__)"]
    found = subprocess.run(asked, cwd=tmp_path, env=BARE, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(site)
    runs(environment, tmp_path / "empty")


@pytest.mark.slow
def test_the_wheel_brings_all_that_it_needs(wheel, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet"]
    install += ["--constraint", ROOT / "constraints.txt", "torch", wheel]
    subprocess.run(install, check=True, capture_output=True, text=True)
    runs(environment, tmp_path / "empty")

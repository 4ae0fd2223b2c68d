"""What a message says of an extra works where it is read: in a checkout, beside one, and beside a wheel."""

import sys

import pytest

from quantbench import install
from quantbench.install import how_to_install


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    root = tmp_path / "my checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("pyproject.toml", "scripts/setup.sh"):
        (root / name).touch()
    monkeypatch.setattr(install, "__file__", str(root / "quantbench" / "install.py"))
    return root


def test_in_the_environment_of_a_checkout_its_script_installs(checkout, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv"))
    assert how_to_install("plot") == f"'{checkout}/scripts/setup.sh' plot"
    monkeypatch.chdir(checkout)
    assert how_to_install("plot") == "scripts/setup.sh plot"


def test_in_another_environment_pip_takes_the_checkout(checkout):
    assert how_to_install("plot") == f"pip install --editable '{checkout}[plot]'"


def test_beside_a_wheel_the_packages_are_named(tmp_path, monkeypatch):
    """pip knows no QuantBench, and the file of the wheel may be gone."""
    monkeypatch.setattr(install, "__file__", str(tmp_path / "site-packages" / "quantbench" / "install.py"))
    listed = [
        "torch>=2.4",
        "matplotlib>=3.8; extra == 'plot'",
        'soundfile>=0.12 ; extra == "audio"',
        "soxr>=0.4; extra == 'audio'",
    ]
    monkeypatch.setattr(install, "requires", lambda name: listed)
    assert how_to_install("plot") == "pip install 'matplotlib>=3.8'"
    assert how_to_install("audio") == "pip install 'soundfile>=0.12' 'soxr>=0.4'"
    monkeypatch.undo()
    assert {"plot", "audio", "peers", "dask", "slurm", "report", "parquet"} <= {
        one.rpartition("'")[0].rpartition("'")[2] for one in map(str, install.requires("quantbench")) if "extra" in one
    }

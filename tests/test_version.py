from importlib.metadata import PackageNotFoundError

import pytest

from quantbench import version as versions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[project]\nname = "quantbench"\nversion = "1.2.3"\n', "1.2.3"),
        ('[project]\nname = "another"\nversion = "1.2.3"\n', "4.5"),
        ("[tool.ruff]\n", "4.5"),
        ("no [TOML", "4.5"),
        (None, "4.5"),
    ],
)
def test_a_checkout_knows_its_version_and_what_is_installed_comes_second(tmp_path, monkeypatch, text, found):
    monkeypatch.setattr(versions, "version", lambda name: "4.5")
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert versions.find_version(tmp_path) == found


def test_a_copy_of_the_package_alone_has_no_version(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", missing)
    assert versions.find_version(tmp_path) == "0+not.installed"

import sys

import pytest

from quantbench.errors import ConfigError
from quantbench.imports import import_from, import_from_config_dir


def test_a_folder_is_searched_once_and_last(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", ["first"])
    import_from(tmp_path)
    import_from(str(tmp_path))
    import_from_config_dir(tmp_path)
    assert sys.path == ["first", str(tmp_path)]


def test_a_config_dir_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", ["first"])
    with pytest.raises(ConfigError, match=r"--config-dir .*missing: no such folder"):
        import_from_config_dir(tmp_path / "missing")
    assert sys.path == ["first"]

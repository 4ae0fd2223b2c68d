"""The README's own example of an extension works as it stands there."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

from quantbench.results.tables import read_results
from tests.conftest import SMALL

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def extension(page, folder):
    """Write the extension that the README shows into a folder."""
    section = page.partition("## Your own quantizer")[2].partition("\n## ")[0]
    (yaml,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (python,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (folder / "gradient").mkdir(parents=True)
    (folder / "gradient" / "jittered.yaml").write_text(yaml)
    (folder / "jittered.py").write_text(python)
    return section


def test_the_extension_shown_in_the_readme(quantbench, tmp_path):
    (command,) = re.findall(r"\$ quantbench (.*)", extension(README, tmp_path / "mine"))
    try:
        code, _, err = quantbench(*shlex.split(command), *SMALL, "executor=inline")
    finally:
        sys.modules.pop("jittered", None)
    assert code == 0, err
    (folder,) = (tmp_path / "outputs" / "default").iterdir()
    table = read_results(folder)
    assert len(table) == 10
    assert sorted(table["gradient.scale"].unique()) == [0.0, 0.5]


def test_every_choice_is_named_in_the_readme():
    """Quantizers and gradients are on the page of methods, which is made from the code."""
    from quantbench.choices import GROUPS, choices

    for group in set(GROUPS) - {"quantizer", "gradient"}:
        for name in choices(group):
            assert f"`{name}`" in README, (group, name)


def test_what_commands_print_is_what_pages_show(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    spec = importlib.util.spec_from_file_location("pages", ROOT / "scripts" / "pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    assert [len(pages.BLOCK.findall((ROOT / name).read_text())) for name in pages.PAGES] == [3, 1, 9]
    assert pages.main(["--check"]) == 0  # `python scripts/pages.py` writes them
    monkeypatch.setattr(pages, "PAGES", ("docs/findings.md",))
    monkeypatch.setattr(pages, "output", lambda kind, words: "other")
    assert pages.main(["--check"]) == 1

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "session.ipynb"


def shown(notebook):
    """What kinds of output each cell has; warnings of the kernel come and go."""
    outputs = [[one for one in cell.get("outputs", []) if one.get("name") != "stderr"] for cell in notebook.cells]
    return [[sorted(one.get("data", {"text": 0})) for one in of_cell] for of_cell in outputs]


@pytest.mark.slow
def test_the_session_runs_and_shows_what_the_page_shows(monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = shown(notebook)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()  # raises on an error
    assert shown(notebook) == before

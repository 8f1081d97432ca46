"""The example notebook: stored without outputs, and run as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples/first_run.ipynb"


def cells(kind: str) -> list[Any]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_it_is_stored_without_outputs() -> None:
    assert cells("markdown")
    assert [cell for cell in cells("code") if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.slow
def test_it_runs_and_shows_figures_a_private_run_the_frontier_and_a_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    # torch.hub takes tqdm where it is installed, as beside transformers, which asks for widgets in a notebook.
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    whole = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(whole, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))
    shown = [told(cell) for cell in whole.cells if cell.cell_type == "code"]
    assert "<Corpus synthetic at " in shown[0]
    assert "UAR on held-out speakers" in shown[1]
    assert "with differential privacy for each utterance, ε = " in shown[3]
    assert "no privacy" in shown[4]
    assert "image/png" in shown[4]
    assert "spoken as " in shown[5]
    assert all("stderr" not in text for text in shown)


def told(cell: Any) -> str:
    return "\n".join(json.dumps(output, ensure_ascii=False) for output in cell.outputs)

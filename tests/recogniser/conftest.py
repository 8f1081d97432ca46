from __future__ import annotations

from pathlib import Path

import pytest

from recogniser.export.exporting import export
from recogniser.listening.exported_model import ExportedModel
from tests.recogniser.saved import save_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small exported model that adapts to a speaker."""
    folder = tmp_path_factory.mktemp("model")
    export(save_model(folder / "run"), folder / "export")
    return folder / "export"


@pytest.fixture(scope="session")
def model(exported: Path) -> ExportedModel:
    return ExportedModel.load(exported)

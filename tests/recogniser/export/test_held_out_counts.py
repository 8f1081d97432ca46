import json
from pathlib import Path
from typing import Any

import pytest

from recogniser.export.held_out_counts import held_out_counts

CLASSES = ["anger", "neutral"]


def result(*folds: Any, classes: list[str] = CLASSES) -> str:
    return json.dumps({"corpus": {"classes": classes}, "folds": [{"test": test} for test in folds]})


def test_hits_and_recordings_of_all_folds_are_summed(tmp_path: Path) -> None:
    own = [{"confusion": [[3, 1], [0, 2]]}, None, {"confusion": [[5, 0], [4, 1]]}]
    (tmp_path / "result.json").write_text(result(*own))
    expected = {"anger": [8, 9], "neutral": [3, 7]}
    assert held_out_counts(tmp_path, CLASSES) == held_out_counts(tmp_path / "model.safetensors", CLASSES) == expected


@pytest.mark.parametrize(
    "written", ["", "{}", "[]", result(), result(None), result({"confusion": [[1]]}), result(classes=["anger"])]
)
def test_a_run_without_scores_has_none(tmp_path: Path, written: str) -> None:
    (tmp_path / "result.json").write_text(written)
    assert held_out_counts(tmp_path, CLASSES) is None
    assert held_out_counts(tmp_path / "elsewhere", CLASSES) is None

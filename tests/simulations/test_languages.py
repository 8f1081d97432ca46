"""A run over several languages in one manifest, each held out in turn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from common.data.resident import listing
from common.errors import SplitError
from common.privacy.recipe import private_settings
from simulations.engine.planning import plans
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run

CODES = ("de", "en", "zh")


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine speakers, of whom each third speaks one language."""
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    path = tiny.write(tmp_path / "corpus", speakers=9)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "language"])
        writer.writeheader()
        writer.writerows({**row, "language": CODES[int(row["speaker"]) % 3]} for row in rows)
    return path


def test_each_language_is_a_fold_and_its_figure_is_said_to_be_for_an_unheard_one(
    manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(job(manifest, out, data__held_out="languages", federation__rounds=1), pages=True)
    assert [fold["fold"] for fold in result["folds"]] == [f"language:{code}" for code in CODES]
    for number, fold in enumerate(result["folds"]):
        assert fold["test_speakers"] == [f"{speaker:02}" for speaker in range(number, 9, 3)]
        assert not {*fold["train_speakers"], *fold["validation_speakers"]} & set(fold["test_speakers"])
    for name in ("report.html", "MODEL_CARD.md"):
        text = (out / name).read_text()
        assert "each of de, en and zh was, in a fold, held out with all who speak it" in text
        assert "language:zh" in text
    assert json.loads((out / "folds/language-de/plan.json").read_text())["fold"] == "language:de"


def test_a_language_of_which_nothing_can_be_used_is_refused(manifest: Path, tmp_path: Path) -> None:
    for speaker in ("01", "04", "07"):
        for path in manifest.parent.glob(f"{speaker}-*.npy"):
            path.write_bytes(b"broken")
    line = "held-out language 'en': none of its 24 recordings can be used"
    with pytest.raises(SplitError, match=line):
        run(job(manifest, tmp_path / "out", data__held_out="language:EN"))


def test_a_private_run_may_hold_a_language_out(manifest: Path) -> None:
    small = {name: value for name, value in tiny.SMALL.items() if name != "training.batch_size"}
    given = {**small, "privacy.epsilon": 8.0, "data.root": str(manifest), "data.held_out": "language:de"}
    config = tiny.config(manifest).with_values(private_settings(given))
    [plan] = plans(config, listing(config.data), [])
    assert plan.test == ("00", "03", "06")

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import FedserError
from common.privacy.accounting.accountants import Spend, epsilon_prv
from common.progress import Display
from common.splits.plan import Plan
from server.federation.runs.deployed_result import conclude as concluded
from server.federation.runs.run_folder import RunFolder
from server.reporting.artifacts import tell
from server.reporting.findings import NOT_SCORED
from server.reporting.frames import of_folds
from server.reporting.run_record import load_result
from tests.server.example_result import CLASSES, FULL, SPENT, privacy, scores
from tests.server.federation import example_folder

BY_SPEAKER = [FULL, FULL]


def conclude(run: RunFolder, seconds: float) -> dict[str, Any]:
    return concluded(run, seconds).as_json()


def finish(run: RunFolder, **changes: Any) -> RunFolder:
    """Leave what a ServerApp leaves at its end: two test speakers of the coordinator's own."""
    plan = Plan(fold="held-out", classes=tuple(CLASSES), test=("08", "09"), sites=())
    if not run.file("plan.json").exists():
        plan.write(run.file("plan.json"))
    fold = {
        "fold": "held-out",
        "train_speakers": {"charite": 3, "lausanne": 2, "st-mary": 4},
        "validation_speakers": {"charite": 1, "lausanne": 1, "st-mary": 1},
        "test_speakers": ["08", "09"],
        "privacy": None,
        "chosen_round": 2,
        "test": scores([[2 * n for n in row] for row in FULL]),
        "rounds": [example_folder.entry(1, uar=0.5), example_folder.entry(2, uar=0.6, sites=("charite",))],
        "refit": [],
        "by_speaker": BY_SPEAKER,
        "seconds": 30.0,
    }
    run.file("fold.json").write_text(json.dumps(fold | changes))
    run.file("model.safetensors").write_bytes(b"weights")
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return example_folder.run(example_folder.folder(tmp_path))


def test_it_leaves_what_a_simulation_leaves_with_counts_by_site(run: RunFolder) -> None:
    whole = conclude(finish(run), 100.0)
    assert whole == json.loads(run.file("result.json").read_text())
    fold = whole["folds"][0]
    assert fold["train_speakers"] == {"charite": 3, "lausanne": 2, "st-mary": 4}
    assert fold["test_speakers"] == ["08", "09"]
    assert whole["corpus"]["speakers"] == 9 + 3 + 2
    assert whole["corpus"]["utterances"] == 80 + 3 * 73
    assert whole["split"][0]["sites"] == fold["train_speakers"]
    assert whole["timing"] == {"features_s": 1.5, "training_s": 25.0, "overhead_s": 75.0, "total_s": 101.5}
    assert whole["summary"]["uar"]["mean"] == pytest.approx(0.85)
    assert "learnt together by 3 sites" in run.file("report.html").read_text()
    assert "the sites' own recordings" in run.file("MODEL_CARD.md").read_text()
    assert any(run.file("tensorboard").rglob("events*"))


@pytest.mark.usefixtures("undrawn")
def test_test_speakers_of_sites_are_a_number(run: RunFolder) -> None:
    whole = conclude(finish(run, test_speakers=2), 100.0)
    assert whole["folds"][0]["test_speakers"] == 2
    assert whole["corpus"]["speakers"] == 9 + 3 + 2


@pytest.mark.usefixtures("undrawn")
def test_speakers_that_are_counted_together_have_a_score_and_no_interval(run: RunFolder) -> None:
    seven = {"test_speakers": 7, "by_speaker": None, "test_sites": {"charite": 80}}
    whole = conclude(finish(run, **seven), 100.0)
    assert whole["summary"]["uar"] == {"mean": pytest.approx(0.85), "sd": None, "ci95": None}
    assert conclude(finish(run, test_speakers=7, by_speaker=[FULL] * 7), 1.0)["summary"]["uar"]["ci95"] is not None
    conclude(finish(run, **seven), 100.0)
    for name in ("report.html", "MODEL_CARD.md"):
        assert "it takes the counts of each of the 7 test speakers" in run.file(name).read_text()


def test_a_run_that_nobody_scored_says_so_everywhere(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    whole = concluded(finish(run, test=None, by_speaker=None, test_speakers=[], privacy=privacy()), 100.0)
    kept = json.loads(run.file("result.json").read_text())
    assert kept["summary"] is None
    assert kept["folds"][0]["test"] is None
    assert load_result(run.path) == whole
    assert "not scored" in repr(whole)
    report, card = (run.file(name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    for page in (report, card, whole._repr_html_()):
        assert NOT_SCORED in page
    assert "<title>fedser: the sites' own recordings, not scored</title>".replace("'", "&#39;") in report
    assert '<dt>Federated UAR</dt><dd class="value">not scored</dd>' in report
    assert 'id="comparison"' not in report
    assert "scored once, at the end" not in report + card
    assert "the coordinator's own, who are not protected" in card
    with Display() as display:
        tell(whole, run.path, display)
    out = capsys.readouterr()
    said = " ".join((out.out + out.err).split())
    assert "Not scored" in said
    assert "Private for each utterance, ε = 7.98." in said
    told = [Spend(unit="utterance", sample_rate=0.25, noise_multiplier=1.25, steps=240)]
    assert kept["privacy"]["all"] == {"epsilon": epsilon_prv(told, 1e-5), "delta": 1e-5, "models": 1}
    [row] = of_folds(whole)
    assert (row["uar"], row["loss"]) == (None, None)


@pytest.mark.usefixtures("undrawn")
def test_a_site_s_losses_and_epsilon_that_it_keeps_are_null(tmp_path: Path) -> None:
    folder = example_folder.folder(tmp_path)
    run = example_folder.run(folder, settings={"privacy.unit": "speaker", "privacy.epsilon": 8.0})
    kept = dict.fromkeys(SPENT) | {"delta": 1e-5, "stopped": False}
    account = privacy(unit="speaker", sites={"charite": SPENT, "lausanne": kept})
    whole = conclude(finish(run, privacy=account, rounds=[example_folder.entry(1, uar=None, loss=None)]), 1.0)
    assert whole["privacy"]["sites"]["lausanne"]["epsilon"] is None
    assert whole["privacy"]["all"] == {"epsilon": None, "delta": 1e-5, "models": 1}
    assert whole["folds"][0]["rounds"][0]["sites"]["charite"]["loss"] is None
    assert whole["corpus"]["utterances"] is None  # such sites count speakers
    report = run.file("report.html").read_text()
    assert "An untold number of recordings of 14 speakers" in report
    assert "What was spent at lausanne is not known here" in report
    card = run.file("MODEL_CARD.md").read_text()
    assert "ε = 7.98 at charite; at lausanne it is not known, and may be larger" in card


@pytest.mark.usefixtures("undrawn")
def test_a_site_that_did_not_score_the_model_is_null_and_named(run: RunFolder) -> None:
    whole = conclude(finish(run, test_speakers=[], test_sites={"charite": 80, "lausanne": None}), 100.0)
    assert whole["folds"][0]["test_sites"] == {"charite": 80, "lausanne": None}
    for name in ("report.html", "MODEL_CARD.md"):
        assert "Held-out speakers at lausanne are not in the figures" in run.file(name).read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_a_result_is_one_line(run: RunFolder) -> None:
    with pytest.raises(FedserError, match="the run has no result"):
        conclude(run, 1.0)

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import UsageError
from common.progress import Display
from server.reporting.findings import largest_epsilon
from simulations.audits.attacks.membership_inference import Membership
from simulations.audits.audited_run import AuditedRun, open_run
from simulations.audits.membership import attack, audit, logits_of
from simulations.audits.worlds import train, worlds
from simulations.engine.fold import read_result
from tests.simulations import tiny
from tests.simulations.audits.settings import PRIVATE

SPEAKERS = [f"speaker {i // 2}" for i in range(40)]
LABELS = [i % 4 for i in range(40)]


def planted(members: np.ndarray, strength: float) -> np.ndarray:
    """Logits of models that are surer of what they were trained on."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(members), 40, 4))
    logits[:, np.arange(40), LABELS] += strength * members
    return logits.astype(np.float32)


@pytest.mark.parametrize("level", ["recordings", "speakers"])
def test_a_planted_memory_is_found(level: str) -> None:
    rng = np.random.default_rng(1)
    if level == "recordings":
        members = rng.random((5, 40)) < 0.5
    else:
        members = np.repeat(np.array([rng.permutation(20) < 10 for _ in range(5)]), 2, axis=1)
    for found in attack(planted(members, 20.0), members, LABELS, SPEAKERS, level).values():
        assert found.auc == 1.0
        assert found.auc_ci95 is not None
        assert found.auc_ci95[0] > 0.5
        assert found.members + found.non_members == (40 if level == "recordings" else 20)
        assert found.tpr_at_1_percent is None
    for found in attack(planted(members, 0.0), members, LABELS, SPEAKERS, level).values():
        assert found.auc_ci95 is not None
        assert found.auc_ci95[0] < 0.5 < found.auc_ci95[1]


def test_a_federation_is_attacked_and_what_is_there_is_not_trained_again(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(plain, None)
    with Display() as display:
        outcome = audit(run, shadows=2, workers=0, display=display)
        told = json.loads(outcome.write().read_text())
        monkeypatch.setattr("client.app.train", None)
        assert audit(run, shadows=2, workers=0, display=display).json() == outcome.json()
    assert told["shadows"] == 2
    assert told["privacy"] is None
    for name in ("loss_threshold", "likelihood_ratio"):
        assert told["recordings"][name]["members"] == told["recordings"][name]["non_members"] == 24
        assert told["speakers"][name]["members"] == told["speakers"][name]["non_members"] == 3
        assert told["speakers"][name]["auc_ci95"] is None
    assert len(outcome.figures) == 12
    assert "Of speakers: too few speakers for an interval" in told["meaning"]


def test_what_an_audit_trains_on_private_data_counts(federate: Callable[..., Path]) -> None:
    """A recording is in the run's model, in one of each two shadows, and, with its speaker, in the target or not."""
    run = open_run(federate("audited", **PRIVATE, **{"federation.rounds": 1}), None)
    with Display() as display:
        told = audit(run, shadows=2, workers=0, display=display).json()
    account = read_result(run.folder).privacy
    assert account is not None
    assert told["all"]["models"] == 5  # the run's, and of either question the target and one of the shadows
    assert told["all"]["delta"] == 1e-5
    assert told["all"]["epsilon"] > 1.5 * (largest_epsilon(account) or math.inf)
    assert f"in the data of 5 models there, which together tell ε = {told['all']['epsilon']:.3g}" in told["meaning"]


def heart(run: AuditedRun, shadows: int) -> dict[str, Membership]:
    """The attacks on recordings alone."""
    with Display() as display:
        training = [r for r in run.recordings(0, display) if r.utterance.speaker in run.plan.train_speakers]
    utterances = [r.utterance for r in training]
    own = worlds(run, utterances, "recordings", shadows)
    logits = np.stack([logits_of(train(run, world, utterances, 0, lambda _: None), training) for world in own])
    members = np.array([[u.name in world.members for u in utterances] for world in own])
    labels = [tiny.CLASSES.index(u.emotion) for u in utterances]
    return attack(logits, members, labels, [u.speaker for u in utterances], "recordings")


@pytest.mark.slow
def test_a_model_that_learns_by_heart_is_found_out(tmp_path: Path, federate: Callable[..., Path]) -> None:
    """Labels at random can only be learnt by heart: members are known, the others not. With noise they are not."""
    manifest = tiny.write(tmp_path, speakers=8, each=3)
    with manifest.open(newline="") as file:
        head, *rows = csv.reader(file)
    labels = [row[1] for row in rows]
    random.Random(0).shuffle(labels)
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([head, *([p, e, *rest] for (p, _, *rest), e in zip(rows, labels, strict=True))])
    more: dict[str, object] = {
        "data.root": str(manifest),
        "data.validation": "none",
        "federation.rounds": 10,
        "training.local_epochs": 6,
        "training.learning_rate": 0.02,
        "training.weight_decay": 0.0,
        "model.dropout": 0.0,
        "model.hidden": 16,
        "augment.time_masks": 0,
        "augment.feature_masks": 0,
    }
    noise = {"privacy.noise_multiplier": 2.5, "privacy.insecure_seed": True}
    learnt = heart(open_run(federate("learnt", started=True, **more), None), shadows=2)
    for found in learnt.values():
        assert found.auc_ci95 is not None
        assert found.auc_ci95[0] > 0.6
    hidden = heart(open_run(federate("hidden", started=True, **more, **noise), None), shadows=2)["loss_threshold"]
    assert hidden.auc_ci95 is not None
    assert hidden.auc_ci95[0] < 0.5 < hidden.auc_ci95[1]


def test_logits_are_in_the_recordings_order(plain: Path) -> None:
    run = open_run(plain, None)
    with Display() as display:
        recordings = run.recordings(0, display)
    whole = logits_of(run.final_model(), recordings)
    assert whole.shape == (64, 4)
    of_one = [i for i, r in enumerate(recordings) if r.utterance.speaker == "03"]
    alone = logits_of(run.final_model(), [recordings[i] for i in reversed(of_one)])
    assert np.allclose(alone[::-1], whole[of_one], atol=1e-5)


def test_what_cannot_be_attacked_is_refused(plain: Path) -> None:
    with Display() as display, pytest.raises(UsageError, match="--shadows is 1, expected 2 to 1000"):
        audit(open_run(plain, None), shadows=1, workers=0, display=display)

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from common.config.settings import Config, ModelConfig, TrainingConfig
from common.errors import UsageError
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.privacy.terms import Terms
from common.progress import Display
from simulations.audits.audited_run import open_run
from simulations.audits.inversion import Victim, invert_all, released
from simulations.audits.outcome import Outcome
from simulations.audits.reconstruction import audit, middle

TERMS = Terms(
    unit="utterance",
    units=10,
    sample_rate=0.5,
    noise_multiplier=1e-12,
    max_grad_norm=0.01,
    steps_per_round=1,
    rounds=1,
    delta=1e-5,
    target_epsilon=None,
    budget=None,
    insecure_seed=True,
)


def model() -> EmotionModel:
    torch.manual_seed(0)
    return build_model(6, 4, Config(model=ModelConfig(projection=8, hidden=6, attention=4))).eval()


def victim(**more: Any) -> Victim:
    truth = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    own: dict[str, Any] = {"terms": None, "steps": 5, "seed": 0, **more}
    return Victim(truth=truth, label=2, training=TrainingConfig(label_smoothing=0.0), **own)


def attacked(run: Path, **more: Any) -> Outcome:
    options = {"utterances": 5, "frames": 3, "steps": 30, "trained": False, "workers": 0, **more}
    with Display() as display:
        return audit(open_run(run, None), **options, display=display)


def test_without_privacy_the_gradient_is_released() -> None:
    own, it = model(), victim()
    loss = nn.functional.cross_entropy(own(it.truth[None], torch.tensor([3])), torch.tensor([2]))
    expected = torch.autograd.grad(loss, list(own.parameters()))
    update = released(own, it)
    assert list(update) == [name for name, _ in own.named_parameters()]
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(update.values(), expected, strict=True))
    assert all(p.grad is None for p in own.parameters())


def test_with_privacy_it_is_clipped_and_noised() -> None:
    own = model()
    gradient, clipped = released(own, victim()), released(own, victim(terms=TERMS))
    norm = torch.cat([g.flatten() for g in gradient.values()]).norm()
    assert norm > 0.1
    assert all(torch.allclose(clipped[name], gradient[name] * 0.01 / norm, atol=1e-7) for name in gradient)
    loud = dataclasses.replace(TERMS, noise_multiplier=3.0)
    noise = torch.cat([(released(own, victim(terms=loud))[n] - clipped[n]).flatten() for n in gradient])
    assert float(noise.std()) == pytest.approx(0.03, rel=0.1)
    secret = dataclasses.replace(loud, insecure_seed=False)
    assert not torch.equal(*(released(own, victim(terms=secret))["classifier.weight"] for _ in range(2)))


def test_processes_find_what_one_finds() -> None:
    own, it = model(), [victim(), victim(seed=1)]
    done: list[int] = []
    here = invert_all(own, it, workers=0, on_done=done.append)
    there = invert_all(own, it, workers=2, on_done=done.append)
    assert done == [1, 2, 1, 2]
    assert [found.label for found in here] == [found.label for found in there] == [2, 2]
    assert all(torch.allclose(a.features, b.features, atol=1e-4) for a, b in zip(here, there, strict=True))


@pytest.mark.slow
def test_a_run_without_privacy_leaks_and_one_with_it_does_not(plain: Path, private: Path) -> None:
    told = json.loads(attacked(plain, utterances=2, steps=30).write().read_text())
    assert told["random_features"]["utterances"] == told["other_utterances"]["utterances"] == 2
    assert told["random_features"]["correlation"] > told["random_features"]["random_ci95"][1]
    assert told["emotion"]["told"] == 1.0
    assert "the update tells of the utterance" in told["meaning"]
    hidden = attacked(private, utterances=2, steps=30)
    assert hidden.details["random_features"]["correlation"] < told["random_features"]["correlation"]
    assert "no nearer to the truth than guesses" in hidden.json()["meaning"]


def test_the_final_model_can_be_attacked_too(plain: Path) -> None:
    initial, final = (attacked(plain, utterances=1, steps=2, trained=trained) for trained in (False, True))
    assert (initial.details["model"], final.details["model"]) == ("initial", "final")
    assert initial.details["random_features"] != final.details["random_features"]


def test_the_middle_is_cut_out(plain: Path) -> None:
    with Display() as display:
        recording = open_run(plain, None).recordings(0, display)[0]
    frames = recording.versions[0]
    recording = dataclasses.replace(recording, versions=(torch.arange(7.0)[:, None].expand(7, 6),))
    assert middle(recording, 3)[:, 0].tolist() == [2.0, 3.0, 4.0]
    assert frames.shape[1] == 6


def test_frames_that_no_utterance_has_are_refused(plain: Path) -> None:
    with pytest.raises(UsageError, match="expected so few that two utterances have them; the longest has 8"):
        attacked(plain, frames=9)
    with pytest.raises(UsageError, match="--steps is 0, expected 1 to"):
        attacked(plain, steps=0)

from __future__ import annotations

import pytest
import torch

from common.config.kinds import CENTRE
from common.config.settings import Config, ModelConfig
from common.data.dataset import SpeechDataset
from common.learning.centring import centring, figures, find_centre, freeze_all_but_centre, moved
from common.models.architectures import build_model
from common.models.contours import Contours
from common.models.model import EmotionModel
from common.privacy.accounting.accountants import Spend
from common.privacy.centre import centre_privately
from common.privacy.dp_sgd import units_of
from common.privacy.stream import SecretStream
from tests.common.examples import random_recordings

CLASSES = ("anger", "neutral", "sadness")
FEATURES = 6


def model(statistics: str = "contours") -> EmotionModel:
    config = ModelConfig(hidden=0, dropout=0.0, statistics=statistics)
    return build_model(FEATURES, len(CLASSES), Config(model=config))


def data(each: int = 40) -> SpeechDataset:
    own = random_recordings(speakers=3, each=each, features=FEATURES, classes=CLASSES)
    return SpeechDataset(own, CLASSES)


def centre(emotion: EmotionModel) -> torch.Tensor:
    assert isinstance(emotion.statistics, Contours)
    return emotion.statistics.centre.detach().clone()


def found(
    noise: float, *, unit: str = "utterance", rate: float = 1.0, steps: int = 60, each: int = 40, turn: int = 1
) -> EmotionModel:
    emotion = model()
    spend = Spend(unit=unit, sample_rate=rate, noise_multiplier=noise, steps=steps)
    centre_privately(emotion, data(each), spend, turn=turn, stream=SecretStream(3), planted=0)
    return emotion


@pytest.mark.parametrize(("rounds", "expected"), [(50, [1, 2, 3, 4, 5]), (29, [1, 2]), (10, [1]), (9, []), (1, [])])
def test_the_first_rounds_find_the_centre_where_there_are_enough(rounds: int, expected: list[int]) -> None:
    config = Config().with_values({"federation.rounds": rounds})
    assert [turn for turn in range(1, rounds + 1) if centring(model(), turn, config)] == expected
    assert not any(centring(model("means"), turn, config) for turn in range(1, rounds + 1))
    hidden = config.with_values({"privacy.unit": "speaker", "privacy.epsilon": 8.0})
    assert not any(centring(model(), turn, hidden) for turn in range(1, rounds + 1))


def test_a_round_moves_the_centre_alone_or_all_but_it() -> None:
    names = list(model().state_dict())
    assert CENTRE in names
    config = Config().with_values({"federation.rounds": 50})
    assert moved(names, 5, config) == [CENTRE]
    assert moved(names, 6, config) == [name for name in names if name != CENTRE]
    assert moved(["a", "b"], 1, config) == ["a", "b"]


def test_without_privacy_the_centre_is_the_recordings_mean() -> None:
    emotion, own = model(), data()
    before = emotion.classifier.weight.detach().clone()
    trained = find_centre(emotion, own)
    assert torch.allclose(centre(emotion), figures(emotion, own).mean(0), atol=1e-6)
    assert torch.equal(emotion.classifier.weight, before)
    assert trained.examples == len(own)
    assert find_centre(emotion, own).loss < trained.loss


def test_private_steps_without_noise_come_to_the_mean_and_train_nothing_else() -> None:
    emotion, own, start = found(1e-9), data(), model()
    spread = (figures(emotion, own) - figures(emotion, own).mean(0)).norm(dim=1).mean()
    distance = (centre(emotion) - figures(emotion, own).mean(0)).norm()
    assert distance < 0.1 * spread  # clipping leaves a little
    assert distance < 0.1 * (centre(start) - figures(emotion, own).mean(0)).norm()
    assert [p.requires_grad for p in emotion.parameters()] == [p.requires_grad for p in start.parameters()]


def test_a_step_is_clipped_to_the_norm_and_noised() -> None:
    still = (centre(found(1e-9, steps=1)) - centre(model())).norm()
    assert 0 < still <= 1.0 + 1e-6
    noisy = centre(found(50.0, steps=1)) - centre(model())
    expected = 50.0 / 120  # of 120 recordings
    assert float(noisy.std()) == pytest.approx(expected, rel=0.4)


def test_later_steps_are_shorter_by_the_root_of_their_number() -> None:
    noisy = centre(found(50.0, steps=1, turn=26)) - centre(model())
    assert float(noisy.std()) == pytest.approx(50.0 / 120 / 26**0.5, rel=0.4)


def test_a_speaker_counts_once_however_many_recordings() -> None:
    few, many = found(1e-9, unit="speaker", steps=60, each=2), found(1e-9, unit="speaker", steps=60, each=60)
    for emotion, each in ((few, 2), (many, 60)):
        own = data(each)
        rows = figures(emotion, own)
        groups = units_of(own, "speaker")
        by_speaker = torch.stack([rows[group].mean(0) for group in groups])
        assert torch.allclose(centre(emotion), by_speaker.mean(0), atol=0.15)


def test_an_empty_sample_is_a_step_of_noise() -> None:
    emotion = found(1.0, rate=1e-9, steps=2)
    assert not torch.equal(centre(emotion), centre(model()))
    assert torch.isfinite(centre(emotion)).all()


def test_a_recording_that_is_not_finite_adds_nothing() -> None:
    emotion, own = model(), data()
    broken = [*own.versions[0]]
    own.versions[0] = (torch.full_like(broken[0], float("nan")), *broken[1:])
    spend = Spend(unit="utterance", sample_rate=1.0, noise_multiplier=1e-9, steps=3)
    centre_privately(emotion, own, spend, turn=1, stream=SecretStream(1), planted=0)
    assert torch.isfinite(centre(emotion)).all()


def test_flags_come_back_after_an_error() -> None:
    emotion = model()
    flags = {name: p.requires_grad for name, p in emotion.named_parameters()}
    with pytest.raises(ZeroDivisionError), freeze_all_but_centre(emotion):
        1 / 0  # noqa: B018
    assert {name: p.requires_grad for name, p in emotion.named_parameters()} == flags


def test_a_model_without_contours_has_no_centre() -> None:
    with pytest.raises(TypeError, match="no contours"):
        find_centre(model("means"), data())

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.config.settings import AugmentConfig, Config, ModelConfig, PrivacyConfig, TrainingConfig
from common.data.dataset import SpeechDataset
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.privacy.accounting.accountants import Spend
from common.privacy.dp_sgd import train_privately, units_of
from common.privacy.per_sample.private_lstm import with_private_lstms
from common.privacy.stream import SecretStream
from tests.common.examples import random_recordings

CLASSES = ("anger", "neutral", "sadness")
FEATURES = 4
PLAIN = TrainingConfig(optimizer="sgd", momentum=0.0, weight_decay=0.0, label_smoothing=0.1, class_weights="none")
STILL = AugmentConfig(time_masks=0, feature_masks=0)
OPEN = PrivacyConfig(max_grad_norm=1e9, noise_multiplier=1e-9)
QUIET = 1e-18  # a noise multiplier that leaves nothing of the noise, even times a clipping norm of 1e9
SEED = 7


def data(each: int = 6) -> SpeechDataset:
    return SpeechDataset(random_recordings(speakers=3, each=each, features=FEATURES, classes=CLASSES), CLASSES)


def fresh() -> EmotionModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(projection=6, hidden=5, attention=4, dropout=0.0)
        return with_private_lstms(build_model(FEATURES, len(CLASSES), Config(model=config)))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(
    *,
    unit: str = "utterance",
    rate: float = 0.5,
    noise: float = QUIET,
    steps: int = 3,
    privacy: PrivacyConfig = OPEN,
    training: TrainingConfig = PLAIN,
    insecure: int | None = SEED,
    own: SpeechDataset | None = None,
    **more: Any,
) -> Tensor:
    model = fresh()
    spend = Spend(unit=unit, sample_rate=rate, noise_multiplier=noise, steps=steps)
    stream = SecretStream(insecure)
    train_privately(
        model,
        own or data(),
        spend,
        training=training,
        augment=STILL,
        privacy=privacy,
        rate=0.3,
        stream=stream,
        **more,
    )
    return weights(model)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_without_noise_and_clipping_it_is_sgd_over_the_expected_batch(unit: str) -> None:
    own, model, stream = data(), fresh(), SecretStream(SEED)
    units = units_of(own, unit)
    optimizer = torch.optim.SGD(model.parameters(), 0.3)
    stream.seed()
    for _ in range(3):
        stream.seed()
        drawn = [units[i] for i in stream.sample(len(units), 0.5).tolist()]
        optimizer.zero_grad()
        for recordings in drawn:
            batch = own.batch(torch.tensor(recordings))
            logits = model(batch.features, batch.lengths)
            loss = nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1)
            (loss / (0.5 * len(units))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        stream.normal(sum(p.numel() for p in model.parameters()))
    assert trained(unit=unit).numpy() == pytest.approx(weights(model).numpy(), abs=1e-6)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_the_size_of_the_physical_batches_changes_nothing(unit: str) -> None:
    privacy = PrivacyConfig(max_grad_norm=0.1, noise_multiplier=1.0)
    small = dataclasses.replace(privacy, max_physical_batch=2)
    whole, pieces = (trained(unit=unit, privacy=p).numpy() for p in (privacy, small))
    assert pieces == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_a_unit_moves_the_weights_by_the_bound_at_most(unit: str) -> None:
    moved = trained(unit=unit, rate=1.0, steps=1, privacy=PrivacyConfig(max_grad_norm=0.01)) - weights(fresh())
    assert 0 < float(moved.norm()) <= 0.3 * 0.01 * (1 + 1e-5)


def test_a_speaker_with_ten_times_the_recordings_counts_as_much() -> None:
    own = data()
    many = data()
    many.versions, many.utterances = own.versions * 10, own.utterances * 10
    many.labels = own.labels.repeat(10)
    train = functools.partial(trained, unit="speaker", rate=1.0, privacy=PrivacyConfig(max_grad_norm=0.1))
    assert train(own=many).numpy() == pytest.approx(train(own=own).numpy(), abs=1e-6)


def test_several_copies_of_a_recording_are_one_contribution() -> None:
    """Of a recording without altered copies, their mean is the recording's own gradient."""
    privacy = PrivacyConfig(max_grad_norm=0.1)
    several = dataclasses.replace(privacy, multiplicity=4, max_physical_batch=5)
    assert trained(privacy=several).numpy() == pytest.approx(trained(privacy=privacy).numpy(), abs=1e-6)


def test_a_step_in_which_nobody_is_drawn_is_a_step_of_noise() -> None:
    moved = trained(rate=1e-6, noise=1.0, steps=1, privacy=PrivacyConfig(max_grad_norm=1e-6)) - weights(fresh())
    assert float(moved.std()) == pytest.approx(0.3 * 1e-6 / (1e-6 * len(data())), rel=0.3)


def test_noise_and_sample_are_secret_unless_the_insecure_seed_is_given() -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        runs.append(trained(insecure=None))
    assert not torch.equal(runs[0], runs[1])
    assert torch.equal(trained(noise=1.0), trained(noise=1.0))


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    trained()
    assert torch.equal(before, torch.get_rng_state())


def test_fedprox_pulls_towards_the_start() -> None:
    start = weights(fresh())
    free, held = ((trained(proximal_mu=mu) - start).norm() for mu in (0.0, 2.0))
    assert float(held) < 0.8 * float(free)


class Planted:
    """One canary, always drawn, whose gradient is a hundred times the bound along the last parameter."""

    def __init__(self, parameters: int) -> None:
        self.row = torch.zeros(1, parameters)
        self.row[0, -1] = 100.0
        self.seen: list[Tensor] = []

    def rows(self, stream: SecretStream, rate: float) -> Iterable[Tensor]:
        return [self.row.clone()]

    def see(self, noisy_sum: Tensor) -> None:
        self.seen.append(noisy_sum)


def test_a_canary_is_clipped_like_a_recording_and_the_audit_sees_each_sum() -> None:
    canary = Planted(len(weights(fresh())))
    privacy = PrivacyConfig(max_grad_norm=2.0)
    empty = trained(rate=1e-12, privacy=privacy, canaries=canary, steps=2)
    assert torch.isfinite(empty).all()
    assert len(canary.seen) == 2
    assert float(canary.seen[0][-1]) == pytest.approx(2.0, rel=1e-5)
    assert float(canary.seen[0][:-1].abs().max()) < 1e-6

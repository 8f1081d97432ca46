"""A step's sum, whatever one unit holds: the others add what they add beside an empty place, bit for bit."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from common.config.settings import AugmentConfig, Config, ModelConfig, PrivacyConfig
from common.config.units import UNITS
from common.data.dataset import Batch, SpeechDataset
from common.data.extraction import Recording
from common.data.normalise import normalised
from common.data.unit_alone import emptied, prepare_alone
from common.models.architectures import build_model
from common.privacy.accounting.accountants import Spend
from common.privacy.dp_sgd import train_privately
from common.privacy.per_sample.private_lstm import with_private_lstms
from common.privacy.stream import SecretStream
from tests.common.examples import random_recordings
from tests.common.privacy.test_dp_sgd import CLASSES, FEATURES, PLAIN, STILL

MASKED = AugmentConfig(time_masks=2, feature_masks=1)
BOUND = 0.1
UNITS_AT_SITES = ["utterance", "speaker"]


def recordings() -> list[Recording]:
    return random_recordings(speakers=4, each=4, features=FEATURES, classes=CLASSES)


def place_of(unit: str) -> list[int]:
    """The recordings of the unit that is looked at: the second last speaker's, or one of them."""
    return [9] if unit == "utterance" else [8, 9, 10, 11]


def trained(data: SpeechDataset, unit: str, *, random: bool = True, steps: int = 2) -> Tensor:
    """The weights after noisy steps, whose masks, copies and dropout are drawn where they are to be ``random``."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = ModelConfig(projection=6, hidden=5, attention=4, dropout=0.3 if random else 0.0)
        model = build_model(FEATURES, len(CLASSES), Config(model=sizes))
    privacy = PrivacyConfig(max_grad_norm=BOUND, multiplicity=2 if random else 1, max_physical_batch=5)
    train_privately(
        with_private_lstms(model) if UNITS[unit].single else model,
        data,
        Spend(unit=unit, sample_rate=0.8, noise_multiplier=1.0, steps=steps),
        training=PLAIN,
        augment=MASKED if random else STILL,
        privacy=privacy,
        rate=0.3,
        stream=SecretStream(7),
    )
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def without(unit: str) -> SpeechDataset:
    own = recordings()
    return SpeechDataset([emptied(r) if i in place_of(unit) else r for i, r in enumerate(own)], CLASSES)


def broken(unit: str, how: str) -> SpeechDataset:
    """With a unit whose gradient cannot be computed, which nobody saw before the steps were reserved."""
    data = SpeechDataset(recordings(), CLASSES)
    place = place_of(unit)[-1]
    if how == "another width":
        data.versions[place] = (torch.ones(4, FEATURES + 1),)
    else:
        data.labels[place] = len(CLASSES)
    return data


@pytest.mark.parametrize("how", ["another width", "a label beyond the classes"])
@pytest.mark.parametrize("unit", UNITS_AT_SITES)
def test_a_unit_that_cannot_be_computed_is_as_an_empty_place_bit_for_bit(
    unit: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert torch.equal(trained(broken(unit, how), unit), trained(without(unit), unit))


CONTENTS = {
    "ordinary": torch.randn(6, FEATURES, generator=torch.Generator().manual_seed(5)),
    "empty": torch.empty(0, FEATURES),
    "one frame": torch.ones(1, FEATURES),
    "constant": torch.ones(7, FEATURES),
    "very long": torch.randn(900, FEATURES, generator=torch.Generator().manual_seed(6)),
    "NaN": torch.full((5, FEATURES), torch.nan),
    "infinite": torch.full((5, FEATURES), torch.inf),
    "huge": torch.tensor([[3e38, -3e38, 1.0, 0.0]] * 4 + [[-3e38, 3e38, 0.0, 1.0]]),
    "another width": torch.ones(5, FEATURES + 2),
    "a flat list": torch.ones(FEATURES),
}
NOTHING = {"empty", "NaN", "infinite", "another width", "a flat list"}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("unit", UNITS_AT_SITES)
@pytest.mark.parametrize("mode", ["utterance", "speaker"])
def test_whatever_a_unit_holds_a_step_is_made_and_it_moves_the_sum_by_the_bound_at_most(
    unit: str, content: str, mode: str
) -> None:
    own = recordings()
    for place in place_of(unit):
        own[place] = Recording(utterance=own[place].utterance, versions=(CONTENTS[content],))
    made = prepare_alone(own, UNITS[unit], CLASSES, FEATURES, lambda some: normalised(some, mode))
    none = prepare_alone(
        [emptied(r) if i in place_of(unit) else r for i, r in enumerate(own)],
        *(UNITS[unit], CLASSES, FEATURES, lambda some: normalised(some, mode)),
    )
    assert [r.utterance for r in made] == [r.utterance for r in none] == [r.utterance for r in own]
    with_it, without_it = (trained(SpeechDataset(rows, CLASSES), unit, random=False, steps=1) for rows in (made, none))
    units = len(UNITS[unit].groups([r.utterance for r in own]))
    moved = float((with_it - without_it).norm())
    assert moved <= 0.3 * BOUND / (0.8 * units) * (1 + 1e-3)
    if content in NOTHING and (unit == "speaker" or mode == "utterance"):
        assert torch.equal(with_it, without_it)


@pytest.mark.parametrize("unit", UNITS_AT_SITES)
def test_an_empty_place_counts_and_is_drawn(unit: str) -> None:
    """The sum is divided by as many units as there are places, and the others are drawn as they were."""
    own = recordings()
    shorter = [r for i, r in enumerate(own) if i not in place_of(unit)]
    gone = trained(SpeechDataset(shorter, CLASSES), unit, random=False, steps=1)
    kept = trained(without(unit), unit, random=False, steps=1)
    assert not torch.allclose(kept, gone)


class SmallMachine(SpeechDataset):
    """Recordings on a machine that holds so many padded frames at once, and no more."""

    most = 60

    def batch(self, index: Tensor, version: Tensor | None = None, window: Tensor | None = None) -> Batch:
        made = super().batch(index, version, window)
        if made.features.shape[:2].numel() > self.most:
            raise MemoryError("no room")
        return made


@pytest.mark.parametrize("unit", UNITS_AT_SITES)
def test_where_a_batch_does_not_fit_its_units_are_computed_alone(unit: str) -> None:
    own = recordings()
    for place in (0, 9):
        own[place] = Recording(utterance=own[place].utterance, versions=(own[place].versions[0].repeat(6, 1)[:20],))
    small = SmallMachine(own, CLASSES)
    small.most = 20 * (1 if unit == "utterance" else 4)
    plain = trained(SpeechDataset(own, CLASSES), unit, random=False)
    assert trained(small, unit, random=False).numpy() == pytest.approx(plain.numpy(), abs=1e-6)


@pytest.mark.parametrize("unit", UNITS_AT_SITES)
def test_a_unit_too_large_even_alone_adds_nothing_and_the_others_what_they_add_without_it(unit: str) -> None:
    own = recordings()
    place = place_of(unit)[0]
    own[place] = Recording(utterance=own[place].utterance, versions=(torch.randn(200, FEATURES),))
    assert torch.equal(trained(SmallMachine(own, CLASSES), unit), trained(without(unit), unit))


def test_where_no_unit_can_be_computed_the_step_is_of_noise_alone() -> None:
    data = SmallMachine(recordings(), CLASSES)
    data.most = 0
    nobody = SpeechDataset(list(map(emptied, recordings())), CLASSES)
    assert torch.equal(trained(data, "utterance"), trained(nobody, "utterance"))

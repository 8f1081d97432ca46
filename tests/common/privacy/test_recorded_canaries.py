from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.data.dataset import SpeechDataset
from common.errors import UsageError
from common.privacy.recorded_canaries import RecordedCanaries
from tests.common.examples import utterance

CLASSES = ("anger", "neutral", "sadness")


def dataset() -> SpeechDataset:
    empty = SpeechDataset([], CLASSES)
    empty.versions = [(torch.full((2, 1), float(i)),) for i in range(6)]
    empty.utterances = [utterance(speaker) for speaker in "aabbcc"]
    empty.labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return empty


def recordings(data: SpeechDataset) -> list[int]:
    return [int(versions[0][0, 0]) for versions in data.versions]


class Fixed(nn.Module):
    """Says the same of every recording."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        return self.logits.expand(len(batch), -1)


INCLUDED = torch.tensor([True, False, True])


def test_every_canary_is_another_recording_under_a_wrong_label() -> None:
    data = dataset()
    canaries = RecordedCanaries(data=data, included=INCLUDED, seed=1)
    own = recordings(canaries.data)
    assert len(set(own)) == 3
    assert all(int(label) != int(data.labels[i]) for i, label in zip(own, canaries.data.labels, strict=True))
    again = RecordedCanaries(data=data, included=INCLUDED, seed=1)
    assert (recordings(again.data), again.data.labels.tolist()) == (own, canaries.data.labels.tolist())


def test_a_recording_is_in_one_unit_at_most() -> None:
    """So the ledger's ε is true of it: as itself, as a canary that was included, or not at all."""
    canaries = RecordedCanaries(data=dataset(), included=INCLUDED, seed=2)
    trained, own = recordings(canaries.training), recordings(canaries.data)
    assert len(set(trained)) == len(trained) == 5
    assert canaries.planted == 2
    assert trained[-2:] == [own[0], own[2]]
    assert own[1] not in trained
    assert canaries.training.labels[-2:].tolist() == canaries.data.labels[INCLUDED].tolist()


@pytest.mark.parametrize("count", [0, 6])
def test_there_are_so_many_at_most(count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} canaries of 6 recordings, expected 1 to 5"):
        RecordedCanaries(data=dataset(), included=torch.ones(count, dtype=torch.bool), seed=1)


def test_scores_say_how_far_each_canarys_loss_fell() -> None:
    canaries = RecordedCanaries(data=dataset(), included=INCLUDED, seed=2)
    before = canaries.losses(Fixed([0.0, 0.0, 0.0]))
    assert before.tolist() == pytest.approx([1.0986] * 3, abs=1e-4)
    canaries.see(before, Fixed([4.0, 0.0, 0.0]))
    fell = canaries.data.labels == 0
    assert (canaries.scores > 0).tolist() == fell.tolist()
    canaries.see(before, Fixed([4.0, 0.0, 0.0]))
    assert canaries.scores[~fell].max() < -5.8

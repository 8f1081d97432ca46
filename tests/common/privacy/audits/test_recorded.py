from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.dataset import SpeechDataset
from common.errors import UsageError
from common.privacy.audits.recorded import RecordedCanaries, mislabelled

CLASSES = ("anger", "neutral", "sadness")


def dataset() -> SpeechDataset:
    empty = SpeechDataset([], CLASSES)
    empty.versions = [(torch.full((2, 1), float(i)),) for i in range(4)]
    return empty.relabelled(torch.arange(4), torch.tensor([0, 1, 2, 0]), ["a", "a", "b", "b"])


class Fixed(nn.Module):
    """Says the same of every recording."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        return self.logits.expand(len(batch), -1)


def test_every_canary_is_another_recording_or_another_wrong_label() -> None:
    data = dataset()
    canaries = mislabelled(data, 8, seed=1)
    pairs = [(int(v[0][0, 0]), int(label)) for v, label in zip(canaries.versions, canaries.labels, strict=True)]
    assert len(set(pairs)) == 8
    assert all(label != int(data.labels[recording]) for recording, label in pairs)
    assert len(set(canaries.speakers)) == 8
    again = mislabelled(data, 8, seed=1)
    assert again.labels.tolist() == canaries.labels.tolist()


@pytest.mark.parametrize("count", [0, 9])
def test_there_are_so_many_at_most(count: int) -> None:
    with pytest.raises(UsageError, match="of 4 recordings, expected 1 to 8"):
        mislabelled(dataset(), count, seed=1)


def test_only_the_included_train_and_all_are_scored() -> None:
    data = dataset()
    included = torch.tensor([True, False, True])
    canaries = RecordedCanaries(data=mislabelled(data, 3, seed=2), included=included)
    joined = canaries.joined(data)
    assert (len(joined), canaries.guests) == (6, 2)
    assert joined.labels[:4].tolist() == data.labels.tolist()
    assert joined.speakers[4:] == ["canary 0", "canary 2"]
    assert joined.labels[4:].tolist() == canaries.data.labels[included].tolist()
    before = canaries.losses(Fixed([0.0, 0.0, 0.0]))
    assert before.tolist() == pytest.approx([1.0986] * 3, abs=1e-4)
    canaries.see(before, Fixed([4.0, 0.0, 0.0]))
    fell = canaries.data.labels == 0
    assert (canaries.scores > 0).tolist() == fell.tolist()
    canaries.see(before, Fixed([4.0, 0.0, 0.0]))
    assert canaries.scores[~fell].max() < -5.8
    with pytest.raises(UsageError, match="2 coins for 3 canaries"):
        RecordedCanaries(data=canaries.data, included=included[:2])

import pytest
import torch
from torch import Tensor, nn

from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.learning.stranger_scores import score_strangers
from tests.common.examples import recording

CLASSES = ("anger", "sadness")


class Sign(nn.Module):
    """Takes a recording for anger where its first number is above 0."""

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        first = batch[:, 0, :1]
        return torch.cat([first, -first], dim=1)


def told(*values: float) -> list[Recording]:
    """One recording of anger for each value, of speakers a and b in turn."""
    return [recording(torch.full((2, 1), value), "ab"[i % 2]) for i, value in enumerate(values)]


def dataset(ready: list[Recording]) -> SpeechDataset:
    return SpeechDataset(ready, CLASSES)


def test_counts_of_a_condition_are_of_all_its_draws_by_speaker() -> None:
    found = score_strangers(
        Sign(),
        [(("0",), told(1, 1)), (("2",), told(1, -1)), (("2",), told(-1, -1)), (("8", "all"), told(1, -1))],
        dataset,
    )
    counts = {name: {who: own.tolist()[0] for who, own in each.items()} for name, each in found.after.items()}
    assert counts == {
        "0": {"a": [1, 0], "b": [1, 0]},
        "2": {"a": [1, 1], "b": [0, 2]},
        "8": {"a": [1, 0], "b": [0, 1]},
    }
    assert found.known.examples == 2


def test_one_condition_must_be_for_all() -> None:
    with pytest.raises(ValueError, match="no condition is for all"):
        score_strangers(Sign(), [(("0",), told(1, 1))], dataset)

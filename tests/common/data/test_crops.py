"""Random windows in training, and the windows of a recording by which a model is judged."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.config.settings import Config, FeatureConfig
from common.data.crops import Crops, rows_of, windows_of
from common.data.dataset import POOL, SpeechDataset
from common.data.extraction import Recording
from common.data.heard import adapted
from common.data.normalise import Sums
from common.data.running import RunningDataset
from common.errors import UsageError
from common.seeds import torch_generator
from tests.common.data.test_heard import CONFIG, PRIOR, voices
from tests.common.examples import random_recordings, recording, utterance

CLASSES = ("anger", "sadness")
ROWS = FeatureConfig(hop=100, stack=1)  # ten rows a second


def counted(length: int, *copies: torch.Tensor, emotion: str = "anger") -> Recording:
    """A sound whose rows are numbered."""
    return recording(torch.arange(float(length))[:, None], "a", emotion, *copies)


@given(
    st.floats(0.01, 1.0), st.integers(1, 40), st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(0, 9)
)
def test_a_window_lies_in_its_utterance_and_is_never_short(
    share: float, least: int, lengths: list[int], seed: int
) -> None:
    crops = Crops(share=share, least=least)
    windows = crops.draw([utterance()] * len(lengths), torch.tensor(lengths), torch_generator(seed))
    for (first, end), length in zip(windows.tolist(), lengths, strict=True):
        assert 0 <= first < end <= length
        assert end - first >= min(least, length)


def test_every_length_and_place_comes_as_often_and_so_many_are_whole() -> None:
    """Of four rows, two or more: 2, 3 or 4, from each row that leaves room."""
    many = 12_000
    windows = Crops(share=0.75, least=2).draw([utterance()] * many, torch.full((many,), 4), torch_generator(0))
    share = {window: count / many for window, count in Counter(map(tuple, windows.tolist())).items()}
    expected = {(0, 4): 0.25 + 0.25, (0, 3): 0.125, (1, 4): 0.125, (0, 2): 1 / 12, (1, 3): 1 / 12, (2, 4): 1 / 12}
    assert share == pytest.approx(expected, abs=0.015)


def test_a_matrix_keeps_a_fifth_of_its_rows_for_it_has_no_clock() -> None:
    crops, many = Crops(share=1.0, least=17), 500
    windows = crops.draw([utterance(name="a.npy")] * many, torch.full((many,), 11), torch_generator(0))
    assert set((windows[:, 1] - windows[:, 0]).tolist()) == set(range(3, 12))
    alone = crops.draw([utterance(name="a.npy")] * 3, torch.ones(3).long(), torch_generator(0))
    assert alone.tolist() == [[0, 1]] * 3


def test_an_epoch_cuts_before_it_batches_by_length() -> None:
    data = SpeechDataset([counted(30, torch.arange(100.0, 130.0)[:, None]) for _ in range(200)], CLASSES)
    data.crops = Crops(share=1.0, least=5)
    batches = list(data.epoch(8, torch_generator("x")))
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(200))
    rows = [own[:n, 0] for batch in batches for own, n in zip(batch.features, batch.lengths.tolist(), strict=True)]
    assert all(torch.equal(own, own[0] + torch.arange(float(len(own)))) for own in rows)
    assert {len(own) for own in rows} == set(range(5, 31))
    assert {bool(own[0] >= 100) for own in rows} == {False, True}
    padding = sum(int((batch.features.shape[1] - batch.lengths).sum()) for batch in batches)
    assert padding < 0.15 * sum(map(len, rows))


def test_the_same_seed_cuts_the_same_and_each_epoch_cuts_others() -> None:
    data = SpeechDataset([counted(30) for _ in range(20)], CLASSES, Crops(share=0.5, least=5))

    def epochs(seed: str) -> list[list[list[float]]]:
        generator = torch_generator(seed)
        return [[row.flatten().tolist() for batch in data.epoch(4, generator) for row in batch.features] for _ in "ab"]

    first = epochs("x")
    assert epochs("x") == first
    assert first[0] != first[1]


def test_without_crops_an_epoch_draws_what_it_drew_before_there_were_any() -> None:
    """Against the loop without them: the same batches, and the generator is left as it was."""
    data = SpeechDataset(random_recordings(speakers=1, each=3 * POOL, features=2, classes=CLASSES), CLASSES)
    ours, plain = torch_generator("x"), torch_generator("x")
    expected = []
    for pool in torch.split(torch.randperm(len(data), generator=plain), 2 * POOL):
        versions = torch.tensor([int(torch.randint(1, (), generator=plain)) for _ in pool])
        order = torch.argsort(torch.tensor([len(data.versions[i][0]) for i in pool]), stable=True)
        cuts = list(zip(torch.split(pool[order], 2), torch.split(versions[order], 2), strict=True))
        expected += [data.batch(*cuts[cut]) for cut in torch.randperm(len(cuts), generator=plain).tolist()]
    for batch, other in zip(data.epoch(2, ours), expected, strict=True):
        assert torch.equal(batch.index, other.index)
        assert torch.equal(batch.features, other.features)
        assert torch.equal(batch.lengths, other.lengths)
    assert torch.equal(ours.get_state(), plain.get_state())


def test_a_window_is_scaled_as_its_whole_recording_would_be() -> None:
    """The sums of who was heard are of whole recordings, whatever is cut: two recordings of one speaker."""
    own = voices(1, 2, rows=10)
    data = RunningDataset(own, CLASSES, PRIOR, CONFIG, Crops(share=1.0))
    scalings = [PRIOR, *(adapted(PRIOR, Sums.of([other])) for other in own)]
    cut = 0
    for seed in range(10):
        for batch in data.epoch(1, torch_generator(seed)):
            place, rows = int(batch.index), batch.features[0]
            wholes = [scalings[0](own[place].versions[0]), scalings[2 - place](own[place].versions[0])]
            places = [whole.unfold(0, len(rows), 1).transpose(1, 2) for whole in wholes]
            assert any(torch.isclose(rows, each, atol=1e-5).all(dim=(1, 2)).any() for each in places)
            cut += len(rows) < 10
    assert cut > 10


def test_parts_and_joined_sets_cut_too() -> None:
    crops = Crops(share=1.0, least=3)
    data = SpeechDataset([counted(9), counted(8)], CLASSES, crops)
    running = RunningDataset(voices(1, 2), CLASSES, PRIOR, CONFIG, crops)
    for made in (data.part(torch.tensor([1])), data.joined(SpeechDataset([], CLASSES)), running.joined(running)):
        assert made.crops == crops


def test_a_run_s_crops_have_half_a_second_at_least() -> None:
    assert Crops.of(Config()) == Crops(share=0.0, least=17)  # rows of 30 ms
    run = Config().with_values({"augment.crop": 0.6, "features.stack": 1})
    assert Crops.of(run) == Crops(share=0.6, least=50)
    assert [rows_of(seconds, ROWS) for seconds in (0.0, 0.1, 0.11, 2.0)] == [1, 1, 2, 20]


def test_windows_lie_back_to_back_and_what_is_short_is_its_own() -> None:
    long, short = counted(25, torch.zeros(2, 1)), counted(7, emotion="sadness")
    found = windows_of([long, short], 1.0, ROWS)
    assert [(own.utterance.emotion, own.versions[0].flatten().tolist()) for own in found] == [
        ("anger", list(range(10))),
        ("anger", list(range(10, 20))),
        ("sadness", list(range(7))),
    ]
    assert all(len(own.versions) == 1 for own in found)
    assert [len(own.versions[0]) for own in windows_of([long, short], math.inf, ROWS)] == [25, 7]


def test_a_matrix_has_no_windows_of_seconds() -> None:
    matrix = dataclasses.replace(counted(9), utterance=utterance(name=str(Path("x") / "a.npy")))
    with pytest.raises(UsageError, match=r"^a\.npy is a matrix of features, and windows of 0\.5 s need sounds"):
        windows_of([counted(9), matrix], 0.5, ROWS)
    assert len(windows_of([matrix], math.inf, ROWS)) == 1

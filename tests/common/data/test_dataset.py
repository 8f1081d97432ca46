import pytest
import torch

from common.data.dataset import POOL, SpeechDataset
from common.data.extraction import Recording
from common.seeds import torch_generator
from tests.common.examples import random_recordings, recording, utterance

CLASSES = ("anger", "neutral", "sadness")


def dataset(size: int = 40) -> SpeechDataset:
    return SpeechDataset(random_recordings(speakers=1, each=size, features=2, classes=CLASSES), CLASSES)


def test_labels_are_numbered_in_the_classes_order() -> None:
    rows = [recording(torch.ones(2, 1), "a", "sadness"), recording(torch.ones(3, 1), "b", "anger")]
    data = SpeechDataset(rows, CLASSES)
    assert (len(data), data.labels.tolist(), data.speakers) == (2, [2, 0], ["a", "b"])
    assert data[1][1] == 0
    assert torch.equal(data[1][0][0], torch.ones(3, 1))


def test_a_batch_is_padded_with_zeros() -> None:
    rows = [recording(torch.full((n, 2), float(n)), "a", "anger") for n in (1, 3, 2)]
    batch = SpeechDataset(rows, CLASSES).batch(torch.tensor([2, 0]))
    assert batch.features.tolist() == [[[2, 2], [2, 2]], [[1, 1], [0, 0]]]
    assert batch.lengths.tolist() == [2, 1]
    assert batch.labels.tolist() == [0, 0]
    assert batch.index.tolist() == [2, 0]


def test_an_epoch_takes_each_utterance_once() -> None:
    data = dataset(POOL * 4 * 2 + 5)
    batches = list(data.epoch(4, torch_generator("x")))
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(len(data)))
    assert max(len(batch.labels) for batch in batches) == 4
    for batch in batches:
        assert batch.labels.tolist() == data.labels[batch.index].tolist()
        assert batch.lengths.tolist() == [len(data.versions[i][0]) for i in batch.index.tolist()]


def test_an_epochs_order_comes_from_its_generator_alone() -> None:
    data = dataset()

    def orders(seed: str, epochs: int = 2) -> list[list[int]]:
        generator = torch_generator(seed)
        return [[i for batch in data.epoch(4, generator) for i in batch.index.tolist()] for _ in range(epochs)]

    first = orders("x")
    torch.rand(5)
    assert orders("x") == first
    assert first[0] != first[1]
    assert orders("y") != first


def test_batches_hold_utterances_of_about_one_length_and_come_in_no_order_of_length() -> None:
    data = dataset(200)
    batches = list(data.epoch(8, torch_generator("x")))
    padding = sum(int((batch.features.shape[1] - batch.lengths).sum()) for batch in batches)
    assert padding < 0.15 * sum(int(batch.lengths.sum()) for batch in batches)
    pool = [float(batch.lengths.float().mean()) for batch in batches[:POOL]]
    assert sorted(pool) not in (pool, pool[::-1])


def test_altered_copies_are_drawn_in_training_and_never_in_order() -> None:
    frames = [torch.full((length, 1), float(v)) for v, length in enumerate((4, 2, 3))]
    data = SpeechDataset([recording(frames[0], "a", "anger", *frames[1:]) for _ in range(60)], CLASSES)
    drawn = [float(row[0, 0]) for batch in data.epoch(8, torch_generator("x")) for row in batch.features]
    assert {value: drawn.count(value) > 10 for value in drawn} == {0.0: True, 1.0: True, 2.0: True}
    assert all((batch.features == 0).all() and (batch.lengths == 4).all() for batch in data.in_order())


def test_in_order_covers_all_once() -> None:
    data = dataset(10)
    batches = list(data.in_order(batch_size=4))
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(10))
    lengths = [n for batch in batches for n in batch.lengths.tolist()]
    assert lengths == sorted(lengths)


def test_a_recording_of_no_class_is_a_bug() -> None:
    with pytest.raises(KeyError):
        SpeechDataset([recording(torch.ones(1, 1), "a", "boredom")], CLASSES)


def test_a_site_without_validation_speakers_trains_again_with_all_that_it_has() -> None:
    """The refit joins what was set aside, which is nothing there: labels stay whole numbers."""
    own = dataset()
    nobody = SpeechDataset([], own.classes)
    assert own.joined(nobody).labels.equal(own.labels)
    assert own.joined(nobody).labels.dtype == torch.int64


def test_a_batch_says_what_is_said_where_anybody_wrote_it_down() -> None:
    frames = torch.ones(2, 2)
    rows = [Recording(utterance=utterance(text=text), versions=(frames,)) for text in (None, "go", "stay")]
    data = SpeechDataset(rows, CLASSES)
    assert data.batch(torch.tensor([2, 0])).texts == ("stay", None)
    assert data.part(torch.tensor([1])).joined(data).batch(torch.tensor([0, 1])).texts == ("go", None)
    assert data.batch(torch.tensor([0])).given[2:] == ()
    moved = data.batch(torch.tensor([1, 0])).to(torch.device("cpu"))
    assert moved.given[2] == ("go", None)

"""Running normalisation, computed by hand and against a plain loop over the recordings."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.settings import Config, FeatureConfig
from common.data.extraction import Recording
from common.data.heard import (
    PRIOR_MATRICES,
    EachSums,
    Heard,
    adapted,
    scaling_of,
    sums_of,
)
from common.data.normalise import Scaling, Sums, normalise
from common.data.running import RunningDataset
from common.seeds import torch_generator
from tests.common.examples import recording

CONFIG = FeatureConfig()


def matrix(speaker: str, number: int, rows: torch.Tensor, *copies: torch.Tensor) -> Recording:
    own = recording(rows, speaker, ("anger", "sadness")[number % 2], *copies)
    return replace(own, utterance=replace(own.utterance, path=Path(f"{speaker}-{number}.npy")))


def voices(speakers: int, each: int, rows: int = 4, seed: int = 0) -> list[Recording]:
    """The speakers' recordings in turn, each speaker with a level and a spread of its own."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for number in range(each):
        for speaker in range(speakers):
            frames = torch.randn(rows, 3, generator=generator) * (1 + speaker) + 10 * speaker
            made.append(matrix(f"s{speaker}", number, frames))
    return made


PRIOR = Scaling(mean=torch.tensor([1.0, 2.0, 3.0]), deviation=torch.tensor([1.0, 2.0, 4.0]), weight=10.0)


def test_the_prior_and_what_was_heard_are_weighed_by_their_rows() -> None:
    prior = Scaling(mean=torch.tensor([1.0]), deviation=torch.tensor([2.0]), weight=2.0)
    heard = Sums(frames=2, total=torch.tensor([10.0]).double(), square=torch.tensor([52.0]).double())
    scaling = adapted(prior, heard)  # rows 1 ± 2 twice, and 4 and 6
    assert scaling.mean.tolist() == [3.0]
    assert scaling.deviation.tolist() == pytest.approx([((10 + 52) / 4 - 9) ** 0.5])


def test_nothing_heard_is_the_prior_to_the_bit() -> None:
    nothing = Sums(frames=0, total=torch.zeros(3).double(), square=torch.zeros(3).double())
    scaling = adapted(replace(PRIOR, weight=0.1), nothing)
    assert torch.equal(scaling.mean, PRIOR.mean)
    assert torch.equal(scaling.deviation, PRIOR.deviation)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(0, 7), st.integers(0, 3))
def test_each_is_scaled_by_so_many_others_of_its_speaker(speakers: int, each: int, heard: int, seed: int) -> None:
    """Whatever is drawn: the scaling is that of some ``heard`` others, or of all where there are fewer."""
    own = voices(speakers, each, seed=seed)
    sums = EachSums.of(own, CONFIG)
    drawn = sums.after(PRIOR, torch.full((len(own),), heard), torch_generator(seed))
    rows = min(heard, each - 1) * 4
    for place, (mean, found) in enumerate(zip(drawn[0], own, strict=True)):
        total = (mean.double() * (PRIOR.weight + rows) - PRIOR.weight * PRIOR.mean.double())[None]
        others = [r for r in own if r.utterance.speaker == found.utterance.speaker and r is not found]
        each_total = torch.stack([torch.zeros(3), *(r.versions[0].sum(0) for r in others)]).double()
        assert any(
            torch.allclose(total, each_total[list(chosen)].sum(0), atol=1e-3)
            for chosen in _subsets(range(1, len(others) + 1), min(heard, each - 1))
        ), place


def _subsets(items: range, size: int) -> list[tuple[int, ...]]:
    return list(itertools.combinations(items, size))


def test_all_are_the_speaker_s_itself_too_and_near_by_speaker_without_a_prior() -> None:
    own = voices(3, 5)
    known = Heard(own, replace(PRIOR, weight=1e-9), CONFIG, seed=0).after(None)
    for one, other in zip(known, normalise(own, "speaker"), strict=True):
        torch.testing.assert_close(one.versions[0], other.versions[0], atol=1e-4, rtol=0)


def test_a_speaker_s_draw_does_not_hang_on_the_others() -> None:
    own = voices(3, 6)
    alone = [r for r in own if r.utterance.speaker == "s1"]
    beside = [r for r in Heard(own, PRIOR, CONFIG, seed=5).after(2) if r.utterance.speaker == "s1"]
    for one, other in zip(Heard(alone, PRIOR, CONFIG, seed=5).after(2), beside, strict=True):
        assert torch.equal(one.versions[0], other.versions[0])
    another = Heard(alone, PRIOR, CONFIG, seed=5).after(2, draw=1)
    assert not all(torch.equal(a.versions[0], b.versions[0]) for a, b in zip(another, beside, strict=True))


def test_sums_count_speech_rows_alone_and_all_rows_of_a_matrix() -> None:
    silent = torch.full((10, 297), -100.0)
    loud = torch.zeros(4, 297)
    sound = recording(torch.cat([silent, loud, silent]))
    running = Config().with_values({"data.normalise": "running"})
    sums = sums_of([sound], running)
    assert (sums.frames, sums.recordings, sums.matrices) == (4, 1, 0)
    assert sums.total.tolist() == [0.0] * 297
    assert sums_of([sound], Config().with_values({"data.normalise": "global"})).frames == 24
    told = sums_of([matrix("a", 0, sound.versions[0])], running)
    assert (told.frames, told.matrices) == (24, 1)


def test_the_prior_is_worth_nine_seconds_or_three_mean_utterances_of_matrices() -> None:
    def weight(matrices: int, **features: int) -> float:
        run = Config().with_values({"data.normalise": "running", **{f"features.{n}": v for n, v in features.items()}})
        zero = torch.zeros(3).double()
        sums = Sums(frames=40, total=zero, square=zero, recordings=10, matrices=matrices)
        return scaling_of(sums, run).weight

    assert weight(0) == 300.0  # rows of 30 ms
    assert weight(0, stack=1) == 900.0
    assert weight(5) == 300.0  # of ten recordings
    assert weight(6) == PRIOR_MATRICES * 4


def test_an_epoch_scales_anew_and_by_what_the_generator_draws() -> None:
    data = RunningDataset(voices(2, 9), ("anger", "sadness"), PRIOR, CONFIG)

    def epoch(seed: int) -> torch.Tensor:
        rows = torch.zeros(len(data), 4, 3)
        for batch in data.epoch(5, torch.Generator().manual_seed(seed)):
            rows[batch.index] = batch.features
        return rows

    first, again, other = epoch(1), epoch(1), epoch(2)
    assert torch.equal(first, again)
    unheard = torch.stack([PRIOR(r.versions[0]) for r in voices(2, 9)])
    same = [
        (torch.isclose(first, unheard).all(dim=(1, 2))).float().mean(),
        (first == other).all(dim=(1, 2)).float().mean(),
    ]
    assert 0 < same[0] < 1  # a quarter hears nothing
    assert same[1] < 0.5


def test_copies_are_scaled_as_their_recording_and_in_order_nothing_is_heard() -> None:
    own = [matrix("a", i, torch.full((2, 1), float(i)), torch.full((2, 1), 50.0 + i)) for i in range(4)]
    prior = Scaling(mean=torch.tensor([1.0]), deviation=torch.tensor([2.0]), weight=1.0)
    data = RunningDataset(own, ("anger", "sadness"), prior, CONFIG)
    list(data.epoch(2, torch.Generator().manual_seed(0)))
    for batch in data.in_order():
        for index, rows in zip(batch.index, batch.features, strict=True):
            assert rows.flatten().tolist() == [(float(index) - 1) / 2] * 2
    known = Heard(own, prior, CONFIG, seed=0).after(None)
    difference = known[0].versions[1] - known[0].versions[0]
    torch.testing.assert_close(difference, known[3].versions[1] - known[3].versions[0])


def test_joined_sets_hear_one_another_s_recordings_of_a_speaker() -> None:
    own = voices(1, 2)
    one, two = (RunningDataset([r], ("anger", "sadness"), PRIOR, CONFIG) for r in own)
    both = one.joined(two)
    assert isinstance(both, RunningDataset)
    torch.testing.assert_close(both.sums.total, EachSums.of(own, CONFIG).total)
    mean, _ = both.sums.after(PRIOR, torch.tensor([1, 1]), torch_generator(0))
    expected = (PRIOR.weight * PRIOR.mean + own[1].versions[0].sum(0)) / (PRIOR.weight + 4)
    torch.testing.assert_close(mean[0], expected)

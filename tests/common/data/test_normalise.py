import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.extraction import Recording
from common.data.normalise import Scaling, Sums, normalise, refuse_single_frames
from common.errors import UsageError
from tests.common.examples import recording


def frames(length: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    return (
        torch.randn(length, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 50.0, 0.1]) + offset
    )


def voices() -> list[Recording]:
    """Three speakers with other levels, their recordings mixed."""
    return [recording(frames(5 + i, i, 10.0 * (i % 3)), f"s{i % 3}") for i in range(9)]


def test_each_speaker_gets_mean_0_and_deviation_1() -> None:
    normalised = normalise(voices(), "speaker")
    assert [r.utterance for r in normalised] == [r.utterance for r in voices()]
    for speaker in ("s0", "s1", "s2"):
        own = torch.cat([r.versions[0] for r in normalised if r.utterance.speaker == speaker])
        torch.testing.assert_close(own.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(own.std(0, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_altered_copies_are_scaled_by_the_originals() -> None:
    original, copy = torch.tensor([[0.0], [4.0]]), torch.tensor([[10.0], [30.0]])
    for mode in ("speaker", "global"):
        [result] = normalise([recording(original, "a", "anger", copy)], mode, Sums.of([recording(original)]).scaling())
        assert result.versions[0].tolist() == [[-1.0], [1.0]]
        assert result.versions[1].tolist() == [[4.0], [14.0]]


def test_a_speakers_labels_do_not_matter() -> None:
    one = normalise([recording(frames(4, 0), "a", "anger"), recording(frames(6, 1), "a", "sadness")], "speaker")
    other = normalise([recording(frames(4, 0), "a", "fear"), recording(frames(6, 1), "a", "fear")], "speaker")
    assert all(torch.equal(a.versions[0], b.versions[0]) for a, b in zip(one, other, strict=True))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=4), min_size=1, max_size=4), st.floats(-1e3, 1e3))
def test_pooled_sums_are_the_statistics_of_all_frames(sites: list[list[int]], offset: float) -> None:
    parts = [
        [recording(frames(length, 10 * i + j, offset)) for j, length in enumerate(site)] for i, site in enumerate(sites)
    ]
    sums = [Sums.of(site) for site in parts]
    pooled = Sums.added(sums).scaling()
    together = np.concatenate([r.versions[0].double().numpy() for site in parts for r in site])
    np.testing.assert_allclose(pooled.mean, together.mean(0), rtol=1e-5, atol=1e-5)
    if len(together) > 1:
        np.testing.assert_allclose(pooled.deviation, together.std(0), rtol=1e-4)


def test_sums_add_up_and_none_change_nothing() -> None:
    total, square = (torch.tensor(own, dtype=torch.float64) for own in ([0.1, -7.25], [1 / 3, 40.0]))
    heard = Sums(frames=3, total=total, square=square, recordings=2, matrices=1)
    for parts, times in (([Sums.none(2), heard], 1), ([heard, heard], 2), ([heard, Sums.none(2), heard], 2)):
        both = Sums.added(parts)
        assert (both.frames, both.recordings, both.matrices) == (3 * times, 2 * times, times)
        assert torch.equal(both.total, times * total)
        assert torch.equal(both.square, times * square)


def test_global_uses_the_training_sites_statistics_alone() -> None:
    scaling = Scaling(mean=torch.tensor([1.0]), deviation=torch.tensor([2.0]))
    [result] = normalise([recording(torch.tensor([[5.0], [-3.0]]))], "global", scaling)
    assert result.versions[0].tolist() == [[2.0], [-2.0]]
    with pytest.raises(UsageError, match="normalise=global needs a scaling"):
        normalise(voices(), "global")


def test_each_utterance_and_each_copy_by_itself() -> None:
    [result] = normalise([recording(frames(7, 0), "a", "anger", frames(4, 1, 100.0))], "utterance")
    for version in result.versions:
        torch.testing.assert_close(version.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
        torch.testing.assert_close(version.std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e4, 1e8, 1e-9, 0.1])
@pytest.mark.parametrize("mode", ["speaker", "utterance"])
def test_a_constant_feature_is_only_centred(value: float, mode: str) -> None:
    constant = recording(torch.full((7, 1), value))
    [result] = normalise([constant], mode)
    assert result.versions[0].abs().max() == 0
    assert Sums.of([constant]).scaling().deviation.tolist() == [1.0]


def test_rounding_noise_is_not_blown_up() -> None:
    [result] = normalise([recording(1.0 + 1e-6 * frames(20, 0)[:, :1])], "speaker")
    assert 0 < result.versions[0].abs().max() < 1e-4


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_a_small_or_large_feature_is_not_taken_for_a_constant(scale: float) -> None:
    [result] = normalise([recording(frames(20, 0) * scale)], "speaker")
    torch.testing.assert_close(result.versions[0].std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_matrices_of_one_frame() -> None:
    single = [recording(frames(1, i), "ab"[i % 2]) for i in range(6)]
    for mode in ("speaker", "global"):
        scaled = torch.cat([r.versions[0] for r in normalise(single, mode, Sums.of(single).scaling())])
        assert scaled.isfinite().all()
        assert scaled.std() > 0.5
    with pytest.raises(UsageError, match="--normalise utterance leaves nothing of matrices with one frame") as refused:
        normalise(single, "utterance")
    assert "\n" not in str(refused.value)
    assert len(normalise([*single, recording(frames(2, 9))], "utterance")) == 7
    with pytest.raises(UsageError, match='"contours" sees nothing in matrices with one frame'):
        refuse_single_frames(single, "speaker", "contours")
    refuse_single_frames(single, "speaker", "means")


def test_nothing_to_normalise() -> None:
    assert normalise([], "speaker") == normalise([], "utterance") == []

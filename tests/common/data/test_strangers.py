from __future__ import annotations

import pytest
import torch

from common import protocol
from common.config.settings import Config
from common.data.heard import scaling_of, sums_of
from common.data.normalise import Scaling, normalise
from common.data.strangers import AFTER, ALL, conditions, lone_mode, normalise_known
from tests.common.data.test_heard import PRIOR, voices

RUNNING = Config().with_values({"data.normalise": "running"})
SPEAKER = Config().with_values({"data.normalise": "speaker"})


def test_a_condition_for_none_two_eight_and_all_with_five_draws_where_there_is_a_choice() -> None:
    found = list(conditions(voices(2, 12), RUNNING, PRIOR))
    assert [names for names, _ in found] == [("0",), *[("2",)] * 5, *[("8",)] * 5, ("all",)]
    assert protocol.DRAWS == 5
    unheard, known = found[0][1], found[-1][1]
    for one, own in zip(unheard, voices(2, 12), strict=True):
        assert torch.equal(one.versions[0], PRIOR(own.versions[0]))
    for one, other in zip(known, normalise_known(voices(2, 12), RUNNING, PRIOR), strict=True):
        assert torch.equal(one.versions[0], other.versions[0])
    rows = torch.stack([torch.stack([r.versions[0] for r in own]) for _, own in found[1:6]])
    assert len({tuple(draw.flatten().tolist()) for draw in rows}) == 5


@pytest.mark.parametrize("mode", ["utterance", "global", "public"])
def test_what_does_not_adapt_is_the_same_for_all_and_scored_once(mode: str) -> None:
    [(names, recordings)] = conditions(voices(2, 3), Config().with_values({"data.normalise": mode}), PRIOR)
    assert names == tuple(AFTER)
    for one, other in zip(recordings, normalise(voices(2, 3), mode, PRIOR), strict=True):
        assert torch.equal(one.versions[0], other.versions[0])


def test_by_speaker_a_lone_recording_falls_back_on_what_predict_has() -> None:
    (first, unheard), (last, _) = conditions(voices(2, 3), SPEAKER, PRIOR)
    assert (first, last) == (("0",), (ALL,))
    for one, own in zip(unheard, voices(2, 3), strict=True):
        assert torch.equal(one.versions[0], PRIOR(own.versions[0]))
    private = SPEAKER.with_values({"privacy.epsilon": 8.0, "privacy.unit": "speaker"})
    (_, unheard), _ = conditions(voices(2, 3), private, PRIOR)
    for one, other in zip(unheard, normalise(voices(2, 3), "utterance"), strict=True):
        assert torch.equal(one.versions[0], other.versions[0])
    assert lone_mode(private) == "utterance"
    [(names, _)] = conditions(voices(2, 3, rows=1), private, PRIOR)  # nobody can predict a lone row of it
    assert names == (ALL,)


def test_the_scaling_of_one_place_is_a_prior_where_it_is_run() -> None:
    own = voices(2, 6)
    plain, prior = (scaling_of(sums_of(own, run), run) for run in (SPEAKER, RUNNING))
    assert (plain.weight, prior.weight) == (0.0, 12.0)  # three matrices of four rows
    torch.testing.assert_close(plain.mean, prior.mean)
    again = Scaling.of_arrays(prior.arrays())
    assert (again.weight, again.mean.tolist()) == (12.0, prior.mean.tolist())
    assert set(plain.arrays()) == {"mean", "deviation"}

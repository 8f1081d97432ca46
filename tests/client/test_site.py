"""What a site makes of its recordings; whole runs are in tests/simulations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from client.holding import Holding
from client.site import Site
from common.config.settings import Config
from common.data.crops import Crops
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.errors import FedserError
from common.models.bilstm import BiLSTM
from common.utterance import Utterance


def recording(index: int, frames: int) -> Recording:
    emotion, speaker = ("anger", "sadness")[index % 2], str(index // 2)
    utterance = Utterance(corpus="manifest", path=Path(f"{index}.wav"), emotion=emotion, speaker=speaker)
    return Recording(utterance=utterance, versions=(torch.randn(frames, 3), torch.randn(frames + 1, 3)))


def site(**more: object) -> Site:
    config = Config().with_values({"data.normalise": "utterance", **{k.replace("__", "."): v for k, v in more.items()}})
    own = [recording(index, 5 + index) for index in range(6)]
    holding = Holding(
        name="a",
        classes=("anger", "sadness"),
        train=own[:4],
        validation=own[4:],
        test=[],
        ledger=Path("ledger"),
        state=Path("state"),
    )
    return Site(config, holding)


def test_rounds_beyond_the_runs_are_its_refits_and_there_are_no_others() -> None:
    own = site(federation__rounds=30)
    assert [own.pass_round(number) for number in (1, 30, 31, 60)] == [
        ("train", 1),
        ("train", 30),
        ("all", 1),
        ("all", 30),
    ]
    for number in (0, 61):
        with pytest.raises(FedserError, match=f"site a: asked for round {number} of 60; nothing"):
            own.pass_round(number)
    with pytest.raises(FedserError, match="asked for round 31 of 30"):
        site(federation__refit=False).pass_round(31)


LINEAR = {"model__hidden": 0, "model__statistics": "means", "augment__time_masks": 0, "augment__feature_masks": 0}


def test_all_are_the_training_and_the_validation_recordings() -> None:
    own = site()
    assert [len(own.dataset(part, None)) for part in ("train", "validation", "all")] == [4, 2, 6]
    assert own.dataset("all", None).speakers == ["0", "0", "1", "1", "2", "2"]


def test_a_linear_models_statistics_are_made_once() -> None:
    plain, linear = site().dataset("train", None), site(**LINEAR).dataset("train", None)
    assert [version.shape for version in plain.versions[0]] == [(5, 3), (6, 3)]
    assert all(version.shape == (1, 6) for versions in linear.versions for version in versions)
    assert linear.labels.tolist() == plain.labels.tolist()


def test_only_a_site_that_hides_recordings_has_gradients_by_recording() -> None:
    private = {"privacy__epsilon": 8.0, "data__validation": "none", "training__class_weights": False}
    units = ("utterance", "speaker", "site")
    layers = {unit: type(site(privacy__unit=unit, **private).model.get_submodule("lstm")).__name__ for unit in units}
    assert layers == {"utterance": "PrivateLSTM", "speaker": "BiLSTM", "site": "BiLSTM"}
    assert isinstance(site().model.get_submodule("lstm"), BiLSTM)


@pytest.mark.parametrize("anew", ["augment__time_masks", "augment__feature_masks", "augment__crop"])
def test_masks_and_crops_need_the_frames(anew: str) -> None:
    assert site(**{**LINEAR, anew: 1}).dataset("train", None).versions[0][0].shape == (5, 3)


@pytest.mark.parametrize("mode", ["running", "utterance"])
def test_what_a_site_trains_on_is_cut_where_the_run_says_so(mode: str) -> None:
    scaling = Scaling(mean=torch.zeros(3), deviation=torch.ones(3), weight=5.0)
    own = site(data__normalise=mode, augment__crop=0.5, features__hop=100, features__stack=1)
    for part in ("train", "all"):
        assert own.dataset(part, scaling).crops == Crops(share=0.5, least=5)
    assert site(data__normalise=mode).dataset("all", scaling).crops.share == 0

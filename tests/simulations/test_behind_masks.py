"""Whole runs whose updates are added up behind masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from flwr.app import Context, Message

from common import protocol
from common.errors import FederationError, UsageError
from common.secure import pair_masks
from simulations.engine.secured_app import SecuredApp
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run

SITES: dict[str, Any] = {"data__sites": "3", "data__held_out": "kfold:4:0", "federation__rounds": 2}
# Adam divides a gradient by its own size: of a last digit it makes a step. So runs are compared without it.
SITES |= {"training__optimizer": "sgd", "training__learning_rate": 0.05}
SECURE = {**SITES, "federation__secure": True}
Arrays = dict[str, np.ndarray[Any, Any]]


def model(out: Path) -> Arrays:
    [path] = out.glob("folds/*/model.safetensors")
    return safetensors.numpy.load_file(path)


def furthest(one: Arrays, other: Arrays) -> float:
    return max(float(np.abs(one[name].astype(float) - other[name]).max()) for name in one)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tiny.write(tmp_path_factory.mktemp("masks"), speakers=20)  # five a site, of which one validates


@pytest.fixture(scope="module")
def masked(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("masked") / "out"
    return run(job(corpus, out, **SECURE)), out


def test_behind_masks_a_run_comes_to_what_it_comes_to_in_plain(
    corpus: Path, masked: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    plain = run(job(corpus, tmp_path / "out", **SITES))
    result, out = masked
    assert furthest(model(out), model(tmp_path / "out")) < 1e-5
    [one], [other] = plain["folds"], result["folds"]
    assert one["rounds"][0]["validation"] is not None
    assert one["chosen_round"] == other["chosen_round"]
    assert one["test"]["uar"] == other["test"]["uar"]
    for before, after in zip(one["rounds"], other["rounds"], strict=True):
        assert after["validation"] == pytest.approx(before["validation"], abs=1e-4)
        losses, counts = zip(*((site["loss"], site["examples"]) for site in before["sites"].values()), strict=True)
        assert after["loss"] == pytest.approx(np.average(losses, weights=counts), abs=1e-4)
    assert other["calibration"]["temperature"] == pytest.approx(one["calibration"]["temperature"], rel=1e-3)
    assert other["calibration"]["bins"] == one["calibration"]["bins"]


def test_a_site_without_validation_speakers_is_in_every_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    four = tiny.write(tmp_path / "corpus", speakers=18)  # two sites have five speakers, of which one validates
    own = {**SITES, "data__sites": "column", "data__held_out": "speaker:03", "federation__refit": False}
    plain, masked = (
        run(job(four, tmp_path / str(secure), federation__secure=secure, **own))["folds"][0] for secure in (False, True)
    )
    assert masked["rounds"][-1]["validation"] == pytest.approx(plain["rounds"][-1]["validation"], abs=1e-4)
    assert masked["calibration"]["bins"] == plain["calibration"]["bins"]
    assert all(len(entry["sites"]) == 4 for entry in masked["rounds"])


def test_scores_of_two_sites_would_be_each_others_and_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    four = tiny.write(tmp_path / "corpus", speakers=14)  # two sites have four speakers, of which one validates
    own = {**SITES, "data__sites": "column", "data__held_out": "speaker:03"}
    [fold] = run(job(four, tmp_path / "out", federation__secure=True, **own))["folds"]
    assert [entry["validation"] for entry in fold["rounds"]] == [None, None]
    assert fold["chosen_round"] == 2
    assert not fold["refit"]


def test_of_a_site_nothing_is_told(masked: tuple[dict[str, Any], Path]) -> None:
    result, _ = masked
    for entry in (*result["folds"][0]["rounds"], *result["folds"][0]["refit"]):
        for site in entry["sites"].values():
            assert (site["loss"], site["uar"], site["seconds"]) == (None, None, None)
            assert site["examples"] > 0 < site["bytes"]


def test_masks_change_no_bit(
    corpus: Path, masked: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_masks, "mask_of", lambda _, count: np.zeros(count, np.uint32))
    monkeypatch.setattr("server.secure.masked_sum.mask_of", lambda _, count: np.zeros(count, np.uint32))
    run(job(corpus, tmp_path / "out", workers=0, **SECURE))
    assert furthest(model(masked[1]), model(tmp_path / "out")) == 0.0


def test_a_run_that_was_cut_short_goes_on_to_the_same_bits(
    corpus: Path, masked: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, asked = job(corpus, tmp_path / "out", **SECURE), []

    def dies(self: SecuredApp, message: Message, context: Context) -> Message:
        asked.append(message.metadata.message_type)
        if asked.count(protocol.UNMASK) == 6:  # of round 1, and the sums before it, all are opened
            raise RuntimeError("killed")
        return answer(self, message, context)

    answer = SecuredApp.__call__
    with monkeypatch.context() as patch:
        patch.setattr(SecuredApp, "__call__", dies)
        with pytest.raises(RuntimeError):
            run(killed)
    run(replace(killed, workers=2))
    assert furthest(model(masked[1]), model(tmp_path / "out")) == 0.0


def test_a_site_that_is_silent_for_a_round_is_left_out_of_it(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four sites, one of which fails in round 2: the model is the others' weighted mean, as it is in plain."""
    own = {**SITES, "data__sites": "4", "federation__refit": False, "data__validation": "none"}

    def fails(message: Message, context: Context) -> bool:
        about: Any = message.content.config_records.get(protocol.CONFIG, {})
        site = int(str(context.node_config[protocol.PARTITION]))
        return message.metadata.message_type == protocol.TRAIN and about[protocol.ROUND] == 2 and site == 1

    monkeypatch.setattr(SecuredApp, "_answer", _failing(SecuredApp._answer, fails))
    result = run(job(corpus, tmp_path / "out", workers=0, federation__secure=True, **own))
    assert [len(entry["sites"]) for entry in result["folds"][0]["rounds"]] == [4, 3]


def _failing(answer: Any, fails: Any) -> Any:
    def answers(self: SecuredApp, node: Any, message: Message, context: Context) -> Message:
        if fails(message, context):
            raise FederationError("no disk")
        reply: Message = answer(self, node, message, context)
        return reply

    return answers


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"federation__strategy": "fedmedian"}, "needs each of them"),
        ({"federation__strategy": "krum"}, "needs each of them"),
        ({"federation__strategy": "fedtrimmedavg"}, "needs each of them"),
        ({"federation__strategy": "scaffold"}, "needs more beside them"),
        ({"federation__fraction": 0.5}, "leave out --fraction and --weights"),
        ({"federation__weights": "equal"}, "leave out --fraction and --weights"),
        ({"data__sites": "2"}, "2 sites, expected at least 3"),
    ],
)
def test_what_a_sum_alone_is_not_enough_for_is_a_usage_error(
    corpus: Path, tmp_path: Path, own: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        run(job(corpus, tmp_path / "out", **{**SECURE, **own}))


@pytest.mark.slow
def test_the_servers_optimizers_and_pooled_class_weights_work_on_sums(corpus: Path, tmp_path: Path) -> None:
    own = {**SITES, "federation__strategy": "fedavgm", "training__class_weights": "pooled"}
    run(job(corpus, tmp_path / "plain", **own))
    run(job(corpus, tmp_path / "masked", federation__secure=True, **own), pages=True)
    report = " ".join((tmp_path / "masked/report.html").read_text().split())
    assert "that was added up behind masks, so that the coordinator saw the sum of all sites" in report
    assert "no site tells its own, which the masks hide" in report
    assert furthest(model(tmp_path / "plain"), model(tmp_path / "masked")) < 1e-5


@pytest.mark.slow
def test_noise_at_the_sites_is_added_up_behind_masks_too(corpus: Path, tmp_path: Path) -> None:
    own = {**SITES, "privacy__epsilon": 8.0, "privacy__insecure_seed": True, "data__validation": "none"}
    own |= {"data__normalise": "utterance", "training__class_weights": False, "data__score_noise": False}
    for name, secure in (("plain", False), ("masked", True)):
        run(job(corpus, tmp_path / name, federation__secure=secure, **own))
    assert furthest(model(tmp_path / "plain"), model(tmp_path / "masked")) < 1e-5

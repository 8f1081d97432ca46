"""A site's private round: whether it fails, and what its reply looks like, tell nothing of what one unit holds."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client import private_round
from client.holding import Holding
from client.private_round import train_round
from client.site import Site
from common import protocol
from common.config.kinds import CENTRE
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.data.unit_alone import emptied
from common.errors import FedserError
from common.messages import schema
from common.messages.scope import Scope, forms_of
from common.privacy.ledger.account import Ledger
from common.storage.chained_file import Chain
from tests.common.examples import random_recordings

CLASSES, FEATURES = ("anger", "neutral", "sadness"), 4
SETTINGS = {
    "data.validation": "none",
    "data.normalise": "utterance",
    "training.class_weights": False,
    "training.optimizer": "sgd",
    "model.projection": 5,
    "model.hidden": 4,
    "model.attention": 3,
    "augment.copies": 0,
    "federation.rounds": 4,
    "privacy.noise_multiplier": 1.0,
    "privacy.sample_rate": 1.0,
    "privacy.insecure_seed": True,
}
CONTOURS = {"model.hidden": 0, "model.statistics": "contours", "augment.time_masks": 0, "augment.feature_masks": 0}
SHARED = {"privacy.noise": "shared", "privacy.honest": 3, "federation.secure": True}
KINDS: dict[str, dict[str, Any]] = {
    "utterance": {"privacy.unit": "utterance"},
    "speaker": {"privacy.unit": "speaker"},
    "utterance, contours": {"privacy.unit": "utterance", **CONTOURS},
    "utterance, contours, their centre": {"privacy.unit": "utterance", **CONTOURS, "federation.rounds": 10},
    "utterance, public scaling": {"privacy.unit": "utterance", "data.normalise": "public"},
    "utterance, shared noise": {"privacy.unit": "utterance", **SHARED},
    "centre, shared noise": {"privacy.unit": "utterance", **CONTOURS, **SHARED, "federation.rounds": 10},
    "speaker, shared noise": {"privacy.unit": "speaker", **SHARED},
    "speaker, by speaker": {"privacy.unit": "speaker", "data.normalise": "speaker"},
}
PUBLIC = Scaling(mean=torch.zeros(FEATURES), deviation=torch.ones(FEATURES))


@pytest.fixture(autouse=True)
def _messages_can_be_made() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def recordings() -> list[Recording]:
    return random_recordings(speakers=3, each=4, features=FEATURES, classes=CLASSES)


def site(folder: Path, train: list[Recording], **settings: Any) -> Site:
    config = Config().with_values({**SETTINGS, **settings})
    holding = Holding(
        name="a",
        classes=CLASSES,
        train=train,
        validation=[],
        test=[],
        ledger=folder / "ledger",
        state=folder / "state",
        deployed=True,
        report_epsilon=False,
    )
    return Site(config, holding)


def asked(number: int = 1, run: str = "run") -> Message:
    settings = ConfigRecord({protocol.RUN: run, protocol.ROUND: number})
    return Message(RecordDict({protocol.CONFIG: settings}), 1, protocol.TRAIN)


def answer(own: Site, number: int = 1, run: str = "run", scaling: Scaling | None = PUBLIC) -> RecordDict:
    """What a fresh process of the site answers: the first model is always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        arrays = {name: torch.randn(value.shape) / 5 for name, value in sorted(own.model.state_dict().items())}
    return train_round(own, arrays, scaling, asked(number, run))


def shape(content: RecordDict) -> dict[str, Any]:
    """All of a reply but the weights' own numbers and the ledger's hash."""
    told = {name: dict(record) for name, record in content.items() if name in (protocol.CONFIG, protocol.METRICS)}
    told[protocol.CONFIG].pop(protocol.LEDGER_HASH)
    return {**told, "arrays": {name: array.shape for name, array in content.array_records[protocol.ARRAYS].items()}}


def weights(content: RecordDict) -> dict[str, Any]:
    return {name: array.numpy().tobytes() for name, array in content.array_records[protocol.ARRAYS].items()}


CONTENTS = {
    "empty": torch.empty(0, FEATURES),
    "one frame": torch.ones(1, FEATURES),
    "very long": torch.randn(1500, FEATURES, generator=torch.Generator().manual_seed(6)),
    "NaN": torch.full((5, FEATURES), torch.nan),
    "infinite": torch.full((5, FEATURES), -torch.inf),
    "huge": torch.tensor([[3e38, -3e38, 1.0, 0.0]] * 4 + [[-3e38, 3e38, 0.0, 1.0]]),
    "constant": torch.zeros(6, FEATURES),
    "another width": torch.ones(5, FEATURES + 2),
    "nothing at all": None,
    "a label that the run does not know": torch.ones(5, FEATURES),
}
UNUSABLE = ("empty", "NaN", "infinite", "another width", "a label that the run does not know")


def with_unit(unit: str, content: str) -> list[Recording]:
    """The recordings, of which one unit holds something else; the first, so that nothing is taken from it."""
    own = recordings()
    held = CONTENTS[content]
    for place in [0] if unit == "utterance" else [0, 1, 2, 3]:
        utterance = own[place].utterance
        if content == "a label that the run does not know":
            utterance = dataclasses.replace(utterance, emotion="boredom")
        own[place] = Recording(utterance=utterance, versions=() if held is None else (held,))
    return own


Usual = Callable[..., RecordDict]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Usual:
    """What a fresh site of a kind answers, as it is or with nothing at all of one unit; asked once."""

    @cache
    def once(kind: str, content: str = "") -> RecordDict:
        own = with_unit(KINDS[kind]["privacy.unit"], content) if content else recordings()
        return answer(site(tmp_path_factory.mktemp("usual"), own, **KINDS[kind]))

    return once


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_round_succeeds_and_looks_the_same_whatever_one_unit_holds(
    answered: Usual, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, content: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    odd = answer(site(tmp_path, with_unit(KINDS[kind]["privacy.unit"], content), **KINDS[kind]))
    assert shape(odd) == shape(answered(kind))
    assert all(np.isfinite(array.numpy()).all() for array in odd.array_records[protocol.ARRAYS].values())
    if content in UNUSABLE:
        assert weights(odd) == weights(answered(kind, "nothing at all"))


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_or_nobody_at_all_is_a_round_like_any(answered: Usual, tmp_path: Path, kind: str) -> None:
    usual = shape(answered(kind))
    angry = [Recording(utterance=recordings()[0].utterance, versions=r.versions) for r in recordings()]
    if KINDS[kind]["privacy.unit"] == "utterance":
        assert shape(answer(site(tmp_path / "angry", angry, **KINDS[kind]))) == usual
    nobody = list(map(emptied, recordings()))
    model = {"features.mfcc": 0, "features.deltas": 0, "features.pitch": False, "features.spectral": False}
    width = {**model, "features.stack": 2}  # 2 figures a frame, 2 frames a row: as wide as the recordings
    empty = site(tmp_path / "nobody", nobody, **{**KINDS[kind], **width})
    assert empty.features == FEATURES
    assert shape(answer(empty))[protocol.METRICS] == usual[protocol.METRICS]


def rows(frames: int, stack: int) -> torch.Tensor:
    """What stacking leaves of a recording."""
    return torch.randn(math.ceil(frames / stack), FEATURES, generator=torch.Generator().manual_seed(frames))


def told_by_seven_questions(folder: Path, longest: int, **settings: Any) -> list[dict[str, Any]]:
    """A server's search for the longest recording: does a round succeed where so many frames make one row?"""
    low, high, told = 0, 128, []
    own = recordings()
    lengths = [longest, *range(20, 20 + len(own) - 1)]
    for question in range(7):
        stack = (low + high) // 2
        made = [Recording(utterance=r.utterance, versions=(rows(n, stack),)) for r, n in zip(own, lengths, strict=True)]
        try:
            told.append(shape(answer(site(folder / str(question), made, **settings))))
            low = stack
        except FedserError as error:
            told.append({"failed": str(error)})
            high = stack
    return told


@pytest.mark.parametrize("kind", ["utterance", "speaker", "utterance, contours"])
def test_seven_questions_do_not_find_how_long_the_longest_recording_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.CRITICAL)
    short, long = (told_by_seven_questions(tmp_path / str(n), n, **KINDS[kind]) for n in (40, 121))
    assert short == long
    assert not any("failed" in told for told in long)


@pytest.mark.parametrize(
    ("scaling", "arrays", "why"),
    [
        (None, {}, "needs a scaling, and the server sent none"),
        (Scaling(mean=torch.zeros(9), deviation=torch.ones(9)), {}, "is not of 4 features"),
        (PUBLIC, {"more": torch.ones(1)}, "sent another model than the run's settings make"),
    ],
)
def test_what_the_server_sends_is_looked_at_before_a_step_is_reserved(
    tmp_path: Path, scaling: Scaling | None, arrays: dict[str, torch.Tensor], why: str
) -> None:
    own = site(tmp_path, recordings(), **KINDS["utterance, public scaling"])
    with pytest.raises(FedserError, match=why):
        train_round(own, {**own.model.state_dict(), **arrays}, scaling, asked())
    assert [line["kind"] for line in Chain(own.holding.ledger / "a.jsonl").read()] == ["begin"]


def broken(*_: object, **__: object) -> None:
    raise MemoryError("a kill would do the same, and leave no time to say so")


def test_three_cut_rounds_and_the_site_is_out_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks by cutting rounds short reads three answers of a run, and pays for the third."""
    settings = KINDS["utterance"]
    with monkeypatch.context() as patch:
        patch.setattr(private_round, "train_privately", broken)
        for number in (1, 1, 2):
            with pytest.raises(MemoryError):
                answer(site(tmp_path, recordings(), **settings), number)
    for _ in range(2):
        out = answer(site(tmp_path, recordings(), **settings), 3)  # a site that was started anew
        assert out.config_records[protocol.CONFIG][protocol.STOPPED] is True
        assert out.config_records[protocol.CONFIG][protocol.CUT_SHORT] is True
        assert protocol.ARRAYS not in out
        scope = Scope(private=True, at_sites=True, model=forms_of({}))
        assert schema.reply_of_site(protocol.TRAIN, scope, out).fault(out) is None
    assert "3 of its rounds were cut short here, by a kill or a full disk; the site is out of the run" in caplog.text
    ledger = Ledger(tmp_path / "ledger/a.jsonl")
    assert len(ledger.spends("utterance", "run")) == 1  # the third round's
    other = answer(site(tmp_path, recordings(), **settings), 1, run="another")
    assert protocol.ARRAYS in other


def test_two_cut_rounds_are_computed_anew_and_spend_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KINDS["utterance"]
    with monkeypatch.context() as patch:
        patch.setattr(private_round, "train_privately", broken)
        for _ in range(2):
            with pytest.raises(MemoryError):
                answer(site(tmp_path, recordings(), **settings))
    again = answer(site(tmp_path, recordings(), **settings))
    assert weights(again) == weights(answer(site(tmp_path / "never", recordings(), **settings)))
    assert len(Ledger(tmp_path / "ledger/a.jsonl").spends("utterance", "run")) == 1


def test_a_reply_says_nothing_of_units_that_could_not_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = answer(site(tmp_path, with_unit("utterance", "NaN"), **KINDS["utterance"]))
    assert "1 of 12 recordings cannot be used" in caplog.text  # in the site's own log
    assert set(odd[protocol.CONFIG]) == {protocol.LEDGER_ENTRIES, protocol.LEDGER_HASH}
    assert dict(odd[protocol.METRICS]) == {protocol.EXAMPLES: 12}


@pytest.mark.parametrize("kind", ["utterance, shared noise", "centre, shared noise", "speaker, shared noise"])
def test_a_part_of_shared_noise_is_one_step_on_the_grid_and_is_stored_as_it_is_sent(tmp_path: Path, kind: str) -> None:
    settings = {**KINDS[kind], "privacy.insecure_seed": False}
    first = answer(site(tmp_path, recordings(), **settings))
    arrays = first.array_records[protocol.ARRAYS]
    assert {array.dtype for array in arrays.values()} == {"int32"}
    assert (set(arrays) == {CENTRE}) is (kind == "centre, shared noise")
    again = answer(site(tmp_path, recordings(), **settings))  # another noise would be drawn
    assert weights(again) == weights(first)
    [spend] = Ledger(tmp_path / "ledger/a.jsonl").spends(settings["privacy.unit"], "run")
    assert (spend.noise_multiplier, spend.steps) == (1.0, 1)  # of the sum, not of this part
    model = site(tmp_path, recordings(), **settings).model.state_dict()
    scope = Scope(
        private=True, at_sites=True, summed=True, model=forms_of({name: v.numpy() for name, v in model.items()})
    )
    assert schema.reply_of_site(protocol.TRAIN, scope, first).fault(first) is None
    floats = {name: Array(array.numpy().astype(np.float32)) for name, array in arrays.items()}
    first.array_records[protocol.ARRAYS] = ArrayRecord(floats)
    assert "expected int32" in str(schema.reply_of_site(protocol.TRAIN, scope, first).fault(first))


def test_a_run_that_takes_another_number_of_sites_for_honest_is_another_run(tmp_path: Path) -> None:
    settings = KINDS["utterance, shared noise"]
    answer(site(tmp_path, recordings(), **settings))
    with pytest.raises(FedserError, match="run run began with honest 3 and is asked to go on with 9"):
        answer(site(tmp_path, recordings(), **{**settings, "privacy.honest": 9}), 2)
    with pytest.raises(FedserError, match="run run began with honest 3 and is asked to go on with None"):
        answer(site(tmp_path, recordings(), **{**settings, "privacy.noise": "site", "privacy.honest": 0}))  # stored


def test_a_budget_that_does_not_hold_all_rounds_of_shared_noise_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    settings = {**KINDS["utterance, shared noise"], "privacy.noise_multiplier": 0.0, "privacy.epsilon": 8.0}
    answer(site(tmp_path, recordings(), **settings), run="first")
    out = answer(site(tmp_path, recordings(), **settings, **{"privacy.budget": 8.5}), run="second")
    assert out.config_records[protocol.CONFIG][protocol.STOPPED] is True

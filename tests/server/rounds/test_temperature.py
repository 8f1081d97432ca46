"""How sure the chosen model is: asked once, of the sites with validation speakers, and a temperature made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Error, Message, MetricRecord, RecordDict

from common import protocol
from common.config.settings import Config
from common.errors import FederationError
from common.learning import saved_model
from common.learning.confidence import Confidence, pooled
from common.storage.chained_file import Chain
from server.rounds.temperature import MOST_LOSS, calibration, together
from server.run import checkpoint
from server.run.checkpoint import State
from server.sites.handshake import Node
from tests.client import deployment
from tests.simulations import tiny

CONFIDENCE = protocol.EVALUATE_CONFIDENCE
Answer = Callable[[Message], Message | None]
gated = deployment.gated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deployment.deal(tiny.write(tmp_path / "corpus", speakers=16, each=1, test=(0,)), tmp_path)
    return tmp_path


def settings(**more: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values({**tiny.SMALL, "data.held_out": "", "data.classes": list(tiny.CLASSES), **own})


def play(
    folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch, first: Answer = lambda _: None
) -> tuple[dict[str, Any], list[str]]:
    """``fold.json`` of a run, and the sites that were asked how sure the model is; ``first`` may answer for them."""
    app, asked = gated(), list[str]()

    def load() -> Any:
        def answer(message: Message, context: Context) -> Message:
            if message.metadata.message_type == CONFIDENCE:
                asked.append(str(context.node_config[protocol.NODE_SITE]))
            return first(message) or app(message, context)

        return answer

    with monkeypatch.context() as instead:
        instead.setattr(deployment, "client", load)
        fold = deployment.run_deployed(folder, config, monkeypatch)
    return fold, sorted(asked)


def silent(message: Message) -> Message | None:
    refused = message.metadata.message_type == CONFIDENCE
    return Message(Error(2, "refused by the site's policy"), reply_to=message) if refused else None


def too_many(message: Message) -> Message | None:
    """An answer of more recordings than any site has."""
    if message.metadata.message_type != CONFIDENCE:
        return None
    losses, right = [1.0] * len(protocol.TEMPERATURES), [1000, *[0] * (protocol.BINS - 1)]
    told: Any = {protocol.RIGHT: right, protocol.WRONG: [0] * protocol.BINS, protocol.EXAMPLES: 1000}
    metrics = MetricRecord({protocol.LOSSES: losses, **told})
    return Message(RecordDict({protocol.METRICS: metrics}), reply_to=message)


def no_refit(message: Message) -> Message | None:
    """As if every site were gone when the model is trained again."""
    number: Any = message.content.config_records[protocol.CONFIG].get(protocol.ROUND, 0)
    gone = message.metadata.message_type == protocol.TRAIN and number > 2
    return Message(Error(2, "gone"), reply_to=message) if gone else None


def test_the_sites_are_asked_once_before_the_validation_speakers_train_and_the_model_has_the_temperature(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, asked = play(folder, settings(), monkeypatch)
    assert asked == [site for site, speakers in fold["validation_speakers"].items() if speakers]
    found = fold["calibration"]
    assert found["recordings"] == 4 * sum(fold["validation_speakers"].values())
    assert sum(map(sum, found["bins"].values())) == found["recordings"]
    assert set(found) == {"temperature", "recordings", "ece_before", "unsure", "bins"}
    assert found["unsure"]["0.1"] <= found["unsure"]["0.2"] <= found["unsure"]["0.3"] <= 1
    saved = saved_model.load(folder / "home/runs/one")
    assert (saved.temperature, saved.unsure) == (found["temperature"], found["unsure"])
    assert found["temperature"] != 1.0
    assert len(fold["refit"]) == fold["chosen_round"]


def test_a_run_that_ends_between_asks_nobody_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FederationError, match="0 of 4 sites sent a sound update"):
        play(folder, settings(), monkeypatch, no_refit)
    before = checkpoint.load(folder / "home/runs/one/checkpoint.safetensors")
    assert before.confidence is not None
    assert set(before.confidence) == {"recordings", "losses", "right", "wrong", "clipped"}
    fold, asked = play(folder, settings(), monkeypatch)
    assert asked == []
    assert fold["calibration"]["recordings"] == before.confidence["recordings"]
    assert fold["calibration"]["temperature"] == saved_model.load(folder / "home/runs/one").temperature


@pytest.mark.parametrize("answer", [silent, pytest.param(too_many, marks=pytest.mark.slow)])
def test_where_no_site_answers_as_it_should_the_temperature_is_one_and_the_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    fold, asked = play(folder, settings(), monkeypatch, answer)
    assert "calibration" not in fold
    saved = saved_model.load(folder / "home/runs/one")
    assert (saved.temperature, saved.unsure) == (1.0, None)
    log = [line for line in Chain(folder / "home/runs/one/audit.jsonl").read() if line["kind"] == "refused"]
    assert [(line["type"], sorted(line["sites"])) for line in log] == [(CONFIDENCE, asked)]
    assert play(folder, settings(), monkeypatch)[1] == []


def test_without_validation_speakers_nobody_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold, asked = play(folder, settings(data__validation="none"), monkeypatch)
    assert asked == []
    assert "calibration" not in fold
    assert saved_model.load(folder / "home/runs/one").temperature == 1.0


def told(count: int, loss: float, least: int) -> Confidence:
    """Of a site whose mean loss is the smallest at one of the temperatures; it is right, and sure of it."""
    distance = np.abs(np.arange(len(protocol.TEMPERATURES)) - least)
    bins = np.zeros((2, protocol.BINS))
    bins[0, -1] = count
    return Confidence(recordings=count, losses=count * (loss + distance.astype(float)), right=bins[0], wrong=bins[1])


def node(site: str, *, registered: bool) -> Node:
    own: dict[str, Any] = {"features": 1, "examples": 9, "validation": 10, "test": 0, "speakers": 1}
    return Node(id=1, site=site, validation_speakers=1, registered=registered, limited=registered, **own)


def test_a_site_counts_by_its_recordings_held_to_its_share_and_its_losses_to_some_guesses() -> None:
    honest = {site: told(10, 0.5, least=5) for site in "abc"}
    liar = dataclasses.replace(told(10**6, 0.5, least=15), losses=np.array([*[1e9] * 15, 0.0]))
    answers, own = {**honest, "d": liar}, {site: [node(s, registered=site) for s in "abcd"] for site in (True, False)}
    assert together(answers, own[False], 4).temperature() == protocol.TEMPERATURES[15]  # nobody lies in a simulation
    held = together(answers, own[True], 4)
    assert held.recordings == 10**6 + 30
    assert held.right.sum() == 60  # half of it the liar's
    alike = together({**honest, "d": told(10, 0.5, least=15)}, own[True], 4)
    assert alike.losses[5] == pytest.approx(30 * 0.5 + 10 * min(10.5, 3 * np.log(4)))
    assert together(answers, own[False], 4).losses == pytest.approx(pooled(answers.values()).losses)


def of_losses(*losses: float) -> Confidence:
    return dataclasses.replace(told(10, 0.0, least=0), losses=10 * np.array(losses))


LOG = np.log(protocol.TEMPERATURES)


@pytest.mark.parametrize("smallest", [0.5, 2.5, 4.0, 4.15, 5.0])
def test_a_site_that_is_clipped_draws_the_temperature_no_other_way(smallest: float) -> None:
    """The cap is 4.159, of three guesses of four classes; what is above it tells nothing."""
    for best in np.geomspace(0.27, 3.8, 25):
        steep = np.where(np.log(best) > LOG, 40.0, 2.0)  # a model that is too sure has losses without end
        own = of_losses(*smallest + steep * (LOG - np.log(best)) ** 2)
        free, held = (together({"a": own}, [node("a", registered=by)], 4).temperature() for by in (False, True))
        if own.losses.min() > 10 * MOST_LOSS * np.log(4):
            assert held == 1.0
        else:
            assert abs(np.log(held / free)) < 0.501 * (LOG[1] - LOG[0])


def test_a_neighbour_that_is_clipped_bends_no_parabola() -> None:
    """The loss rises by 3 below the sixth temperature and by 1 above it: the best lies above it, clipped or not."""
    own = of_losses(*[9.0] * 5, 6.0, 3.0, 4.0, *[9.0] * 8)
    assert together({"a": own}, [node("a", registered=False)], 4).temperature() > protocol.TEMPERATURES[6]
    for classes in (2, 3, 4):  # at most 2.08, 3.3 and 4.16: the smallest too, both neighbours, the one below
        held = together({"a": own}, [node("a", registered=True)], classes)
        assert held.temperature() == (1.0 if classes == 2 else protocol.TEMPERATURES[6])


def test_a_site_whose_model_diverged_leaves_the_temperature_to_the_others() -> None:
    nodes = [node(site, registered=True) for site in "ab"]
    sound, lost = told(10, 0.5, least=5), of_losses(*np.linspace(90, 50, 16))
    assert together({"b": lost}, nodes, 4).temperature() == 1.0
    both = together({"a": sound, "b": lost}, nodes, 4).temperature()
    assert both == together({"a": sound}, nodes, 4).temperature()


def test_what_nobody_told_is_no_calibration() -> None:
    assert calibration(State(arrays={}, scaling={}, confidence=None)) is None
    assert calibration(State(arrays={}, scaling={}, confidence={})) is None

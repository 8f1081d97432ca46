"""The held-out score where not all who hold test speakers give one."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from common.config.settings import Config
from common.config.units import UNITS
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.privacy.recipe import private_settings
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from server.rounds.held_out import HeldOut, check_held_out, score_held_out
from server.run.checkpoint import State
from server.sites.handshake import Node
from simulations.engine.worker_grid import InProcessGrid


def told(counts: list[int], mode: str = "running") -> dict[str, list[int]]:
    """The tables of counts that a run with such features has, all the same."""
    draws = {"running": 5, "utterance": 1}.get(mode, 0)
    later = {"confusion-2": [draws * n for n in counts], "confusion-8": [draws * n for n in counts]}
    return {"confusion": counts, "confusion-0": counts} | (later if draws else {})


GOOD: dict[str, Any] = told([3, 1, 0, 2]) | {"speakers": 1, "num-examples": 6}
LOSS = {"loss": 1.5}  # it is told on one machine
TOGETHER = GOOD | {"speakers": 3}
STRANGERS: dict[str, Any] = {"confusion-0": [2, 2, 0, 2], "speakers": 1, "num-examples": 6}
SITES = (0, 6, 6)  # how many test recordings each site holds


def app() -> ClientApp:
    """Answers what its node config holds."""
    own = ClientApp()

    @own.evaluate("test")
    def test(message: Message, context: Context) -> Message:
        known: Any = {
            key: [int(text) for text in str(own).split()] if key.startswith("confusion") else own
            for key, own in context.node_config.items()
        }
        return Message(RecordDict({"metrics": MetricRecord(known)}), reply_to=message)

    return own


def plan(simulated: bool = False) -> Plan:
    split = SiteSplit(name="b", train=("1",), validation=(), test=("2",))
    return Plan(fold="0", classes=("anger", "neutral"), test=(), sites=(split,) if simulated else ())


def private(unit: str | None) -> Config:
    return Config().with_values(private_settings({"privacy.epsilon": 8.0, "privacy.unit": unit} if unit else {}))


def nodes(test: tuple[int, ...] = SITES) -> list[Node]:
    own: dict[str, Any] = {"features": 1, "examples": 9, "validation": 0, "speakers": 1, "validation_speakers": 0}
    return [Node(id=i + 1, site="abc"[i], test=count, **own) for i, count in enumerate(test)]


def scored(
    tmp_path: Path, *answers: dict[str, Any], simulated: bool = False, config: Config | None = None
) -> tuple[HeldOut, dict[str, str]]:
    configs = [
        {key: " ".join(map(str, own)) if key.startswith("confusion") else own for key, own in answer.items()}
        for answer in answers
    ]
    refused: dict[str, str] = {}
    state = State(arrays={"classifier.bias": np.zeros(2, np.float32)}, scaling={"mean": np.zeros(1)})
    with InProcessGrid(app, configs, {}, workers=0) as grid:
        found = score_held_out(
            grid, config or Config(), plan(simulated), nodes(), state, FeatureCache(tmp_path), refused
        )
    return found, refused


def test_the_sites_that_hold_test_speakers_are_asked_and_add_up(tmp_path: Path) -> None:
    found, refused = scored(tmp_path, {}, GOOD, GOOD)
    assert found.test is not None
    assert found.test.confusion == ((6, 2), (0, 4))
    assert found.test.loss is None
    assert found.speakers == 2
    assert found.by_speaker == (((3, 1), (0, 2)),) * 2
    assert found.sites == {"b": 6, "c": 6}
    assert refused == {}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {**GOOD, "confusion": []},
        {**GOOD, "confusion": [3, 1, 0]},
        {**GOOD, "confusion": [3, 1, -1, 3]},
        {**GOOD, "confusion": [2**62, 2**62, 2**62, 2**62 + 6]},  # 6, as far as 64 bits go
        {**GOOD, "confusion": [10**9, 0, 0, 0], "num-examples": 10**9},
        {**GOOD, "num-examples": 5},
        GOOD | LOSS,
        {**GOOD, **told([4, 0, 0, 2]), "confusion-0": [15, 5, 0, 10]},  # five times the weight of a stranger's
        {**GOOD, "confusion-0": [2, 1, 1, 2]},  # other labels
        {**GOOD, "confusion-2": [3, 1, 0, 2]},  # one draw
        {key: own for key, own in GOOD.items() if key != "confusion-0"},
        {key: own for key, own in GOOD.items() if key != "confusion-8"},
        {**GOOD, "speakers": 7},
        {**GOOD, "speakers": 3, "confusion": [3, 0, 0, 1, 0, 1, 0, 1]},
    ],
)
def test_a_site_that_gives_none_is_named_and_the_score_is_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: dict[str, Any]
) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        found, refused = scored(tmp_path, {}, GOOD, odd)
    assert found.test is not None
    assert found.test.confusion == ((3, 1), (0, 2))
    assert found.sites == {"b": 6, "c": None}
    assert set(refused) == {"c"}
    assert refused["c"].startswith(("its metrics: ", "its record metrics is missing"))
    assert "held-out speakers at c are not in the score" in caplog.text


def test_where_nobody_scored_it_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match=r"no held-out speaker was scored: they lie at b, c, .*allow_test = true"):
        scored(tmp_path, {}, {}, {})


def test_in_a_simulation_every_score_must_come(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="held-out speakers lie at c, which did not score the model"):
        scored(tmp_path, {}, GOOD | LOSS, {}, simulated=True)


@pytest.mark.parametrize("unit", [None, *UNITS])
def test_in_a_simulation_they_are_the_coordinators_and_told_with_the_loss(tmp_path: Path, unit: str | None) -> None:
    config = private(unit)
    answer = {**told([3, 1, 0, 2], config.data.normalise), "speakers": 1, "num-examples": 6} | LOSS
    found, _ = scored(tmp_path, {}, answer, answer, simulated=True, config=config)
    assert found.test is not None
    assert found.test.loss == 0.25
    assert found.by_speaker == (((3, 1), (0, 2)),) * 2


def test_counts_that_a_site_tells_together_are_no_speakers(tmp_path: Path) -> None:
    found, refused = scored(tmp_path, {}, GOOD, TOGETHER)
    assert found.test is not None
    assert found.test.confusion == ((6, 2), (0, 4))
    assert (found.speakers, found.by_speaker, refused) == (4, None, {})


def test_where_one_site_tells_what_a_stranger_gets_alone_the_score_is_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """How far a scaling has adapted tells how much a person said, so a site that counts all together keeps it."""
    with caplog.at_level(logging.WARNING, "fedser.server"):
        found, refused = scored(tmp_path, {}, GOOD, STRANGERS)
    assert refused == {}
    assert found.test is not None
    assert found.test.confusion == ((5, 3), (0, 4))
    assert found.test.stranger is not None
    assert [name for name, own in found.test.stranger.items() if own is not None] == ["0"]
    assert found.test.stranger["0"] is not None
    assert found.test.stranger["0"].uar == found.test.uar
    assert "scored as strangers alone" in caplog.text


@pytest.mark.parametrize("unit", UNITS)
def test_in_a_private_run_nobody_is_asked_and_nothing_is_scored(
    tmp_path: Path, unit: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        found, refused = scored(tmp_path, {}, GOOD, GOOD, config=private(unit))
    assert (found.test, found.speakers, found.by_speaker, found.sites, refused) == (None, 0, None, {}, {})
    assert "the model is not scored: the run is private" in caplog.text


def test_a_run_that_nobody_could_score_does_not_start() -> None:
    check_held_out(Config(), plan(), nodes())
    with pytest.raises(FederationError, match=r"no site has recordings marked split=test, and the coordinator has non"):
        check_held_out(Config(), plan(), nodes((0, 0, 0)))


@pytest.mark.parametrize("held", [SITES, (0, 0, 0)])
def test_a_private_one_starts_and_the_log_says_that_it_is_not_scored(
    held: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        check_held_out(private("utterance"), plan(), nodes(held))
        assert "the model will not be scored: no held-out speaker is at the coordinator" in caplog.text
        caplog.clear()
        check_held_out(private("utterance"), dataclasses.replace(plan(), test=("9",)), nodes(held))
        assert not caplog.text

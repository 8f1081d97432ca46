"""Whatever one site answers, to any message, costs that site its place and nothing else: the others are all taken.

Through the code that a run calls for each type of message, over Flower's own objects: ``tests.server.hostile``.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from hypothesis import HealthCheck, given, settings

from common import protocol
from common.config.settings import Config
from common.errors import FederationError
from common.escaping import one_line
from common.messages import schema
from server.records.audit_log import ServerAudit
from server.records.ledger_reports import account, site_figures
from server.rounds.farewell import say_farewell
from server.rounds.loop import Rounds
from server.rounds.site_scores import ask
from server.rounds.temperature import ask_confidence, together
from server.run.checkpoint import State
from server.sites.handshake import Node
from server.sites.meeting import Meeting, meet
from server.sites.pooled_classes import pooled_weights
from server.sites.scaling_sums import gather_sums
from server.sites.shares import Agreement
from tests.client.node.gated import CLASSES, MODEL, PLAIN, PRIVATE, config_of
from tests.server.hostile import BAD, FEATURES, SITES, SPOILS, Spoil, ThreeSites

Taken = tuple[set[str], dict[str, str]]  # the sites whose answer was taken, and why others' were not
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
NODES = [
    Node(
        id=number,
        site=site,
        features=FEATURES,
        examples=40,
        validation=12 if number == BAD else 0,
        test=12,
        speakers=3,
        validation_speakers=1,
        registered=True,
        limited=True,
    )
    for number, site in SITES.items()
]
ONCE = {"federation.rounds": 1, "federation.min_sites": 2, "federation.refit": False}


def state() -> State:
    scaling = {"mean": np.zeros(FEATURES, np.float32), "deviation": np.ones(FEATURES, np.float32)}
    return State(arrays=dict(MODEL), scaling=scaling, run="run")


def hello(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    refused: dict[str, str] = {}
    own = {"private": config.privacy.on, "features": FEATURES, "agreed": {"b": Agreement(recordings=60, speakers=5)}}
    nodes = meet(grid, Meeting(classes=CLASSES, expected=3, least=2, registered=SITES, timeout=10, **own), refused)  # type: ignore[arg-type]
    assert [(node.id, node.site) for node in nodes] == [item for item in SITES.items() if item[1] not in refused]
    assert all(node.examples <= 72 for node in nodes)
    return {node.site for node in nodes}, refused


def statistics(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    refused: dict[str, str] = {}
    scaling = gather_sums(grid, NODES, 10, refused, least=2).scaling()  # type: ignore[arg-type]
    assert bool(scaling.mean.isfinite().all() and scaling.deviation.isfinite().all())
    return set(SITES.values()) - set(refused), refused


def class_counts(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    refused: dict[str, str] = {}
    weights = pooled_weights(grid, NODES, CLASSES, 10, refused, least=2)[protocol.WEIGHTS]  # type: ignore[arg-type]
    assert bool(np.isfinite(weights).all() and (weights > 0).all())
    return set(SITES.values()) - set(refused), refused


def train(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    audit = ServerAudit(folder / "audit.jsonl", 7, "")
    told: list[dict[str, dict[str, object]]] = []
    rounds = Rounds(grid=grid, config=config, nodes=NODES, folder=folder, on_round=told.append, audit=audit)  # type: ignore[arg-type]
    done = rounds.run(state())
    assert all(np.isfinite(values).all() for values in done.arrays.values())
    lines = audit._chain.read()
    refused = {site: why for line in lines if line["kind"] == "refused" for site, why in line["sites"].items()}
    [entry] = told
    return set(entry["sites"]), refused | dict.fromkeys(done.stopped, "out of budget")


def scores(kind: str) -> Callable[[ThreeSites, Config, Path], Taken]:
    def scored(grid: ThreeSites, config: Config, folder: Path) -> Taken:
        refused: dict[str, str] = {}
        counts = ask(grid, config, state(), NODES, kind, MODEL, refused)  # type: ignore[arg-type]
        assert all(own.confusion.sum() == own.examples <= 12 for own in counts.values())
        return set(counts), refused

    return scored


def confidence(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    refused: dict[str, str] = {}
    nodes = [dataclasses.replace(node, validation=12) for node in NODES]
    told = ask_confidence(grid, config, state(), nodes, MODEL, refused)  # type: ignore[arg-type]
    whole = together(told, nodes, classes=3)
    assert 0.25 <= whole.temperature() <= 4.0
    assert 0.0 <= whole.error() <= 1.0
    return set(told), refused


def privacy(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    refused: dict[str, str] = {}
    told = site_figures(grid, config, NODES, state(), refused, whole=False)  # type: ignore[arg-type]
    assert set(account(config, told).sites) == set(SITES.values())
    return set(SITES.values()) - set(refused), refused


def farewell(grid: ThreeSites, config: Config, folder: Path) -> Taken:
    say_farewell(grid, NODES, state(), folder, 10)  # type: ignore[arg-type]
    return set(SITES.values()), {}


PLAYED = [
    (protocol.HELLO, PLAIN, hello),
    (protocol.HELLO, PRIVATE, hello),
    (protocol.HELLO, PLAIN, farewell),
    (protocol.STATISTICS, PLAIN, statistics),
    (protocol.CLASSES_HELD, PLAIN, class_counts),
    (protocol.TRAIN, PLAIN, train),
    (protocol.TRAIN, PRIVATE, train),
    (protocol.TRAIN, PLAIN | {"federation.strategy": "fedmedian"}, train),
    (protocol.EVALUATE_TEST, PLAIN, scores(protocol.EVALUATE_TEST)),
    (protocol.EVALUATE_CONFIDENCE, PLAIN, confidence),
    (protocol.PRIVACY, PRIVATE, privacy),
]


@pytest.mark.parametrize(("kind", "run", "play"), PLAYED)
@FEW
@given(spoil=SPOILS)
def test_the_others_are_taken_whatever_one_site_answers(
    kind: str, run: dict[str, object], play: Callable[[ThreeSites, Config, Path], Taken], spoil: Spoil
) -> None:
    config = config_of(run).with_values(ONCE)
    with tempfile.TemporaryDirectory() as folder:
        taken, refused = play(ThreeSites(config, spoil), config, Path(folder))
    assert {"a", "c"} <= taken
    assert set(refused) <= {"b"}
    assert taken | set(refused) == {"a", "b", "c"}
    for why in refused.values():
        assert one_line(why) == why
        assert 0 < len(why) <= 200


def test_a_site_that_says_nothing_when_it_is_met_is_named_and_the_run_goes_on() -> None:
    class Silent(ThreeSites):
        def pull_messages(self, ids: Iterable[str]) -> list[Message]:
            return [reply for reply in super().pull_messages(ids) if reply.metadata.src_node_id != BAD]

    config, refused = config_of(PLAIN), dict[str, str]()
    grid: Any = Silent(config, lambda reply: reply)
    nodes = meet(grid, Meeting(classes=CLASSES, expected=3, least=2, registered=SITES, timeout=1.0), refused)
    assert [node.site for node in nodes] == ["a", "c"]
    assert refused == {"b": "no answer in time"}
    with pytest.raises(FederationError, match=r"2 of 3 sites take part: .*b: no answer in time"):
        meet(grid, Meeting(classes=CLASSES, expected=3, least=3, registered=SITES, timeout=1.0), {})


def test_every_type_of_message_is_answered_so() -> None:
    in_sums = {protocol.KEYS, protocol.VOTE, protocol.UNMASK}  # tests/server/secure/test_answers_in_sums.py
    assert {kind for kind, *_ in PLAYED} | {protocol.EVALUATE} | in_sums == set(schema.TYPES)

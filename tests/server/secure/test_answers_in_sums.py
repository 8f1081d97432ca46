"""Whatever one of four sites answers in a round behind masks: the sum is of plain updates, or it stays closed."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings

from client.node.secure.secure_node import SecureNode
from common import protocol
from common.config.settings import Config, flatten
from common.errors import FederationError
from common.escaping import one_line
from common.flower.packing import pack, unpack
from common.messages.masked_forms import MASKABLE
from server.rounds.held_out import _together
from server.rounds.loop import Rounds
from server.rounds.site_scores import scored as content_of
from server.run.checkpoint import State
from server.secure.secure_sums import SecureSums
from server.secure.sum_notes import SumNotes
from server.secure.tallied_sums import classes_behind_masks, confidence_behind_masks
from server.sites.handshake import Node
from tests.client.node.gated import PLAIN, PRIVATE, config_of
from tests.client.node.secure.adding import RUN, counts, parties
from tests.server.hostile import SPOILS, Spoil

SECURE = {**PLAIN, "federation.secure": True, "federation.rounds": 1, "federation.refit": False}
SPOILT = "site-01"
MODEL = {"classifier.bias": np.zeros(3, np.float32), "classifier.weight": np.zeros((3, 2), np.float32)}
NOTHING = RecordDict(
    {protocol.METRICS: MetricRecord({protocol.EXAMPLES: 0})}
)  # none of the validation speakers is here
HEAD: Any = {protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: "ab" * 32}
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


class FourSites:
    """A grid of real nodes, one of which answers what ``spoil`` makes of its honest reply to one kind of message."""

    def __init__(self, folder: Path, config: Config, kinds: Sequence[str] = (), spoil: Spoil = lambda own: own) -> None:
        self.nodes = {place + 1: SecureNode(own.site) for place, own in enumerate(parties(folder, 4).values())}
        self.run = SimpleNamespace(fab_hash="")
        self._config, self._kinds, self._spoil = config, kinds, spoil
        self._asked: dict[str, Message] = {}
        self.away: set[str] = set()
        self.stopped: set[str] = set()
        self.scores: dict[int, RecordDict] = {}  # what a site's app answers where it has something to score or count

    def get_node_ids(self) -> list[int]:
        return [place for place, node in self.nodes.items() if node.site.name not in self.away]

    def push_messages(self, sent: Iterable[Message]) -> Sequence[str]:
        self._asked = {f"{number}": message for number, message in enumerate(sent)}
        return list(self._asked)

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        return [self._answer(self._asked.pop(number)) for number in ids if number in self._asked]

    def _answer(self, asked: Message) -> Message:
        kind, place = asked.metadata.message_type, asked.metadata.dst_node_id
        node, content = self.nodes[place], unpack(asked.content)
        own = counts(place - 1)
        if kind == protocol.TRAIN and node.site.name in self.stopped:
            told = RecordDict({protocol.CONFIG: ConfigRecord({**HEAD, protocol.STOPPED: True})})
        elif kind == protocol.KEYS:
            told = node.introduce(content, **own)
        elif kind in MASKABLE:
            reserved = node.reserve(kind, content, self._config, "")
            made = trained(place, own["examples"]) if kind == protocol.TRAIN else self.scores.get(place, NOTHING)
            if self._config.privacy.on:
                made[protocol.CONFIG] = ConfigRecord(dict(HEAD))
            told = node.masked(reserved, content, made, self._config)
        else:
            told = node.vote(content) if kind == protocol.VOTE else node.unmask(content)
        reply = Message(pack(told), reply_to=asked)
        return self._spoil(reply) if kind in self._kinds and node.site.name == SPOILT else reply


def gone(reply: Message) -> Message:
    """In place of an answer what the SuperLink says of a node that is gone."""
    return Message(Error(2, "gone"), reply_to=reply)


def trained(place: int, examples: int) -> RecordDict:
    """The model, further by so much."""
    arrays = ArrayRecord({name: Array(values + np.float32(place / 2)) for name, values in MODEL.items()})
    figures: Any = {protocol.EXAMPLES: examples, protocol.LOSS: 1.0, protocol.SECONDS: 1.0}
    return RecordDict({protocol.ARRAYS: arrays, protocol.METRICS: MetricRecord(figures)})


def rounds_of(grid: Any, folder: Path, config: Config) -> Rounds:
    """The rounds, by a server that has just begun, or begins again."""
    about: Any = {"features": 3, "test": 0, "speakers": 3, "validation_speakers": 0}
    nodes = [Node(id=place, site=own.site.name, **{**about, **counts(place - 1)}) for place, own in grid.nodes.items()]
    folder.mkdir(exist_ok=True)
    notes = SumNotes(folder / "sums.json", RUN)
    secure = SecureSums(grid=grid, config=config, nodes=nodes, run=RUN, settings=flatten(config), notes=notes)
    return Rounds(grid=grid, config=config, nodes=nodes, folder=folder, on_round=lambda _: None, secure=secure)


def round_of(grid: Any, folder: Path, config: Config) -> State:
    """A round's state, as the server has it then."""
    return rounds_of(grid, folder, config).run(State(arrays=dict(MODEL), scaling={}, run=RUN))


def opened(grid: Any, folder: Path, config: Config) -> State | None:
    """The state after the round; None where it was closed, in one line."""
    try:
        return round_of(grid, folder, config)
    except FederationError as error:
        said = str(error)
    assert one_line(said) == said
    return None


@pytest.mark.parametrize(
    "kinds", [(protocol.KEYS,), (protocol.TRAIN,), (protocol.UNMASK,), (protocol.TRAIN, protocol.VOTE)], ids=str
)
@FEW
@given(spoil=SPOILS)
def test_the_sum_is_of_plain_updates_or_stays_closed(kinds: tuple[str, ...], spoil: Spoil) -> None:
    config = config_of(SECURE)
    with tempfile.TemporaryDirectory() as folder:
        grid: Any = FourSites(Path(folder) / "sites", config, kinds, spoil)
        state = opened(grid, Path(folder) / "run", config)
    if state is None:
        return
    [entry] = state.history
    own = {f"site-{place - 1:02}": (place, counts(place - 1)["examples"]) for place in range(1, 5)}
    places, weights = zip(*(own[site] for site in entry["sites"]), strict=True)
    for name, values in MODEL.items():
        assert state.arrays[name] == pytest.approx(values + np.average(places, weights=weights) / 2, abs=1e-6)


def mean_of(sites: Sequence[str]) -> float:
    """How far the plain updates of some sites move the model."""
    own = {f"site-{place - 1:02}": (place / 2, counts(place - 1)["examples"]) for place in range(1, 5)}
    steps, weights = zip(*(own[site] for site in sites), strict=True)
    return float(np.average(steps, weights=weights))


def test_a_sum_that_was_begun_without_a_site_is_opened_without_it_when_that_is_back(tmp_path: Path) -> None:
    """One is away, three vote, one of them goes away before the opening, and the coordinator begins again."""
    config = config_of(SECURE)
    grid: Any = FourSites(tmp_path / "sites", config, (protocol.UNMASK,), gone)
    grid.away = {"site-03"}
    with pytest.raises(FederationError, match="site-03 sent nothing, and site-01 alone can take off the masks"):
        round_of(grid, tmp_path / "run", config)
    grid.away, grid._kinds = set(), ()
    state = round_of(grid, tmp_path / "run", config)
    assert sorted(state.history[0]["sites"]) == ["site-00", "site-01", "site-02"]
    assert state.arrays["classifier.bias"] == pytest.approx(mean_of(["site-00", "site-01", "site-02"]), abs=1e-6)


def test_a_run_goes_on_with_its_roster_where_a_member_is_away_then(tmp_path: Path) -> None:
    config = config_of({**SECURE, "federation.rounds": 2})
    grid: Any = FourSites(tmp_path / "sites", config)
    first = rounds_of(grid, tmp_path / "run", config)
    assert first.secure is not None
    roster = first.secure.roster
    grid.away = {"site-02"}
    again = rounds_of(grid, tmp_path / "run", config)
    assert again.secure is not None
    assert again.secure.roster == roster
    state = again.run(State(arrays=dict(MODEL), scaling={}, run=RUN))
    assert [sorted(entry["sites"]) for entry in state.history] == [["site-00", "site-01", "site-03"]] * 2


@pytest.mark.parametrize(("spent", "rounds"), [(("site-00",), 2), (("site-00", "site-03"), 0)])
def test_where_too_few_have_a_budget_left_to_hide_each_other_the_run_ends(
    tmp_path: Path, spent: tuple[str, ...], rounds: int
) -> None:
    config = config_of({**SECURE, "privacy.epsilon": PRIVATE["privacy.epsilon"], "federation.rounds": 2})
    grid: Any = FourSites(tmp_path / "sites", config)
    grid.stopped = set(spent)
    if not rounds:
        with pytest.raises(FederationError, match="no round could be trained: every site's privacy budget is spent"):
            round_of(grid, tmp_path / "run", config)
        return
    state = round_of(grid, tmp_path / "run", config)
    assert [sorted(entry["sites"]) for entry in state.history] == [["site-01", "site-02", "site-03"]] * rounds


def sums_of(grid: Any, folder: Path, **settings: Any) -> tuple[SecureSums, State]:
    """The sums of a run, and its state after the rounds."""
    rounds = rounds_of(grid, folder, config_of({**SECURE, **settings}))
    assert rounds.secure is not None
    scaling = {"mean": np.zeros(3, np.float32), "deviation": np.ones(3, np.float32)}
    return rounds.secure, State(arrays=dict(MODEL), scaling=scaling, run=RUN)


def scored(counts: Sequence[int], speakers: int, *, known: bool = True) -> RecordDict:
    """What an app tells of held-out speakers, as of strangers and, or not, with all of them known."""
    told: Any = {protocol.EXAMPLES: sum(counts), protocol.SPEAKERS: speakers, protocol.after("0"): list(counts)}
    if known:
        adapted = {protocol.after(heard): [protocol.DRAWS * own for own in counts] for heard in protocol.AFTER[1:]}
        told |= {protocol.CONFUSION: list(counts), **adapted}
    return RecordDict({protocol.METRICS: MetricRecord(told)})


@pytest.mark.parametrize("known", [True, False])
def test_held_out_speakers_of_all_sites_are_scored_as_one(tmp_path: Path, known: bool) -> None:
    """Where one of them does not tell how a speaker does whom the model knows, all are scored as strangers."""
    one, other = [3, 0, 1, 0, 2, 0, 0, 0, 4], [1, 1, 0, 0, 5, 0, 2, 0, 0]
    grid: Any = FourSites(tmp_path / "sites", config_of(SECURE))
    grid.scores = {1: scored(one, 2), 3: scored(other, 3, known=known)}
    secure, state = sums_of(grid, tmp_path / "run")
    holders = [dataclasses.replace(node, test=10 - place) for place, node in enumerate(secure.nodes) if place in (0, 2)]
    [answer], sites = _together(secure, state, dict(MODEL), holders, {})
    whole = np.add(one, other).reshape(1, 3, 3)
    assert (answer.known, answer.examples, answer.speakers) == (known, 19, 5)
    np.testing.assert_array_equal(answer.confusion, whole)
    assert set(answer.after) == (set(protocol.AFTER) if known else {"0"})
    np.testing.assert_array_equal(answer.after["0"], whole)
    assert sites == {"site-00": 10, "site-02": 8}


def test_without_a_sum_or_a_count_in_it_nobody_is_scored(tmp_path: Path) -> None:
    grid: Any = FourSites(tmp_path / "sites", config_of(SECURE))
    secure, state = sums_of(grid, tmp_path / "run")
    nobody = dict.fromkeys((node.site for node in secure.nodes), None)
    assert _together(secure, state, dict(MODEL), secure.nodes, {}) == ([], nobody)
    grid.away = {"site-00", "site-01"}
    assert _together(secure, state, {**MODEL, "classifier.bias": np.ones(3, np.float32)}, secure.nodes, {})[0] == []
    assert confidence_behind_masks(secure, content_of(state, dict(MODEL)), 3, {}) is None


def test_class_counts_of_all_sites_are_added_up(tmp_path: Path) -> None:
    grid: Any = FourSites(tmp_path / "sites", config_of(SECURE))
    told = {1: [40, 10, 10], 2: [0, 60, 7], 3: [30, 30, 14], 4: [27, 27, 27]}
    counted = {place: {protocol.EXAMPLES: sum(own), protocol.COUNTS: own} for place, own in told.items()}
    grid.scores = {place: RecordDict({protocol.METRICS: MetricRecord(own)}) for place, own in counted.items()}  # type: ignore[arg-type]
    secure, _ = sums_of(grid, tmp_path / "run")
    assert classes_behind_masks(secure, 3, {}) == [97.0, 127.0, 58.0]

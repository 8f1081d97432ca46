from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from common import protocol
from common.errors import FederationError, UsageError
from common.flower.internals import RUN_REFUSED
from server.sites.meeting import NOBODY, Meeting, meet
from server.sites.scaling_sums import gather_sums
from server.sites.shares import Agreement
from simulations.engine.worker_grid import InProcessGrid

CLASSES = ["anger", "neutral"]


def site(name: str, **more: Any) -> dict[str, Any]:
    about = {"speakers": 2, "validation-speakers": 0, "release": "0.1.0", "label-map": "", "encoder": ""}
    return {"site": name, "protocol": protocol.VERSION, "classes": "anger neutral", "features": 5, **about, **more}


def app() -> ClientApp:
    """Says of itself what its node config holds."""
    own = ClientApp()

    @own.query("hello")
    def hello(message: Message, context: Context) -> Message:
        about: dict[str, Any] = {k: v for k, v in context.node_config.items() if k != "sums"}
        odd = json.loads(about.pop("odd", "{}"))
        about["classes"] = about["classes"].split()
        about |= {"num-examples": 3, "validation-examples": 0, "test-examples": 0, "missing-classes": [], **odd}
        about = {name: value for name, value in about.items() if value is not None}
        return Message(RecordDict({"config": ConfigRecord(about)}), reply_to=message)

    @own.query("statistics")
    def statistics(message: Message, context: Context) -> Message:
        number = float(context.node_id)
        if context.node_config.get("sums") == "none":
            return Message(RecordDict(), reply_to=message)
        width = 4 if context.node_config.get("sums") == "short" else 5
        number = math.nan if context.node_config.get("sums") == "nan" else number
        arrays = ArrayRecord({name: Array(np.full(width, number * k)) for name, k in (("total", 1), ("square", 10))})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"frames": context.node_id, "matrices": 0})})
        return Message(content, reply_to=message)

    return own


def meeting(expected: int, **more: Any) -> Meeting:
    return Meeting(**{"classes": CLASSES, "expected": expected, "registered": {}, **more})


def met(*sites: dict[str, Any], then: Callable[[InProcessGrid, Any], Any] = lambda _, nodes: nodes) -> Any:
    with InProcessGrid(app, sites, {}, workers=0) as grid:
        return then(grid, meet(grid, meeting(len(sites)), {}))


def test_the_nodes_are_sorted_by_the_sites_names() -> None:
    nodes = met(site("lausanne"), site("charite"))
    assert [(node.site, node.id) for node in nodes] == [("charite", 2), ("lausanne", 1)]
    assert nodes[0].examples == 3


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (site("b", protocol=99), f"site b speaks protocol 99, this server {protocol.VERSION}"),
        (site("b", classes="anger sadness"), "site b has the classes"),
        (site("b", features=7), "the sites' features differ: a 5, b 7 a frame"),
        (site("a"), "two sites have one name"),
    ],
)
def test_sites_that_differ_are_named(other: dict[str, Any], words: str) -> None:
    with pytest.raises(FederationError, match=words):
        met(site("a"), other)


def test_too_few_sites_are_not_waited_for_for_ever() -> None:
    with (
        InProcessGrid(app, [site("a")], {}, workers=0) as grid,
        pytest.raises(FederationError, match="1 of 2 sites are connected after 1 s"),
    ):
        meet(grid, meeting(2, timeout=1), {})


def test_the_sums_of_the_sites_add_up() -> None:
    sums = met(site("a"), site("b"), then=lambda grid, nodes: gather_sums(grid, nodes, 10, {}, least=2))
    assert sums.frames == 3
    assert sums.total.tolist() == [3] * 5
    assert sums.square.tolist() == [30] * 5


ODD: list[dict[str, Any]] = [
    {"num-examples": None},
    {"num-examples": 10**9},
    {"num-examples": "many"},
    {"num-examples": 0},
    {"features": -1},
    {"test-examples": 1.5},
    {"classes": "anger"},
    {"missing-classes": [1]},
    {"protocol": "4"},
    {"site": ""},
]
KEYS = {1: "a", 2: "b", 3: "c"}


def deployed(odd: dict[str, Any], **more: Any) -> tuple[list[str], dict[str, str]]:
    """The names of the sites that take part of three, the second of which says odd things, and why others don't."""
    refused: dict[str, str] = {}
    sites = [site("a"), site("b", odd=json.dumps(odd)), site("c")]
    with InProcessGrid(app, sites, {}, workers=0) as grid:
        nodes = meet(grid, meeting(2, registered=KEYS, **more), refused)
    return [node.site for node in nodes], refused


@pytest.mark.parametrize("odd", ODD)
def test_a_hello_that_is_none_leaves_the_site_out_and_names_it(
    caplog: pytest.LogCaptureFixture, odd: dict[str, Any]
) -> None:
    [(name, value)] = odd.items()
    why = f"its hello's config: {name} is {'missing' if value is None else repr(value)}"
    with caplog.at_level(logging.WARNING, "fedser.server"):
        names, refused = deployed(odd)
    assert names == ["a", "c"]
    assert refused["b"].startswith(why)
    assert refused["b"].endswith("; install the same fedser at both")
    assert f"b does not take part: {why}" in caplog.text


def test_a_hello_that_is_none_ends_a_strict_run_and_a_simulation() -> None:
    with pytest.raises(
        FederationError, match="--strict: b does not take part: its hello's config: num-examples is missing"
    ):
        deployed({"num-examples": None}, strict=True)
    with pytest.raises(FederationError, match="a site could not start"):
        met(site("a"), site("b", odd='{"num-examples": null}'))


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"site": "a"}, "it calls itself a, but its key is b's; see to its site.toml"),
    ({"site": "nobody"}, "it calls itself nobody, but its key is b's; see to its site.toml"),
    ({"classes": ["neutral", "anger"]}, "it has the classes ['neutral', 'anger'], the run has ['anger', 'neutral']"),
    ({"classes": ["fear"]}, "it has the classes ['fear'], the run has ['anger', 'neutral']"),
    ({"features": 7}, "it has 7 features a frame, most sites have 5; give them the same settings"),
    ({"missing-classes": ["\x1b[2J"]}, "it has no recording of '\\x1b[2J', which is no class of the run"),
    ({"protocol": 99}, f"it speaks protocol 99, this server {protocol.VERSION}; install the same fedser at both"),
]


@pytest.mark.parametrize(("odd", "why"), UNFIT)
def test_a_site_that_does_not_fit_the_run_costs_itself_its_place_and_nobody_else(
    caplog: pytest.LogCaptureFixture, odd: dict[str, Any], why: str
) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        names, refused = deployed(odd)
    assert (names, refused) == (["a", "c"], {"b": why})
    assert f"b does not take part: {why}" in caplog.text
    with pytest.raises(FederationError, match=r"--strict: |the sites' features differ"):
        deployed(odd, strict=True)


@pytest.mark.parametrize("b", [5, 7])
def test_of_two_widths_that_as_many_sites_have_the_settings_decide(b: int) -> None:
    refused: dict[str, str] = {}
    with InProcessGrid(app, [site("a"), site("b", features=7)], {}, workers=0) as grid:
        own = {"registered": {1: "a", 2: "b"}, "least": 1, "features": b}
        nodes = meet(grid, meeting(2, **own), refused)
    assert [node.site for node in nodes] == (["a"] if b == 5 else ["b"])
    assert len(refused) == 1


def test_a_site_that_says_far_more_than_was_agreed_is_not_in_the_run() -> None:
    agreed = {name: Agreement(recordings=3, speakers=2) for name in "abc"}
    names, refused = deployed({"num-examples": 4}, agreed=agreed)
    assert names == ["a", "c"]
    assert refused["b"].startswith("it says that it holds 4 recordings of 2 speakers, agreed are 3 of 2, and a fifth")
    assert deployed({}, agreed=agreed)[0] == ["a", "b", "c"]


@pytest.mark.parametrize("agreed", ["", "a", "abc"])
def test_the_log_says_with_which_sites_nothing_is_agreed(caplog: pytest.LogCaptureFixture, agreed: str) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        deployed({"num-examples": 60}, agreed={name: Agreement(recordings=60, speakers=2) for name in agreed})
    unknown = ", ".join(name for name in "abc" if name not in agreed)
    said = f"nothing is agreed of how much {unknown} hold: each is at most 2/3 of the mean, and its steps"
    assert (said in caplog.text) == bool(unknown)
    assert ("b says that it has 60 to train on: it counts as 12" in caplog.text) == ("b" in unknown)


def test_a_hello_in_another_protocol_is_said_to_be_that() -> None:
    _, refused = deployed({"protocol": 99, "num-examples": None})
    assert refused["b"].startswith(f"it speaks protocol 99, this server {protocol.VERSION}; install the same fedser")


def test_too_few_sites_are_told_with_their_reasons() -> None:
    with (
        InProcessGrid(app, [site("a"), site("b", odd='{"site": null}')], {}, workers=0) as grid,
        pytest.raises(FederationError, match=r"1 of 2 sites take part: .* \(b: its hello's config: site is missing"),
    ):
        meet(grid, meeting(2, registered=KEYS), {})


LINE = "refused by the site's policy: the run is not private, the policy asks that it hides the utterance"


def picky() -> ClientApp:
    """As ``app``, behind a node whose policy refuses the run, where its node config says so."""
    own = app()

    def answer(message: Message, context: Context) -> Message:
        if context.node_config.get("picky"):
            return Message(Error(RUN_REFUSED, LINE), reply_to=message)
        return own(message, context)

    return answer  # type: ignore[return-value]


def picked(*picky_sites: str, expected: int = 3, **more: Any) -> tuple[list[str], dict[str, str]]:
    refused: dict[str, str] = {}
    sites = [site(name, picky=True) if name in picky_sites else site(name) for name in KEYS.values()]
    with InProcessGrid(picky, sites, {}, workers=0) as grid:
        nodes = meet(grid, meeting(expected, registered=KEYS, **more), refused)
    return [node.site for node in nodes], refused


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("expected", [1, 3])
def test_a_run_that_no_policy_allows_is_the_coordinators_mistake_told_by_site(
    caplog: pytest.LogCaptureFixture, expected: int, strict: bool
) -> None:
    with (
        caplog.at_level(logging.WARNING, "fedser.server"),
        pytest.raises(UsageError, match=r"^no site's policy allows this run .*; nothing of it ran there") as caught,
    ):
        picked(*KEYS.values(), expected=expected, strict=strict)
    assert str(caught.value).startswith(NOBODY)
    for name in KEYS.values():
        assert f"{name}: {LINE}" in str(caught.value)
        assert f"{name} does not take part: {LINE}" in caplog.text


def test_a_run_that_some_policies_allow_goes_on_where_these_are_enough(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        names, refused = picked("b", expected=2)
    assert (names, refused) == (["a", "c"], {"b": LINE})
    assert f"b does not take part: {LINE}" in caplog.text
    with pytest.raises(FederationError, match=rf"1 of 2 sites take part: .* \(a: {LINE}; b: {LINE}"):
        picked("a", "b", expected=2)


def test_a_site_that_would_be_the_whole_mean_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        deployed({"num-examples": 1000})
    assert "b says that it has 1000 of all 1006 to train on" in caplog.text


@pytest.mark.parametrize(
    ("sums", "why"),
    [
        ("none", "its record arrays is missing"),
        ("short", "its arrays: total is float64[4], expected float64[5]"),
        ("nan", "its arrays: total holds numbers that are not finite"),
    ],
)
def test_sums_that_are_none_are_left_out_where_enough_are_left(
    caplog: pytest.LogCaptureFixture, sums: str, why: str
) -> None:
    refused: dict[str, str] = {}

    def pool(least: int) -> Any:
        own = [site("a"), site("b", sums=sums), site("c")]
        return met(*own, then=lambda grid, nodes: gather_sums(grid, nodes, 10, refused, least=least))

    with caplog.at_level(logging.WARNING, "fedser.server"):
        found = pool(2)
    assert found.total.tolist() == [1 + 3] * 5
    assert refused == {"b": why}
    assert "the features are scaled without the sums of b" in caplog.text
    with pytest.raises(
        FederationError, match=r"2 of 3 sites sent the sums of their features, expected at least 3 \(b: "
    ):
        pool(3)

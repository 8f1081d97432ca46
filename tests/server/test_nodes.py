from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from common import protocol
from common.errors import FederationError
from server.nodes import Meeting, meet, pooled_sums
from simulations.engine import InProcessGrid

CLASSES = ["anger", "neutral"]


def site(name: str, **more: Any) -> dict[str, Any]:
    return {"site": name, "protocol": protocol.VERSION, "classes": "anger neutral", "features": 5, **more}


def app() -> ClientApp:
    """Says of itself what its node config holds."""
    own = ClientApp()

    @own.query("hello")
    def hello(message: Message, context: Context) -> Message:
        about: dict[str, Any] = dict(context.node_config)
        about["classes"] = about["classes"].split()
        about |= {"num-examples": 3, "validation-examples": 0, "test-examples": 0}
        return Message(RecordDict({"config": ConfigRecord(about)}), reply_to=message)

    @own.query("statistics")
    def statistics(message: Message, context: Context) -> Message:
        number = float(context.node_id)
        arrays = ArrayRecord({name: Array(np.full(2, number * k)) for name, k in (("total", 1), ("square", 10))})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"frames": int(number)})})
        return Message(content, reply_to=message)

    return own


def meeting(expected: int, **more: Any) -> Meeting:
    return Meeting(**{"classes": CLASSES, "expected": expected, "registered": {}, **more})


def met(*sites: dict[str, Any], then: Callable[[InProcessGrid, Any], Any] = lambda _, nodes: nodes) -> Any:
    with InProcessGrid(app, sites, {}, workers=0) as grid:
        return then(grid, meet(grid, meeting(len(sites))))


def test_the_nodes_are_sorted_by_the_sites_names() -> None:
    nodes = met(site("lausanne"), site("charite"))
    assert [(node.site, node.id) for node in nodes] == [("charite", 2), ("lausanne", 1)]
    assert nodes[0].examples == 3


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (site("b", protocol=99), "site b speaks protocol 99, this server 4"),
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
        meet(grid, meeting(2, timeout=1))


def test_the_sums_of_the_sites_add_up() -> None:
    sums = met(site("a"), site("b"), then=lambda grid, nodes: pooled_sums(grid, nodes, 10))
    assert sums.frames == 3
    assert sums.total.tolist() == [3, 3]
    assert sums.square.tolist() == [30, 30]

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from common import protocol
from common.config.settings import Config
from common.messages.scope import Scope, extra_records, forms_of
from common.strategies.available import CATALOGUE
from server.rounds.screening import fault
from server.rounds.updates import strip_reply
from server.sites.handshake import Node
from tests.server.replies import Arrays, reply

MODEL: Arrays = {"b": np.zeros(2, np.float32), "a": np.zeros(3, np.float32)}
NODE = Node(id=1, site="a", features=1, examples=40, validation=8, test=0, speakers=4, validation_speakers=1)


def test_an_update_keeps_its_arrays_in_the_models_order_and_the_weight_of_the_meeting() -> None:
    update = reply(MODEL, examples=10**6)
    entry = strip_reply(update, NODE, Config(), 1, ["a", "b"])
    assert list(update.content[protocol.ARRAYS]) == ["a", "b"]
    assert dict(update.content[protocol.METRICS]) == {protocol.EXAMPLES: 40}
    assert entry == {"examples": 40, "loss": 1.0, "uar": None, "seconds": 1.0, "bytes": 2 * 128 + 4 * 5}


def test_what_a_strategy_asks_for_beside_the_model_is_kept_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    config, update = Config(), reply(MODEL)
    update.content["control"] = ArrayRecord({name: Array(values + 1) for name, values in MODEL.items()})
    known = {"model": forms_of(MODEL)}
    assert fault(update, Scope.of(config, **known)) == "its record 'control' is not expected"
    monkeypatch.setitem(CATALOGUE, "fedavg", CATALOGUE["scaffold"])
    assert fault(update, Scope.of(config, extra=extra_records(config)[1], **known)) is None
    entry = strip_reply(update, NODE, config, 1, ["a", "b"])
    assert [*update.content] == [protocol.ARRAYS, "control", protocol.METRICS]
    assert update.content.array_records["control"]["a"].numpy().tolist() == [1, 1, 1]
    assert entry["bytes"] == 2 * (2 * 128 + 4 * 5)

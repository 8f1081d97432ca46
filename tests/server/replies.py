"""Replies of sites as a server gets them."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1  # without it Flower makes no message

Arrays = dict[str, np.ndarray[Any, Any]]


def asked(node: int = 1) -> Message:
    return Message(RecordDict({"config": ConfigRecord()}), node, "train")


def reply(arrays: Arrays, examples: Any = 1, node: int = 1) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(value) for name, value in arrays.items()}),
            "metrics": MetricRecord({"num-examples": examples, "loss": 1.0, "seconds": 1.0}),
        }
    )
    return Message(content, reply_to=asked(node))


def failure(node: int = 1) -> Message:
    return Message(Error(2, "the site failed"), reply_to=asked(node))

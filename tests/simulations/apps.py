"""Small Flower apps for tests of the engine: numpy only, and with a mind of their own."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

SIZE = 1000


def weights(value: float, size: int = SIZE) -> ArrayRecord:
    return ArrayRecord({"weights": Array(np.full(size, value, dtype=np.float32))})


def client() -> ClientApp:
    """Answers with its partition's number as weights, as often as it was asked, and its process."""
    app = ClientApp()
    asked: dict[int, int] = {}

    @app.train()
    def train(message: Message, context: Context) -> Message:
        own = int(str(context.node_config["partition-id"]))
        asked[own] = asked.get(own, 0) + 1
        time.sleep(float(str(context.node_config.get("seconds", 0.0))))
        behave(str(context.node_config.get("fault", "")))
        content = RecordDict({"arrays": weights(own), "metrics": metrics(own, asked[own])})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return Message(Error(2, "not this one"), reply_to=message)

    return app


def metrics(own: int, asked: int) -> MetricRecord:
    return MetricRecord({"num-examples": own + 1, "asked": asked, "process": os.getpid()})


def behave(fault: str) -> None:
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


def configs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"partition-id": i, **more} for i in range(count)]

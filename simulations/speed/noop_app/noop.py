"""A Flower app that does nothing but send a small array to and fro, with Flower's own FedAvg."""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:  # noqa: ARG001
    """Send the array back."""
    arrays = message.content.array_records["arrays"]
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:  # noqa: ARG001
    """Send a number."""
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds, and note how long they took in the file ``out``, where it is given."""
    began = time.perf_counter()
    arrays = ArrayRecord({"weights": Array(np.zeros(1000, dtype=np.float32))})
    FedAvg().start(grid, arrays, num_rounds=int(str(context.run_config["rounds"])))
    if context.run_config["out"]:
        Path(str(context.run_config["out"])).write_text(json.dumps(time.perf_counter() - began))

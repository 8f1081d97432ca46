from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from common.errors import FederationError
from server.messages.exchange import exchange
from simulations.engine.worker_grid import WINDOW, InProcessGrid, share_out
from tests.simulations import apps

ROOT = Path(__file__).parents[3]


def messages(grid: InProcessGrid, kind: str = "train") -> list[Message]:
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    return [Message(content, node, kind) for node in grid.get_node_ids()]


def told(replies: Sequence[Message]) -> list[dict[str, Any]]:
    return [dict(reply.content.metric_records["metrics"]) for reply in replies]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_replies_come_in_the_order_of_the_messages(workers: int) -> None:
    with InProcessGrid(apps.client, apps.configs(7), {}, workers=workers) as grid:
        replies = list(exchange(grid, messages(grid), 30))
        values = [float(r.content.array_records["arrays"]["weights"].numpy()[0]) for r in replies]
        assert values == [0, 1, 2, 3, 4, 5, 6]


def test_the_slowest_first_does_not_change_the_order() -> None:
    own = apps.configs(4)
    own[0]["seconds"] = 0.3
    with InProcessGrid(apps.client, own, {}, workers=2) as grid:
        replies = list(exchange(grid, messages(grid), 30))
    assert [told([r])[0]["num-examples"] for r in replies] == [1, 2, 3, 4]


def test_a_node_stays_in_one_worker() -> None:
    with InProcessGrid(apps.client, apps.configs(4), {}, workers=2) as grid:
        rounds = [told(list(exchange(grid, messages(grid), 30))) for _ in range(3)]
    assert [[m["asked"] for m in r] for r in rounds] == [[1] * 4, [2] * 4, [3] * 4]
    processes = [[m["process"] for m in r] for r in rounds]
    assert processes[0] == processes[1] == processes[2]
    assert len(set(processes[0])) == 2
    assert os.getpid() not in processes[0]


def test_more_messages_than_the_window_all_arrive() -> None:
    count = 3 * WINDOW + 1
    with InProcessGrid(apps.client, apps.configs(count), {}, workers=2) as grid:
        replies = list(grid.send_and_receive(messages(grid)))
    assert [m["num-examples"] for m in told(replies)] == list(range(1, count + 1))


def test_no_message_runs_further_ahead_than_the_window() -> None:
    count = 3 * WINDOW
    own = apps.configs(count)
    own[0]["seconds"] = 0.6
    seen: list[int] = []
    with InProcessGrid(
        apps.client, own, {}, workers=2, weights=[100.0, *[1.0] * (count - 1)], on_reply=seen.append
    ) as grid:
        grid.push_messages(messages(grid))
        while not grid.pull_messages([]):
            pass
        ahead = seen.index(1)
    assert 0 < ahead <= WINDOW


def test_an_error_reply_is_handed_over() -> None:
    with InProcessGrid(apps.client, apps.configs(2), {}, workers=2) as grid:
        replies = list(exchange(grid, messages(grid, "evaluate"), 30))
    assert [r.error.reason for r in replies] == ["not this one"] * 2


def test_a_killed_worker_ends_the_run_with_one_clear_line() -> None:
    own = apps.configs(2)
    own[1]["fault"] = "killed"
    with (
        pytest.raises(FederationError, match=r"a worker process ended \(exit code -9.*--resume"),
        InProcessGrid(apps.client, own, {}, workers=2) as grid,
    ):
        list(exchange(grid, messages(grid), 30))


def test_a_deadline_gives_up_the_slow_and_keeps_the_quick() -> None:
    own = apps.configs(3)
    own[1]["seconds"] = 60.0
    began = time.monotonic()
    with InProcessGrid(apps.client, own, {}, workers=3) as grid:
        replies = list(exchange(grid, messages(grid), 1.5))
    assert time.monotonic() - began < 20
    # The replies are handed over in order, so the third waits behind the second until the deadline.
    assert [m["num-examples"] for m in told(replies)][:1] == [1]
    assert 2 not in [m["num-examples"] for m in told(replies)]


def test_share_out_gives_the_heaviest_first_to_the_least_loaded() -> None:
    assert share_out([5, 3, 3, 2, 1], 2) == [0, 1, 1, 0, 1]
    assert share_out([1, 1, 1], 1) == [0, 0, 0]


def test_kill_minus_9_leaves_no_worker() -> None:
    code = (
        "import sys, time\n"
        "from simulations.engine.worker_grid import InProcessGrid\n"
        "from tests.simulations import apps\n"
        "with InProcessGrid(apps.client, apps.configs(2, seconds=60.0), {}, workers=2) as grid:\n"
        "    print(*[w.process.pid for w in grid._workers], flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(alive(pid) for pid in workers):
        time.sleep(0.1)
    assert not [pid for pid in workers if alive(pid)]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_arrays_come_back_whole() -> None:
    with InProcessGrid(apps.client, apps.configs(3), {}, workers=2) as grid:
        for i, reply in enumerate(exchange(grid, messages(grid), 30)):
            np.testing.assert_array_equal(reply.content.array_records["arrays"]["weights"].numpy(), np.full(1000, i))

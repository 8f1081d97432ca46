from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supernode import start_client_internal as flower

from client.node.audit.site_log import AuditLog
from client.node.flower import guard, hook, supernode, trainer
from client.node.flower.guard import Guard
from client.node.flower.intake import Callbacks
from client.node.flower.node_state import NodeStates
from client.node.flower.run_sums import RunSums
from client.node.flower.trainer import Trainer
from client.node.policy.clauses import BundlePolicy
from client.node.policy.document import Policy
from client.node.site.node_settings import Address
from common import protocol
from tests.client.node.bundles import Server, bundle, run_of, weights
from tests.client.node.guarded import LOG
from tests.client.node.secure.adding import identity

SECRET = bytes(range(32))
APP = """
import os, signal
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from tiny import deed
app = ClientApp()
@app.train()
def train(message, context):
    deed.do(context)
    arrays = ArrayRecord({name: Array(array.numpy() + 1) for name, array in message.content["arrays"].items()})
    metrics = MetricRecord({"num-examples": 40, "loss": 0.5, "seconds": 1.0})
    held = ConfigRecord({"recordings": 40, "speakers": 4})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics, "held": held}), reply_to=message)
"""


class Link(Server):
    """A server that has a few messages, and ends Flower's loop once each is answered."""

    expected = 0

    def receive(self) -> tuple[Message, ObjectTree] | None:
        if len(self.heads) >= self.expected:
            raise SystemExit(0)
        return super().receive()


class Node:
    """Flower's own loop and runtime API, guarded, and a trainer: all that a site has, but for the network."""

    def __init__(self, folder: Path, link: Link, hashes: tuple[str, ...]) -> None:
        self.folder, self.link = folder, link
        self.audit = AuditLog(folder / "audit.jsonl")
        self.states = NodeStates()
        self._policy = Policy(bundle=BundlePolicy(hashes=hashes))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = Address(host="127.0.0.1", port=probe.getsockname()[1])
        self.secret = SECRET  # the trainer's
        self._ended = threading.Event()

    def run(self) -> None:
        """Let Flower's loop answer all that the server asks."""
        self.link.expected = len(self.link.inbox)
        supernode._serve_trainer(self.states, self.address, SECRET)
        thread = threading.Thread(target=self._train, daemon=True)
        thread.start()
        with hook.guard_connection(self._guarded), contextlib.suppress(SystemExit):
            flower.start_client_internal(
                state_factory=self.states,
                server_address="127.0.0.1:1",
                node_config={protocol.NODE_SITE: "st-mary"},
                insecure=True,
                isolation="process",
            )
        self._ended.set()
        thread.join(10)

    def _guarded(self, server: Callbacks) -> Guard:
        return Guard(
            server,
            site="st-mary",
            policy=lambda: self._policy,
            audit=self.audit,
            store=self.states.store,
            ledger=self.folder / "ledger",
            sums=RunSums(self.folder / "sums", "st-mary", lambda: identity("st-mary")),
        )

    def _train(self) -> None:
        work = Trainer(self.address, self.folder / "flwr" / "apps")
        with trainer._client(self.address, trainer._showing(self.secret)) as client:
            while not self._ended.is_set():
                work.step(client)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(guard, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("client.node.flower.node_state._WORK_SECONDS", 0.3)
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flwr"))
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(deed: str, *, changed: str | None = None, rounds: int = 1) -> Node:
        good = bundle(tmp_path / "good", APP, more={"tiny/deed.py": deed, "common/__init__.py": "MARK = 'bundle'\n"})
        digest = hashlib.sha256(good).hexdigest()
        served = good if changed is None else bundle(tmp_path / "changed", APP, more={"tiny/deed.py": changed})
        fab = Fab(digest, served, {})
        link = Link({1: run_of(1, fab)}, {1: [fab]})
        for number in range(1, rounds + 1):
            config = ConfigRecord({protocol.ROUND: number, **LOG, protocol.SERVER_ENTRIES: number})
            link.ask(
                protocol.TRAIN, RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: config}), group=str(number)
            )

        @contextlib.contextmanager
        def connect(*_: object) -> Iterator[tuple[Any, ...]]:
            yield (99, *(getattr(link, name) for name in Callbacks._fields[1:]))

        monkeypatch.setattr(flower, hook.HOOK, connect)
        return Node(tmp_path, link, (digest,))

    return make


def deed(text: str) -> str:
    return "def do(context):\n" + textwrap.indent(textwrap.dedent(text), "    ")


def test_each_message_is_answered_by_the_bundles_own_code_in_a_process_of_its_own(node: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    told = node(
        deed(f"""
            import os, common
            with open({str(log)!r}, "a") as file:
                print(common.MARK, os.getpid(), context.node_config["site"], file=file)
        """),
        rounds=2,
    )
    told.run()
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [(mark, site) for mark, _, site in lines] == 2 * [("bundle", "st-mary")]
    assert len({os.getpid(), *(int(pid) for _, pid, _ in lines)}) == 3
    for number in range(2):
        update = told.link.reply(number).content.array_records[protocol.ARRAYS]["layer"].numpy()
        assert np.array_equal(update, np.ones((2, 3), np.float32))
    kinds = [entry["kind"] for entry in told.audit.entries()]
    assert kinds == ["run", "in", "out", "in", "out"]


def test_who_does_not_know_the_secret_gets_no_work(node: Any) -> None:
    told = node(deed("pass"))
    told.link.expected = 1
    supernode._serve_trainer(told.states, told.address, SECRET)
    asked = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
    for strangers in ([], [trainer._showing(bytes(32))]):
        with trainer._client(told.address, *strangers) as client, pytest.raises(httpx.HTTPStatusError, match="401"):
            client.AcquireTask(asked)


@pytest.mark.parametrize("exempt", [{}, {"NO_PROXY": "127.0.0.1", "no_proxy": "localhost,.corp.example"}])
def test_no_proxy_is_asked_for_the_node(node: Any, monkeypatch: pytest.MonkeyPatch, exempt: dict[str, str]) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name, value in exempt.items():
        monkeypatch.setenv(name, value)
    told = node(deed("pass"))
    told.run()
    assert not told.link.reply().has_error()


def test_what_lies_in_the_apps_folder_does_not_run_in_the_bundles_place(node: Any, tmp_path: Path) -> None:
    """Flower would take a folder that is there already for the bundle, by eight digits of its hash."""
    mark, log = tmp_path / "mark", tmp_path / "log"
    told = node(deed(f"open({str(log)!r}, 'a').write('bundle')"))
    planted = tmp_path / "flwr" / "apps" / f"fedser.tiny.1.0.0.{told.link.runs[1].fab_hash[:8]}"
    shutil.copytree(tmp_path / "good", planted)
    (planted / "tiny/deed.py").write_text(f"open({str(mark)!r}, 'w')\ndef do(context): pass\n")
    told.run()
    assert not told.link.reply().has_error()
    assert log.read_text() == "bundle"
    assert not mark.exists()


@pytest.mark.parametrize(
    "changed",
    [
        "from pathlib import Path\nPath({mark!r}).write_text(Path('/etc/passwd').read_text())\ndef do(context): pass\n",
        "from pathlib import Path\ndef do(context): Path({mark!r}).touch()  # and no noise is added\n",
    ],
    ids=["reads /etc/passwd", "skips privacy"],
)
def test_nothing_of_a_changed_bundle_runs_and_the_node_stays_up(node: Any, tmp_path: Path, changed: str) -> None:
    mark = tmp_path / "mark"
    told = node(deed("pass"), changed=changed.format(mark=str(mark)), rounds=2)
    told.run()
    for number in range(2):
        assert told.link.reply(number).error.reason.startswith(f"{guard.REFUSED}: the bundle is ")
    assert not mark.exists()
    assert not (tmp_path / "flwr" / "apps").exists()


def test_the_text_of_an_apps_failure_stays_here(node: Any) -> None:
    told = node(deed("raise FileNotFoundError('/data/patient_0042.wav')"))
    told.run()
    assert told.link.reply().error.reason == guard.FAILED
    assert b"patient" not in told.link.everything()
    assert "patient" not in told.audit.path.read_text()


def test_a_message_whose_process_is_killed_is_answered_at_once(node: Any) -> None:
    told = node(deed("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    started = time.monotonic()
    told.run()
    assert told.link.reply().error.reason == guard.FAILED
    assert time.monotonic() - started < 15  # Flower notices after a minute


def test_the_libraries_that_are_imported_before_are_not_fedsers_own() -> None:
    assert not {name.partition(".")[0] for name in trainer.LIBRARIES} & set(trainer.OWN)
    program = (
        "import sys; from client.node.flower import trainer; trainer.forget(); "
        "print([m for m in sys.modules if m in trainer.OWN])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"

"""Two sites as plain processes at a SuperLink with TLS and keys, on loopback; the app is a few numbers."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flwr.supercore.fab import Fab

from client.node.audit import site_log
from client.node.audit.site_log import AuditLog
from client.node.flower.fab import hash_of
from client.node.site import keys
from common.deployment.environment import PROGRAMS, for_programs
from common.processes import subreaper
from server.federation.folder.certificate import issue, new_authority, new_key
from tests.client.node.bundles import bundle

SITES = ("st-mary", "charite")

CLIENT = """
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
app = ClientApp()
@app.train()
def train(message, context):
    if message.content["config"]["server-round"] == 2:
        raise FileNotFoundError("/data/patient_0042.wav")
    arrays = ArrayRecord({name: Array(array.numpy() + 1) for name, array in message.content["arrays"].items()})
    metrics = MetricRecord({"num-examples": 40, "loss": 0.5, "seconds": 1.0})
    held = ConfigRecord({"recordings": 40, "speakers": 4})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics, "held": held}), reply_to=message)
"""
SERVER = """
import time
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    while len(ids := list(grid.get_node_ids())) < 2:
        time.sleep(0.2)
    for number in (1, 2):
        asked = []
        for node in ids:
            arrays = ArrayRecord({"layer": Array(np.ones((2, 3), np.float32))})
            log = f"{context.run_id:064x}"
            head = {"server-log": log, "server-entries": number, "server-hash": log}
            content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": number, **head})})
            asked.append(Message(content, node, "train"))
        for reply in grid.send_and_receive(asked, timeout=120):
            told = reply.error.reason if reply.has_error() else reply.content["arrays"]["layer"].numpy().sum()
            with open({told!r}, "a") as file:
                print("ROUND", number, told, file=file)
"""
CHANGED = "from pathlib import Path\nPath({mark!r}).write_text(Path('/etc/passwd').read_text())\n"


@dataclass
class Federation:
    """A SuperLink and its sites."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return for_programs(self.folder / "home")

    def flwr(self, *arguments: str) -> str:
        command = [str(PROGRAMS / "flwr"), *arguments]
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        return told.stdout + told.stderr

    def told(self, app: Path) -> list[str]:
        """What the two sites told the server app in its two rounds, sorted."""
        lines = self.folder / "told"
        lines.unlink(missing_ok=True)
        self.flwr("run", str(app), "t", "--stream")  # which may stop listening before the run has ended
        until(lambda: lines.exists() and len(lines.read_text().splitlines()) == 4)
        return sorted(lines.read_text().splitlines())


def until(true: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def started(log: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Federation(tmp_path, probe.getsockname()[1])
    authority = new_authority(new_key(), "localhost", datetime.now(UTC))
    server = issue(authority, new_key(), "localhost", datetime.now(UTC))
    (tmp_path / "ca.crt").write_bytes(authority.certificate_pem())
    (tmp_path / "server.crt").write_bytes(server.certificate_pem())
    (tmp_path / "server.key").write_bytes(server.key_pem())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        f'[superlink.t]\naddress = "127.0.0.1:{made.port}"\nroot-certificates = "{tmp_path}/ca.crt"\n'
    )
    command = [str(PROGRAMS / "flower-superlink"), "--host", "127.0.0.1", "--port", str(made.port)]
    command += ["--ssl-certfile", f"{tmp_path}/server.crt", "--ssl-keyfile", f"{tmp_path}/server.key"]
    command += ["--ssl-ca-certfile", f"{tmp_path}/ca.crt", "--enable-supernode-auth"]
    process = started(tmp_path / "link.log", subreaper.command(*command), made.environment)
    try:
        until(lambda: _listens(made.port))
        yield made
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kit(federation: Federation, name: str, digest: str) -> Path:
    folder = federation.folder / name
    folder.mkdir()
    (folder / "ca.crt").write_bytes((federation.folder / "ca.crt").read_bytes())
    (folder / "site.toml").write_text(f'name = "{name}"\nsuperlink = "localhost:{federation.port}"\n')
    (folder / "policy.toml").write_text(f'[bundle]\nhashes = ["{digest}"]\n')
    keys.generate(folder)
    return folder


@pytest.mark.slow
def test_two_sites_take_part_refuse_and_end(federation: Federation, tmp_path: Path) -> None:
    mark, server = tmp_path / "mark", SERVER.replace("{told!r}", repr(str(tmp_path / "told")))
    good = bundle(tmp_path / "good", CLIENT, server=server)
    other = bundle(tmp_path / "changed", CHANGED.format(mark=str(mark)) + CLIENT, server=server)
    sites = []
    for name in SITES:
        folder = kit(federation, name, hash_of(Fab("", good, {})))
        assert "registered" in federation.flwr("supernode", "register", str(folder / "key.pub"), "t")
        command = [str(PROGRAMS / "fedser"), "site", "run", "--kit", str(folder), "--data", str(tmp_path)]
        sites.append(started(folder / "log", command, federation.environment))
    try:
        logs = [tmp_path / name / "log" for name in SITES]
        until(lambda: all("connected" in log.read_text() and "ready" in log.read_text() for log in logs))
        failed = "the site failed; its own log says why"
        line = f"the bundle is {hash_of(Fab('', other, {}))}, none of the 1 that are allowed (bundle.hashes)"
        refused = f"refused by the site's policy: {line}"
        assert federation.told(tmp_path / "good") == 2 * ["ROUND 1 12.0"] + 2 * [f"ROUND 2 {failed}"]
        assert federation.told(tmp_path / "changed") == 2 * [f"ROUND 1 {refused}"] + 2 * [f"ROUND 2 {refused}"]
        assert federation.told(tmp_path / "good")[0] == "ROUND 1 12.0"  # the nodes stayed up
        assert not mark.exists()
        everything = (tmp_path / "link.log").read_text()
        assert "patient_0042" not in everything
        assert all("patient_0042" in log.read_text() for log in logs)
        kinds = [entry["kind"] for entry in AuditLog(tmp_path / SITES[0] / "state" / "audit" / "audit.jsonl").entries()]
        assert kinds == [
            *(site_log.START, site_log.RUN, site_log.IN, site_log.OUT, site_log.IN, site_log.REFUSED),
            *(
                site_log.RUN,
                site_log.REFUSED,  # and once more, which is counted
                site_log.RUN,
                site_log.IN,
                site_log.OUT,
                site_log.IN,
                site_log.REFUSED,
            ),
        ]
    finally:
        for site in sites:
            site.send_signal(signal.SIGKILL)
            site.wait()
    until(lambda: _processes(tmp_path) == [], 10.0)


def _processes(folder: Path) -> list[str]:
    told = subprocess.run(["pgrep", "-f", f"site (node|trainer) .*{folder}"], capture_output=True, text=True)
    return told.stdout.split()

"""The coordinator's server with a real SuperLink and a real nginx, on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.control_pb2 import ListNodesRequest, StartRunRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.node.flower.coordinator import Coordinator
from common.deployment.loopback import has_ipv6
from common.processes import subreaper
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from tests.server.federation import coordinator

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("server"),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"),
]
Server = tuple[Folder, subprocess.Popen[bytes]]

AROUND = [
    "/v1/control/list-nodes",
    "/v1/control/start-run",
    "/v1/runtime/pull-messages",
    "/v1/responses",
    "/metrics",
    "/health",
    "/docs",
    "/",
    "//v1/control/list-nodes",
    "/v1/fleet/",
    "/v1//fleet/activate-node",
    "/v1/fleet/../control/list-nodes",
    "/v1/fleet/./activate-node",
    "/v1/fleet/%2e%2e/control/list-nodes",
    "/v1/fleet/..%2fcontrol/list-nodes",
    "/v1/fleet/%2e%2e%2fcontrol%2flist-nodes",
    "/v1/%66leet/..%2fcontrol/list-nodes",
    "/v1/fleet/..;/control/list-nodes",
    "/v1/fleet/..\\control\\list-nodes",
    "/v1/fleet/activate-node/../../control/list-nodes",
    "/v1/fleet/activate-node?x=1",
    "/v1/fleet/activate-node%00",
    "/V1/FLEET/activate-node",
    "https://localhost/v1/control/list-nodes",
    "*",
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = coordinator.make(tmp_path_factory.mktemp("federation"), ["alpha", "beta"])
    with coordinator.server(folder) as process:
        yield folder, process


def trusting(folder: Folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder.trusted))


def ask(folder: Folder, request: bytes, context: ssl.SSLContext | None = None) -> int:
    """Send raw bytes to the proxy; the status of its answer."""
    with (
        socket.create_connection(("127.0.0.1", folder.port), timeout=10) as plain,
        (context or trusting(folder)).wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(request)
        return int(connection.recv(4096).split()[1])


def post(path: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/protobuf\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


def activate(folder: Folder, key: Path) -> int:
    """What a site's node does first: its node id, or an error."""
    private = serialization.load_ssh_private_key(key.read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    client = FleetHttpClient.from_server_address(
        f"127.0.0.1:{folder.port}",
        insecure=False,
        root_certificates=folder.trusted.read_bytes(),
        interceptors=[NodeAuthHttpInterceptor(private, private.public_key())],
    )
    with client:
        request = ActivateNodeRequest(public_key=public_key_to_bytes(private.public_key()), heartbeat_interval=30)
        return client.ActivateNode(request).node_id


def node_id(folder: Folder, site: str) -> str | None:
    return str(coordinator.status(folder)["sites"][site]["node_id"])


def test_sites_that_are_registered_come_in_by_the_proxy(running: Server) -> None:
    folder, process = running
    coordinator.wait(lambda: coordinator.status(folder)["sites"]["beta"]["node_id"], process)
    for site in ("alpha", "beta"):
        assert str(activate(folder, folder.root / "keys" / site)) == node_id(folder, site)
    coordinator.wait(lambda: coordinator.status(folder)["sites"]["beta"]["online"], process, seconds=10)
    assert coordinator.status(folder)["sites"]["beta"]["last_seen"]


@pytest.mark.parametrize("path", AROUND)
def test_no_way_round_the_proxy(running: Server, path: str) -> None:
    assert ask(running[0], post(path)) in (400, 403)


def test_what_passes_reaches_the_superlink(running: Server) -> None:
    """So that the refusals above are the proxy's doing, not a wrong request's."""
    assert ask(running[0], post("/v1/fleet/activate-node")) == 401


def test_the_control_interface_is_there_behind_the_proxy_only(running: Server) -> None:
    folder, _ = running
    for port, refused in ((folder.superlink_port, False), (folder.port, True)):
        with ControlHttpClient.from_server_address(
            f"127.0.0.1:{port}", insecure=False, root_certificates=folder.trusted.read_bytes(), interceptors=[]
        ) as client:
            if not refused:
                assert len(client.ListNodes(ListNodesRequest()).nodes_info) >= 2
                continue
            with pytest.raises(httpx.HTTPStatusError, match="403 Forbidden"):
                client.StartRun(StartRunRequest())


def test_requests_of_another_kind_are_refused(running: Server) -> None:
    folder, _ = running
    assert ask(folder, b"GET /v1/fleet/activate-node HTTP/1.1\r\nHost: localhost\r\n\r\n") == 403
    large = b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"
    assert ask(folder, large) == 413
    both = post("/v1/fleet/activate-node")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert ask(folder, both) == 400


def test_what_comes_too_fast_has_to_wait(running: Server) -> None:
    """A hundred requests at once, which nginx itself refuses, after it has counted them."""
    folder, _ = running
    before = delays(folder)
    request = b"GET /v1/fleet/activate-node HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(folder) as connection:
        connection.sendall(request * 100)
        answers = came = connection.recv(65536)
        while came and answers.count(b"HTTP/1.1 403") < 100:
            came = connection.recv(65536)
            answers += came
    assert answers.count(b"HTTP/1.1 403") == 100
    assert delays(folder) > before


def delays(folder: Folder) -> int:
    return (folder.root / "server.log").read_text().count('by zone "requests"')


def test_one_address_has_so_many_connections_and_no_more(running: Server) -> None:
    folder, _ = running
    unfinished = post("/v1/fleet/activate-node").replace(b"Content-Length: 0", b"Content-Length: 9")
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(connected(folder)).sendall(unfinished)  # each waits for its body
        deadline = time.monotonic() + 20  # until nginx has read them all
        while (status := ask(folder, post("/v1/fleet/activate-node"))) != 503 and time.monotonic() < deadline:
            time.sleep(0.2)
    assert status == 503
    while (status := ask(folder, post("/v1/fleet/activate-node"))) == 503 and time.monotonic() < deadline + 20:
        time.sleep(0.2)
    assert status == 401  # they are gone, and sites come in again


def test_the_bodies_of_one_address_take_its_share_and_no_memory(running: Server) -> None:
    """64 bodies of 8 MB, whose last byte doesn't come, by somebody without a key: others come in meanwhile."""
    folder, process = running
    size = 8 * 2**20
    slow = post("/v1/fleet/push-object").replace(b"Content-Length: 0", b"Content-Length: %d" % size)
    workers = [pid for pid in subreaper.descendants(process.pid) if program(pid).startswith("nginx")]
    assert len(workers) >= 3
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(connected(folder)).sendall(slow + bytes(size - 1))
        assert sum(map(resident, workers)) < 64 * 2**20
        with connected(folder, "127.0.0.2") as other:
            other.sendall(post("/v1/fleet/activate-node"))
            assert other.recv(4096).split()[1] == b"401"


def resident(pid: int) -> int:
    """The bytes of memory that a process has for itself; shared ones are divided among those who share them."""
    [share] = [line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    return int(share.split()[1]) * 1024


@contextlib.contextmanager
def connected(folder: Folder, source: str = "127.0.0.1") -> Iterator[ssl.SSLSocket]:
    """A connection to the proxy, by one of this machine's addresses."""
    with (
        socket.create_connection(("127.0.0.1", folder.port), timeout=20, source_address=(source, 0)) as plain,
        trusting(folder).wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        yield connection


def test_plain_http_is_refused(running: Server) -> None:
    answer = httpx.post(f"http://127.0.0.1:{running[0].port}/v1/fleet/activate-node")
    assert answer.status_code == 400


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(running: Server) -> None:
    folder, _ = running
    for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context = trusting(folder)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if taken:
            assert ask(folder, post("/"), context) == 403
            continue
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            ask(folder, post("/"), context)


def test_keys_come_and_go_while_it_runs(running: Server) -> None:
    folder, process = running
    key = folder.root / "keys" / "gamma"
    public = coordinator.make_key(key)
    with pytest.raises(httpx.HTTPStatusError, match="4"):
        activate(folder, key)
    coordinator.register(folder, "gamma", public)
    coordinator.wait(lambda: coordinator.status(folder)["sites"].get("gamma", {}).get("node_id"), process, seconds=10)
    assert activate(folder, key)
    registry.write(folder.registry, registry.without(registry.read(folder.registry), "gamma"))
    coordinator.wait(lambda: coordinator.status(folder)["sites"]["gamma"]["revoked"], process, seconds=10)
    with pytest.raises(httpx.HTTPStatusError, match="4"):
        activate(folder, key)
    assert coordinator.status(folder)["sites"]["gamma"]["node_id"] is None


def test_a_superlink_that_is_killed_comes_back_with_its_nodes(running: Server) -> None:
    folder, process = running
    before = node_id(folder, "alpha")
    [link] = [pid for pid in subreaper.descendants(process.pid) if program(pid).endswith("/flower-superlink")]
    os.kill(link, signal.SIGKILL)
    log = folder.root / "server.log"
    line = "fedser: the SuperLink ended (signal 9); starting it again now"
    coordinator.wait(lambda: line in log.read_text(), process, log, seconds=15)
    coordinator.wait(lambda: coordinator.status(folder)["superlink"] == "down", process, log, seconds=15)
    coordinator.wait(lambda: coordinator.status(folder)["superlink"] == "up", process, log)
    assert node_id(folder, "alpha") == before
    assert log.read_text().count(line) == 1


def test_all_ends_with_a_server_that_is_killed(running: Server) -> None:
    folder, process = running
    children = subreaper.descendants(process.pid)
    assert len(children) >= 5
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [program(pid) for pid in children if Path(f"/proc/{pid}").exists()] == []
    for port in (folder.port, folder.superlink_port, folder.admin_port):
        socket.create_server(("127.0.0.1", port)).close()


def program(pid: int) -> str:
    """What a process runs: of a Python program, the script."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return words[1] if "python" in words[0] else words[0]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("exempt", [{}, {"no_proxy": "localhost,.corp.example", "NO_PROXY": "127.0.0.1"}])
def test_a_site_comes_in_by_ipv6_and_nobody_asks_a_proxy_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exempt: dict[str, str]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name, value in exempt.items():
        monkeypatch.setenv(name, value)
    folder = coordinator.make(tmp_path / "federation", ["alpha"], host="::1")
    kit = tmp_path / "kit"
    kit.mkdir()
    shutil.copy(folder.trusted, kit / "ca.crt")
    shutil.copy(folder.root / "keys" / "alpha", kit / "key")
    with coordinator.server(folder) as process:
        coordinator.wait(lambda: coordinator.status(folder)["sites"]["alpha"]["node_id"], process)
        assert folder.address.startswith("[::1]:")
        Coordinator(address=folder.address, kit=kit, number=tmp_path / "number").knock()

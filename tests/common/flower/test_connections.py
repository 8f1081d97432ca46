from __future__ import annotations

import ast
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.proto.control_pb2 import ListNodesRequest, StreamLogsRequest
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.proto.runtime_pb2 import PullTaskInputRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient

from common.deployment.loopback import has_ipv6
from common.flower import connections
from tests.test_house import ROOT, for_every_file, imported, parsed

REDIRECTS = (301, 302, 303, 307, 308)
CALLS: dict[str, tuple[type[ProtobufClient], Callable[[Any], object]]] = {
    "fleet": (FleetHttpClient, lambda client: client.ActivateNode(ActivateNodeRequest())),
    "runtime": (RuntimeHttpClient, lambda client: client.PullTaskInput(PullTaskInputRequest())),
    "control": (ControlHttpClient, lambda client: client.ListNodes(ListNodesRequest())),
    "control's streams": (ControlHttpClient, lambda client: list(client.StreamLogs(StreamLogsRequest()))),
}
OPENERS = {"start_client_internal", "run_clientapp"}  # of Flower's, that open a client themselves
WEB = {"aiohttp", "requests", "urllib.request", "urllib3", "websockets"}  # these follow, or ask proxies
HARMLESS = {"HTTPError", "HTTPStatusError", "RequestError", "Response", "TransportError", "codes"}  # of httpx


class Web(HTTPServer):
    """Answers every request with one status, sends on elsewhere where that is a redirect, and counts who came."""

    def __init__(self, host: str = "127.0.0.1", status: int = 200, to: str = "") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), Answer)
        self.status, self.to = status, to
        self.came: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def at(self, host: str = "") -> str:
        return f"{host or self.server_name}:{self.server_port}"

    def end(self) -> None:
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.came.append(self.path)
        self.send_response(self.server.status)
        if self.server.to:
            self.send_header("location", f"http://{self.server.to}{self.path}")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_CONNECT = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[Web]:
    web = Web()
    yield web
    web.end()


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("name", CALLS)
def test_no_client_of_flowers_follows_a_redirect(name: str, status: int, elsewhere: Web) -> None:
    kind, call = CALLS[name]
    asked = Web(status=status, to=elsewhere.at("127.0.0.1"))
    with (
        connections.opened(kind, asked.at("127.0.0.1")) as client,
        pytest.raises(httpx.HTTPStatusError, match=str(status)),
    ):
        call(client)
    asked.end()
    assert (len(asked.came), elsewhere.came) == (1, [])


def test_these_are_all_the_clients_that_flower_has() -> None:
    assert {kind for kind, _ in CALLS.values()} == set(ProtobufClient.__subclasses__())


def test_a_server_app_s_client_that_was_open_before_follows_none(elsewhere: Web) -> None:
    """Flower opens it, in a process of its own, and then loads the app."""
    asked = Web(status=307, to=elsewhere.at("127.0.0.1"))
    program = f"""
import httpx
from flwr.proto.runtime_pb2 import PullTaskInputRequest
from flwr.superlink.grid.http_grid import HttpGrid
grid = HttpGrid({asked.at("127.0.0.1")!r}, insecure=True, token="t")
client = grid._runtime_client
import server.app
try:
    client._retry_invoker = None
    client.PullTaskInput(PullTaskInputRequest())
except httpx.HTTPStatusError as error:
    print(error.response.status_code)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    asked.end()
    assert (told.stdout.strip(), len(asked.came), elsewhere.came) == ("307", 1, [])


@pytest.mark.parametrize(
    "exempt", [{}, {"no_proxy": "localhost,.corp.example"}, {"NO_PROXY": "127.0.0.1", "no_proxy": "*.corp.example"}]
)
@pytest.mark.parametrize(
    ("host", "named"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")],
)
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_no_client_asks_a_proxy_for_this_machine(
    host: str, named: str, scheme: str, exempt: dict[str, str], elsewhere: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"{scheme}://{elsewhere.at('127.0.0.1')}")
    for name, value in exempt.items():
        monkeypatch.setenv(name, value)
    asked = Web(host)
    with connections.opened(FleetHttpClient, asked.at(named)) as client:
        client.ActivateNode(ActivateNodeRequest())
    asked.end()
    assert (len(asked.came), elsewhere.came) == (1, [])


def test_a_hospital_s_proxy_is_asked_for_a_coordinator_elsewhere(
    elsewhere: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://{elsewhere.at('127.0.0.1')}")
    with connections.opened(FleetHttpClient, "fl.example.org:8443") as client:
        client.ActivateNode(ActivateNodeRequest())
    assert elsewhere.came == ["http://fl.example.org:8443/v1/fleet/activate-node"]


def calls(tree: ast.AST) -> set[str]:
    """The names of all functions that some code calls."""
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in called
    }


@for_every_file
def test_whoever_speaks_http_does_it_by_these_connections(path: Path) -> None:
    tree = parsed(path)
    assert not imported(path) & WEB
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "httpx"
    }
    assert used <= HARMLESS
    assert "from_server_address" not in calls(tree) or path == ROOT / "common/flower/connections.py"
    opening = calls(tree) & OPENERS
    for function in (node for node in ast.walk(tree) if opening and isinstance(node, ast.FunctionDef)):
        assert not calls(function) & OPENERS or "keep_to" in calls(function), f"{path}: {function.name}"

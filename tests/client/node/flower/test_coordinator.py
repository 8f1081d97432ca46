from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from flwr.proto.fleet_pb2 import ActivateNodeResponse, DeactivateNodeResponse

from client.node.flower.coordinator import Coordinator
from client.node.site import keys
from common.errors import FederationError
from server.federation.folder.certificate import Signed, issue, new_authority, new_key

NOW = datetime.now(UTC)


class Fleet(HTTPServer):
    """A SuperLink that knows two requests; status codes to answer the next activations with."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Answer)
        self.statuses: list[int] = []
        self.asked: list[str] = []

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the handshake is none."""


class Answer(BaseHTTPRequestHandler):
    server: Fleet

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path.rpartition("/")[2])
        activation = self.path.endswith("/activate-node")
        status = self.server.statuses.pop(0) if activation and self.server.statuses else 200
        body = ActivateNodeResponse(node_id=5) if activation else DeactivateNodeResponse()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(body.SerializeToString() if status == 200 else b"{}")

    def log_message(self, *_: object) -> None:
        pass


def serve(folder: Path, signed: Signed, host: str = "127.0.0.1") -> Fleet:
    fleet = Fleet(host)
    (folder / "c").write_bytes(signed.certificate_pem())
    (folder / "k").write_bytes(signed.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "c", folder / "k")
    fleet.socket = context.wrap_socket(fleet.socket, server_side=True)
    threading.Thread(target=fleet.serve_forever, args=(0.02,), daemon=True).start()
    return fleet


@pytest.fixture(scope="module")
def authority() -> Signed:
    return new_authority(new_key(), "fl.example.org", NOW)


@pytest.fixture
def fleet(tmp_path: Path, authority: Signed) -> Iterator[Fleet]:
    fleet = serve(tmp_path, issue(authority, new_key(), "localhost", NOW))
    yield fleet
    fleet.shutdown()
    fleet.server_close()


def at(fleet: Fleet, authority: Signed, folder: Path, host: str = "localhost") -> Coordinator:
    kit = folder / f"kit-{len(list(folder.iterdir()))}"
    kit.mkdir()
    keys.generate(kit)
    (kit / "ca.crt").write_bytes(authority.certificate_pem())
    return Coordinator(address=f"{host}:{fleet.server_port}", kit=kit, number=folder / "node-id")


def test_a_site_that_is_taken_in_leaves_again_for_flower_to_come(
    fleet: Fleet, authority: Signed, tmp_path: Path
) -> None:
    coordinator = at(fleet, authority, tmp_path)
    coordinator.knock()
    assert fleet.asked == ["activate-node", "deactivate-node"]
    coordinator.remember(5)  # and then it is killed
    coordinator.knock()
    assert fleet.asked[2:] == ["deactivate-node", "activate-node", "deactivate-node"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (307, "sends this site on to another address"),
        (412, "does not take this site's key"),
        (401, "clocks"),
        (404, "HTTP 404"),
        (502, "HTTP 502"),
    ],
)
def test_a_refusal_has_words(fleet: Fleet, authority: Signed, tmp_path: Path, status: int, words: str) -> None:
    fleet.statuses = [status]
    with pytest.raises(FederationError, match=words):
        at(fleet, authority, tmp_path).knock()


def test_it_tries_again_and_says_each_reason_once(
    fleet: Fleet, authority: Signed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.statuses = [412, 412, 412, 401, 200]
    waits: list[float] = []
    with caplog.at_level(logging.WARNING):
        at(fleet, authority, tmp_path).wait(waits.append)
    assert waits == [1.0, 2.0, 4.0, 5.0]
    assert len(caplog.records) == 2


def test_a_coordinator_that_is_not_there_has_words(authority: Signed, tmp_path: Path) -> None:
    nobody = Fleet()
    nobody.server_close()
    with pytest.raises(FederationError, match=r"cannot be reached .*refused"):
        at(nobody, authority, tmp_path).knock()


def test_an_expired_certificate_has_words(authority: Signed, tmp_path: Path) -> None:
    fleet = serve(tmp_path, issue(authority, new_key(), "localhost", NOW - timedelta(days=4000)))
    with pytest.raises(FederationError, match="expired"):
        at(fleet, authority, tmp_path).knock()
    fleet.shutdown()
    fleet.server_close()


def test_a_certificate_of_another_authority_or_name_has_words(fleet: Fleet, authority: Signed, tmp_path: Path) -> None:
    other = new_authority(new_key(), "fl.example.org", NOW)
    with pytest.raises(FederationError, match="did not sign"):
        at(fleet, other, tmp_path).knock()
    elsewhere = serve(tmp_path, issue(authority, new_key(), "localhost", NOW), "127.0.0.2")
    with pytest.raises(FederationError, match="another name"):
        at(elsewhere, authority, tmp_path, "127.0.0.2").knock()
    elsewhere.shutdown()
    elsewhere.server_close()

"""Who has the token is served, whoever else is told; no stranger's page, and no stranger's name for this machine."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from common.errors import FedserError
from recogniser.listening.exported_model import ExportedModel
from recogniser.service.server_access import Access
from tests.recogniser.service.certificates import Authority
from tests.recogniser.service.serving import Running
from tests.recogniser.web.visiting import address, connected, told, visited, web

TOKEN = "a token of the test's"
HEADER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with visited(model, Access(token=TOKEN)) as found:
        yield found


@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/v1/nothing"])
def test_without_the_token_nobody_is_answered(service: Running, path: str) -> None:
    for headers in ({}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN}s"}, {"Authorization": "é"}):
        with web(service) as client:
            answer = client.get(path, headers=[(name.encode(), value.encode()) for name, value in headers.items()])
            assert (answer.status_code, answer.json()["status"]) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_with_it_and_what_needs_none(model: ExportedModel, service: Running) -> None:
    with web(service) as client:
        found = client.get("/v1/model", headers=HEADER).json()
        assert (found["classes"], found["synthetic"]) == (model.said.classes, model.said.synthetic)
        assert {client.get(path).status_code for path in ("/", "/healthz", "/readyz")} == {200}
        figures = client.get("/metrics", headers=HEADER).text
        assert 'fedser_recogniser_rejected_total{reason="unauthenticated"}' in figures


def bearer(token: str) -> str:
    return "bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "protocols", [[], ["fedser.emotion.v1"], ["fedser.emotion.v1", bearer("another")], ["bearer.!"]]
)
def test_a_socket_without_it_is_closed(service: Running, protocols: list[str]) -> None:
    with connected(service, subprotocols=protocols or None) as socket:
        events, code, _ = told(socket)
    assert (code, events[-1]["status"]) == (1008, "UNAUTHENTICATED")


def test_a_socket_with_it_is_served(service: Running) -> None:
    for given in ({"subprotocols": ["fedser.emotion.v1", bearer(TOKEN)]}, {"additional_headers": HEADER}):
        with connected(service, **given) as socket:
            socket.send('{"sample_rate_hertz": 16000}')
            socket.send('{"end": true}')
            assert told(socket)[1] == 1000


def test_a_page_of_a_stranger_is_refused(model: ExportedModel) -> None:
    with visited(model) as service, web(service) as client:
        own = address(service).rstrip("/")
        assert client.get("/v1/model", headers={"Origin": own}).status_code == 200
        for headers in ({"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org"}):
            answer = client.get("/v1/model", headers=headers)
            assert (answer.status_code, answer.json()["status"]) == (403, "PERMISSION_DENIED")
        for name in ("localhost", "127.0.0.1:8090", "[::1]:8090"):
            assert client.get("/v1/model", headers={"Host": name}).status_code == 200
        with connected(service, origin="https://example.org") as socket:
            assert told(socket)[1] == 1008


def test_tls_and_whose_certificate_a_client_has(model: ExportedModel, tmp_path: Path) -> None:
    ours, others = Authority(), Authority()
    certificate, key = ours.sign()
    access = Access(certificate=certificate, key=key, client_ca=ours.pem)
    with visited(model, access) as service:
        for signed, known in ((ours, True), (others, False), (None, False)):
            context = ssl.create_default_context(cadata=ours.pem.decode())
            if signed:
                for name, content in zip(("c.pem", "k.pem"), signed.sign(), strict=True):
                    (tmp_path / name).write_bytes(content)
                context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
            at = address(service, "/v1/model", "https")
            if known:
                assert httpx.get(at, verify=context, trust_env=False).status_code == 200
                with connect(address(service, "/v1/stream", "wss"), ssl=context, proxy=None) as socket:
                    socket.send('{"end": true}')
                    assert told(socket)[1] == 1008
            else:
                with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
                    httpx.get(at, verify=context, trust_env=False)


def test_a_second_one_on_the_port_is_refused(model: ExportedModel) -> None:
    with visited(model) as service:
        from recogniser.web.http_server import HttpServer
        from tests.recogniser.service.serving import running

        second = running(model, beside=[HttpServer(access=Access(port=service.beside[0]))])
        with pytest.raises(FedserError, match=f"cannot listen on 127.0.0.1:{service.beside[0]}.*--port"), second:
            pass
        with web(service) as client:
            assert client.get("/readyz").text == "ok\n"


def test_every_answer_keeps_the_page_to_itself(model: ExportedModel) -> None:
    with visited(model) as service, web(service) as client:
        for path in ("/", "/healthz", "/nothing"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")

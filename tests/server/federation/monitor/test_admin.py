from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest

from common.errors import FederationError
from server.federation.folder.coordinator_folder import Folder
from server.federation.monitor import page
from server.federation.monitor.admin import serve
from tests.server.federation import example_folder
from tests.server.federation.example_folder import entry


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    run = example_folder.run(example_folder.folder(tmp_path))
    example_folder.rounds(run, [entry(1, uar=0.5)])
    return run.folder


@pytest.fixture
def port(folder: Folder) -> Iterator[int]:
    with serve(folder, "127.0.0.1", 0) as port:
        yield port


def ask(port: int, path: str, method: str = "GET", host: str | None = None) -> tuple[int, HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_the_three_pages(port: int) -> None:
    status, headers, text = ask(port, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "run-1" in text
    status, headers, text = ask(port, "/status.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(text)["run"]["round"] == 1
    status, headers, text = ask(port, "/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert 'fedser_round{run="run-1"} 1.0\n' in text


def test_every_answer_carries_the_security_headers(port: int) -> None:
    for path, method, host in (
        ("/", "GET", None),
        ("/nowhere", "GET", None),
        ("/", "POST", None),
        ("/", "GET", "evil.example"),
    ):
        _, headers, _ = ask(port, path, method, host)
        assert headers["Content-Security-Policy"] == page.POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"].strip() == "fedser"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/nowhere", "/../ca/ca.key", "/%2e%2e/ca/ca.key", "/status.json/", "/metrics/../ca"])
def test_there_is_nothing_else(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_head_is_get_without_the_content(port: int) -> None:
    status, headers, text = ask(port, "/status.json", "HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 100


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    status, headers, _ = ask(port, "/", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("[::1]:8080", 200),
        ("fl.example.org", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:8080", 403),
    ],
)
def test_another_name_is_refused(port: int, host: str, status: int) -> None:
    assert ask(port, "/", host=host)[0] == status
    assert ask(port, "/metrics", host=host)[0] == status


def test_a_broken_folder_is_one_line_not_a_crash(folder: Folder, port: int) -> None:
    folder.registry.write_text("{")
    status, _, text = ask(port, "/")
    assert status == 500
    assert "is not a list of sites" in text
    folder.registry.write_text("{}")
    assert ask(port, "/")[0] == 200


def test_a_connection_that_says_nonsense_does_no_harm(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01\x00nonsense\r\n\r\n")
        assert page.POLICY in raw.recv(10_000).decode()
    assert ask(port, "/")[0] == 200


def test_a_port_that_is_taken_is_one_line(folder: Folder, port: int) -> None:
    with (
        pytest.raises(FederationError, match=rf"can't listen on 127\.0\.0\.1:{port}"),
        serve(folder, "127.0.0.1", port),
    ):
        pass


def test_it_ends_with_its_block(folder: Folder) -> None:
    with serve(folder, "127.0.0.1", 0) as port:
        assert ask(port, "/")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/")

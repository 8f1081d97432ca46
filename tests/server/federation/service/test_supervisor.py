from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.errors import FederationError
from server.federation.folder import ca
from server.federation.folder.certificate import SERVER_LIFE
from server.federation.folder.coordinator_folder import Folder
from server.federation.service import superlink, supervisor
from tests.server.federation import coordinator


def serve(folder: Folder, said: list[str], *, with_proxy: bool = True) -> None:
    stop = threading.Event()
    stop.set()
    supervisor.serve(
        folder,
        lambda *_: contextlib.nullcontext(),
        listen="127.0.0.1",
        with_proxy=with_proxy,
        stop=stop,
        say=said.append,
    )


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    folder = coordinator.make(tmp_path)
    ca.renew(folder, datetime.now(UTC) - SERVER_LIFE, authority=False)
    with pytest.raises(FederationError, match=r"certificate expired on .*; renew it with .* renew-certificates$"):
        serve(folder, [])


@pytest.mark.parametrize("which", ["port", "admin_port", "superlink_port"])
def test_a_port_in_use_is_named(tmp_path: Path, which: str) -> None:
    folder = coordinator.make(tmp_path)
    port = getattr(folder, which)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(FederationError, match=rf"^port {port} is in use; .*federation.toml$"),
    ):
        serve(folder, [])


def test_without_nginx_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(FederationError, match=r"nginx is not installed; install it .* --no-proxy"):
        serve(coordinator.make(tmp_path), [])


def test_what_the_superlink_is_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = coordinator.make(tmp_path)
    command = superlink.command(folder)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(command)
    assert "--insecure" not in command
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    environment = superlink.environment(folder)
    assert environment["FLWR_TELEMETRY_ENABLED"] == "0"
    assert environment["FEDSER_HOME"] == str(folder.root)

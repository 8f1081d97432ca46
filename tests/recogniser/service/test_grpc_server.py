"""Health, reflection, TLS and tokens; what is refused; and how a service goes down."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.cli.main import join_rings, run
from common.errors import FedserError, UsageError
from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.emotion_service import NAME
from recogniser.service.server_access import Access, read_pair, read_token
from tests.recogniser.service.certificates import Authority, Pair
from tests.recogniser.service.serving import Running, client, messages, running
from tests.recogniser.speech import RATE, talk

TOKEN = "a token of the test's"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

join_rings()


def talking(until: Event) -> Iterator[proto.StreamingRecognizeRequest]:
    """Half an utterance; and then nothing, for long."""
    yield from messages(talk(0)[: 2 * RATE], RATE // 2, interim_results=True)
    until.wait(30)


def watched(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))


def told_to_the_end(call: Any) -> tuple[list[proto.StreamingRecognizeResponse], grpc.RpcError]:
    found: list[proto.StreamingRecognizeResponse] = []
    with pytest.raises(grpc.RpcError) as ended:
        found.extend(call)
    return found, ended.value


def test_it_goes_down_when_its_streams_have_their_last_segment(model: ExportedModel) -> None:
    until = Event()
    with running(model) as service, grpc.insecure_channel(service.address) as channel:
        stub = emotion_pb2_grpc.EmotionRecognitionStub(channel)
        health, call = watched(channel), stub.StreamingRecognize(talking(until))
        assert next(health).status == SERVING
        assert next(call).HasField("window")
        service.stop()
        assert next(health).status == NOT_SERVING
        found, ended = told_to_the_end(call)
        assert (ended.code(), ended.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "the service goes down; try again later",
        )
        assert found[-1].segment.end == pytest.approx(2, abs=0.1)
        until.set()
        assert told_to_the_end(stub.StreamingRecognize(iter([])))[1].code() is grpc.StatusCode.UNAVAILABLE


def test_it_says_what_it_speaks(model: ExportedModel) -> None:
    with running(model) as service, grpc.insecure_channel(service.address) as channel:
        ask = reflection_pb2.ServerReflectionRequest
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, file = stub.ServerReflectionInfo(iter([ask(list_services=""), ask(file_containing_symbol=NAME)]))
        assert NAME in {own.name for own in listed.list_services_response.service}
        assert b"StreamingRecognize" in file.file_descriptor_response.file_descriptor_proto[0]
        check = health_pb2_grpc.HealthStub(channel).Check
        assert check(health_pb2.HealthCheckRequest()).status == SERVING


@pytest.mark.parametrize(
    "given", [[], [("authorization", TOKEN)], [("authorization", f"Bearer {TOKEN}s")], [("token-bin", b"\xff")]]
)
def test_without_the_token_nobody_is_served(model: ExportedModel, given: list[tuple[str, str]]) -> None:
    with running(model, access=Access(token=TOKEN)) as service, client(service) as stub:
        ask = partial(stub.GetModel, _ask())
        for call in (lambda: list(stub.StreamingRecognize(iter([]), metadata=given)), lambda: ask(metadata=given)):
            with pytest.raises(grpc.RpcError, match="Bearer TOKEN") as refused:
                call()
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert ask(metadata=[("authorization", f"Bearer {TOKEN}")]).classes
        with grpc.insecure_channel(service.address) as channel:
            assert next(watched(channel)).status == SERVING  # which needs none


def _ask() -> proto.GetModelRequest:
    return proto.GetModelRequest()


def _classes(service: Running, root: bytes, own: Pair | None = None) -> list[str]:
    certificate, key = own or (None, None)
    credentials = grpc.ssl_channel_credentials(root, key, certificate)
    with grpc.secure_channel(service.address, credentials) as channel:
        return list(emotion_pb2_grpc.EmotionRecognitionStub(channel).GetModel(_ask(), timeout=10).classes)


def test_tls_and_whose_certificate_a_client_has(model: ExportedModel) -> None:
    ours, others = Authority(), Authority()
    certificate, key = ours.sign()
    access = Access(certificate=certificate, key=key, client_ca=ours.pem)
    with running(model, access=access) as service:
        assert _classes(service, ours.pem, ours.sign()) == model.said.classes
        for root, own in ((ours.pem, None), (ours.pem, others.sign()), (others.pem, ours.sign())):
            with pytest.raises(grpc.RpcError) as refused:
                _classes(service, root, own)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.RpcError), client(service) as stub:
            stub.GetModel(_ask(), timeout=10)


def _spoken(port: int, version: ssl.TLSVersion) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as own:
        return own.version()


def test_tls_from_1_2_on(model: ExportedModel) -> None:
    certificate, key = Authority().sign()
    with running(model, access=Access(certificate=certificate, key=key)) as service:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            assert _spoken(service.port, version) == name
        with pytest.raises(OSError, match=r"(?i)protocol|version|reset|EOF"):
            _spoken(service.port, ssl.TLSVersion.TLSv1_1)


def test_a_second_one_on_the_port_is_refused(model: ExportedModel) -> None:
    with running(model) as service:
        second = running(model, access=Access(port=service.port))
        with pytest.raises(FedserError, match=f"cannot listen on 127.0.0.1:{service.port}"), second:
            pass
        with client(service) as stub:
            assert stub.GetModel(_ask()).classes


TLS = {"certificate": b"c", "key": b"k"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "--host 0.0.0.0 is reached from a network"),
        ({"host": "0.0.0.0", "token": TOKEN}, "--tls-key, or --behind-proxy"),
        ({"host": "::", "token": TOKEN}, "is reached from a network"),
        ({"host": "example.org", **TLS}, "give --token-file, or --client-ca"),
        ({"host": "0.0.0.0", "behind_proxy": True}, "give --token-file"),
        ({"behind_proxy": True}, "give --token-file"),
        ({"certificate": b"c"}, "go together"),
        ({"client_ca": b"c"}, "--client-ca needs TLS"),
    ],
)
def test_a_network_is_not_spoken_to_bare(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Access(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"host": "0.0.0.0", "token": TOKEN, **TLS},
        {"host": "0.0.0.0", "client_ca": b"a", **TLS},
        {"host": "0.0.0.0", "token": TOKEN, "behind_proxy": True},
        {"host": "::1"},
        {"host": "localhost"},
    ],
)
def test_and_is_with_both(given: dict[str, Any]) -> None:
    assert Access(**given).address


def test_a_token_is_its_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"mode 640.*chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text("short")
    with pytest.raises(UsageError, match="16 printable"):
        read_token(path)
    with pytest.raises(UsageError, match="cannot be read: no such file"):
        read_token(tmp_path / "none")


def test_a_certificate_goes_with_its_own_key(tmp_path: Path) -> None:
    ours = Authority()
    (certificate, key), (_, other) = ours.sign(), ours.sign()
    paths = [tmp_path / name for name in ("c.pem", "k.pem", "other.pem")]
    for path, content in zip(paths, (certificate, key, other), strict=True):
        path.write_bytes(content)
    assert read_pair(paths[0], paths[1]) == (certificate, key)
    with pytest.raises(UsageError, match="no certificate with its own key"):
        read_pair(paths[0], paths[2])
    paths[1].write_text("nothing")
    with pytest.raises(UsageError, match="no PEM file"):
        read_pair(paths[0], paths[1])


def test_the_command_refuses_in_one_line(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--model", str(exported), "--host", "0.0.0.0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert run(["serve", "--model", str(exported), "--idle", "0"]) == 2
    assert "--idle 0: expected a number above 0" in capsys.readouterr().err


WITHOUT_TORCH = """
import sys
for name in ("torch", "flwr", "librosa", "silero_vad", "onnx", "grpc_tools"):
    sys.modules[name] = None
from common.cli.main import main
main()
"""


@contextmanager
def killed_at_last(process: subprocess.Popen[str]) -> Iterator[None]:
    """Nothing waits for a service that a failed check left running."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = ["--port", "0", "--grpc-port", "0"]
    command = [sys.executable, "-c", WITHOUT_TORCH, "serve", "--model", str(exported), *ports]
    until = Event()
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)  # which flwr sets where it is imported
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, killed_at_last(process):
        assert process.stderr
        line = process.stderr.readline()
        assert line.startswith("Listens on 127.0.0.1, port "), line
        port = int(line.split("port ")[1].split()[0])
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = emotion_pb2_grpc.EmotionRecognitionStub(channel).StreamingRecognize(talking(until))
            assert next(call).HasField("window")
            second = subprocess.run([*command[:-1], str(port)], stderr=subprocess.PIPE, text=True, check=False)
            assert (second.returncode, len(second.stderr.splitlines())) == (1, 1), second.stderr
            assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
            process.send_signal(signal.SIGTERM)
            found, ended = told_to_the_end(call)
            until.set()
        assert (found[-1].HasField("segment"), ended.code()) == (True, grpc.StatusCode.UNAVAILABLE)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""

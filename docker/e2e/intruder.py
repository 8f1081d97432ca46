"""What a site could try at the coordinator, run inside a site's container: python - HOST PORT CA SUPERLINK.

Prints a line for each refusal; ends with an error at the first thing that gets through.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys

import httpx
from flwr.proto.control_pb2 import StartRunRequest
from flwr.supercore.control import ControlHttpClient

from common.flower.connections import opened

HOST, PORT, CA, SUPERLINK = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
CONTROL = "control/start-run"
PATHS = (
    f"/v1/{CONTROL}",
    "/v1/control/list-runs",
    "/v1/runtime/get-run",
    f"/v1/fleet/../{CONTROL}",
    f"/v1/fleet/%2e%2e/{CONTROL}",
    f"/v1/fleet/..%2f{CONTROL}",
    f"/v1/fleet%2f..%2f{CONTROL}",
    f"//v1/{CONTROL}",
    f"/v1//{CONTROL}",
    f"/V1/{CONTROL}",
    f"/v1/fleet/;/../{CONTROL}",
    f"/v1/fleet?/../{CONTROL}",
    "/v1/fleet/",
    "/metrics",
    "/health",
    "/",
)


def start_run() -> str:
    """Flower's own call, with the CA certificate that every site has."""
    with open(CA, "rb") as file:  # noqa: PTH123 - nothing but the standard library where it does
        authority = file.read()
    client = opened(ControlHttpClient, f"{HOST}:{PORT}", authority)
    try:
        client.StartRun(StartRunRequest())
    except httpx.HTTPStatusError as error:
        if error.response.status_code == http.client.FORBIDDEN:
            return "start-run: 403"
    sys.exit("start-run was not refused by the proxy")


def asked_for(path: str) -> str:
    """A path as it is, which no client has tidied up."""
    context = ssl.create_default_context(cafile=CA)
    connection = http.client.HTTPSConnection(HOST, PORT, context=context, timeout=10)
    connection.putrequest("POST", path, skip_accept_encoding=True)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    status = connection.getresponse().status
    if status not in (http.client.FORBIDDEN, http.client.BAD_REQUEST):
        sys.exit(f"{path} was answered with {status}")
    return f"{path}: {status}"


def plain() -> str:
    """Without TLS."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=10)
    connection.request("POST", "/v1/fleet/activate-node", body=b"")
    status = connection.getresponse().status
    if status != http.client.BAD_REQUEST:
        sys.exit(f"plain HTTP was answered with {status}")
    return f"plain HTTP: {status}"


def old_tls() -> str:
    """TLS 1.1, as far down as this OpenSSL goes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(CA)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with socket.create_connection((HOST, PORT), timeout=10) as raw, context.wrap_socket(raw, server_hostname=HOST):
            sys.exit("TLS 1.1 was accepted")
    except ssl.SSLError as error:
        if "ALERT_PROTOCOL_VERSION" not in str(error.reason):
            sys.exit(f"TLS 1.1 failed for another reason: {error}")
        return f"TLS 1.1: {error.reason}"


def behind() -> str:
    """The SuperLink's own address, round the proxy."""
    for port in (8000, 8080):
        try:
            socket.create_connection((SUPERLINK, port), timeout=3).close()
        except OSError:
            continue
        sys.exit(f"the SuperLink's port {port} is within reach")
    return "the SuperLink's own address: no way"


TRIALS = {
    "start-run": lambda: [start_run()],
    "paths": lambda: [asked_for(path) for path in PATHS],
    "plain": lambda: [plain()],
    "old-tls": lambda: [old_tls()],
    "behind": lambda: [behind()],
}
sys.stdout.write("\n".join(TRIALS[sys.argv[5]]()) + "\n")

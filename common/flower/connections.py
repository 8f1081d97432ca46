"""Flower's clients, all of them opened here: they talk to the address that they were given, and to no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from flwr.supercore.protobuf.client import ProtobufClient, ProtobufClientInterceptor

from common.deployment.environment import drop_proxies
from common.deployment.loopback import on_this_machine
from common.flower.internals import refuse_redirects

Client = TypeVar("Client", bound=ProtobufClient)


def opened(
    kind: type[Client],
    address: str,
    authority: bytes | None = None,
    interceptors: Sequence[ProtobufClientInterceptor] = (),
) -> Client:
    """A client of Flower's that follows no redirect, and asks no proxy for this machine.

    Args:
        kind: which.
        address: ``host:port``.
        authority: whose certificates it trusts, in PEM; None for plain HTTP.
        interceptors: what they add to its requests.

    Raises:
        ValueError: the certificate is none.
        FedserError: this Flower sends in a way that is not known.
    """
    keep_to(address)
    return kind.from_server_address(address, authority is None, authority, list(interceptors))


def keep_to(address: str) -> None:
    """Let the same hold of those clients that Flower's own code opens in this process, which all go to this address.

    Raises:
        FedserError: this Flower sends in a way that is not known.
    """
    refuse_redirects()
    if on_this_machine(address):
        drop_proxies()

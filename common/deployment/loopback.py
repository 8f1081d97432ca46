"""This machine's own addresses: loopback, which nobody else reaches, and whether there is IPv6."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

LOOPBACK = "127.0.0.1"


def on_this_machine(address: str) -> bool:
    """Whether a ``host:port`` is one of this machine's own, by its name alone: nobody is asked what it stands for."""
    host = address.rpartition(":")[0].strip("[]").lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(host)
        return (getattr(found, "ipv4_mapped", None) or found).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def has_ipv6() -> bool:
    """Whether programs may listen on ``[::]`` here; a system can be without it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return True
    return False


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port

from __future__ import annotations

import pytest

from common.deployment.loopback import on_this_machine


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_its_own_names(host: str) -> None:
    assert on_this_machine(f"{host}:8443")


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "0.0.0.0", "localhost.example.org", "notlocalhost", "desk", "[::]", "[2001:db8::1]", "127.1.nip.io"],
)
def test_the_names_of_others(host: str) -> None:
    assert not on_this_machine(f"{host}:8443")

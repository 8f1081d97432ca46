"""Bad clients as a command: some kinds are told what they have to be, and a stream beside them is heard as alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

TOLD = {
    "config twice": "INVALID_ARGUMENT",
    "cut": "CANCELLED",
    "WebSocket, cut": "gone",
}
SMALL = """
import sys
from simulations.hearing import bad_clients
bad_clients.AT_ONCE = bad_clients.STREAMS = 4
bad_clients.SECONDS, bad_clients._SETTLES, bad_clients.LARGEST = 2.0, 0.5, 8 << 20
for name in bad_clients.KINDS.keys() - set(sys.argv.pop().split(";")):
    del bad_clients.KINDS[name]
from common.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read in /proc")
def test_each_kind_is_told_and_the_others_are_heard() -> None:
    asked = [sys.executable, "-c", SMALL, "bench", "clients", "--count", "4", "--json", ";".join(TOLD)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert {name: own["told"] for name, own in told["kinds"].items()} == {name: {TOLD[name]: 4} for name in TOLD}
    assert told["largest"]["told"] == "RESOURCE_EXHAUSTED"
    for differs in (told["healthy"], told["neighbours"]["differs"]):
        assert differs is None or differs < 1e-6  # None: the machine had no time for it
    assert told["held"]["end"]["files"] <= told["held"]["some"]["files"] + 2
    assert told["held"]["end"]["threads"] <= told["held"]["some"]["threads"] + 1

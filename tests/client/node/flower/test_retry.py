from __future__ import annotations

import logging

import httpx
import pytest

from client.node.flower import retry
from client.node.flower.retry import Patience

REQUEST = httpx.Request("POST", "https://localhost")


def status(code: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("refused", request=REQUEST, response=httpx.Response(code, request=REQUEST))


TIMEOUT = httpx.ConnectTimeout("_ssl.c:989: The handshake operation timed out")


def test_a_call_outlasts_a_broken_connection_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = [TIMEOUT, httpx.ConnectError("refused"), status(429), TIMEOUT, TIMEOUT]
    waits: list[float] = []

    def push(number: int) -> int:
        if faults:
            raise faults.pop()
        return number

    patient = Patience(sleep=waits.append).each(push)
    with caplog.at_level(logging.INFO):
        assert patient(7) == 7
    assert patient.__name__ == "push"
    assert waits == [0.5, 1.0, 2.0, 5.0, 5.0]
    assert [record.getMessage() for record in caplog.records] == [
        "the coordinator does not answer in time; trying again",
        "the coordinator answers again",
    ]


@pytest.mark.parametrize("fault", [status(403), status(500), ValueError("nonsense")])
def test_what_trying_again_does_not_mend_is_raised_at_once(fault: Exception) -> None:
    def push() -> None:
        raise fault

    with pytest.raises(type(fault)):
        Patience(sleep=lambda _: pytest.fail("waited")).each(push)()


def test_patience_has_an_end() -> None:
    def push() -> None:
        raise TIMEOUT

    with pytest.raises(httpx.ConnectTimeout):
        Patience(seconds=0.0, sleep=lambda _: None).each(push)()
    assert retry.SECONDS > 60

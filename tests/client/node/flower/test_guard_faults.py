from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.run import RunNotRunningException

from client.node.flower import guard as module
from common import protocol
from common.errors import FedserError
from tests.client.node.bundles import Server
from tests.client.node.guarded import assert_refused, site_of, train_message, update

pytestmark = pytest.mark.usefixtures("quick")


def test_a_log_that_was_rolled_back_stops_the_site(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    for _ in range(2):
        train_message(site.server)
        message = site.take()
        assert message is not None
        site.answer(Message(update(), reply_to=message))
    told = dict(site.server.reply().content.config_records[protocol.CONFIG])
    lines = site.audit.path.read_text().splitlines(keepends=True)
    train_message(site.server, **told)
    message = site.take()  # the log as it is holds what the server was told
    assert message is not None
    site.audit.path.write_text("".join(lines[:2]))
    train_message(site.server, **told)
    assert_refused(site, "cut or rolled back")


def test_where_the_log_cannot_be_written_nothing_comes_in_or_leaves(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None

    def full(*_: object, **__: object) -> None:
        raise FedserError("audit.jsonl cannot be written: No space left on device")

    monkeypatch.setattr(site.audit, "add", full)
    with caplog.at_level(logging.WARNING):
        site.answer(Message(update(), reply_to=message))
        train_message(site.server)
        assert site.take() is None
    assert [site.server.reply(i).error.reason for i in range(2)] == [module.FAILED] * 2
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("name", ["receive", "get_run", "get_fab", "pull_object"])
@pytest.mark.parametrize("fault", [OSError("gone"), RunNotRunningException(), ValueError("nonsense")])
def test_what_a_server_does_wrong_is_not_raised_into_flowers_loop(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, name: str, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Server, name, fail)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    assert site.take() is None


@pytest.mark.parametrize("fault", [OSError("gone"), RunNotRunningException()])
def test_a_reply_that_cannot_be_sent_is_not_raised_either(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Server, "push_object", fail)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    assert len(site.lines("out")) == 1


def test_a_reply_is_announced_again_where_the_server_has_forgotten_it(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, faults = Server.push_object, [ObjectPushError("a", 1, "session")]

    def forgetful(server: Server, *args: Any) -> None:
        if faults:
            raise faults.pop()
        push(server, *args)

    monkeypatch.setattr(Server, "push_object", forgetful)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    assert len(site.server.heads) == 2
    assert not site.server.reply().has_error()

"""What a site sent and was not taken: named in the log in one short line, and kept for the server's audit log."""

from __future__ import annotations

import logging

from flwr.app import Message

from common.escaping import one_line
from common.flower import internals

log = logging.getLogger("fedser.server")
LONGEST = 200  # characters of a reason, which a site may have written

Refused = dict[str, str]  # by site, why


def refuse(site: str, what: str, why: str, refused: Refused) -> None:
    """Say that something of a site is not taken; the others go on.

    Args:
        site: its name.
        what: ``update``, ``evaluation`` …
        why: in a few words.
        refused: the reason is added.
    """
    refused[site] = short(why)
    log.warning("%s: %s refused: %s", site, what, refused[site])


def failure(reply: Message) -> str:
    """What an error that came in place of a reply says."""
    return reply.error.reason or f"error {reply.error.code}"


def by_policy(reply: Message) -> bool:
    """Whether it is the word of a site's node that its policy refuses the run, before anything of it ran there."""
    return reply.has_error() and reply.error.code == internals.RUN_REFUSED


def short(text: str) -> str:
    """A site's words as one short line that a log or a terminal only shows."""
    return " ".join(one_line(text[: 4 * LONGEST]).split())[:LONGEST]

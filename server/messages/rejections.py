"""What a site sent and was not taken: named in the log in one short line, and kept for the server's audit log."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from flwr.app import Message

from common.errors import FederationError
from common.escaping import one_line
from common.flower import internals
from common.messages.fields import Misfit

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


@contextlib.contextmanager
def costing(site: str, what: str, refused: Refused) -> Iterator[None]:
    """The boundary around a site's reply: whatever is raised in the block costs that site what it sent, nothing else.

    Args:
        site: its name.
        what: as in ``refuse``.
        refused: the reason is added.
    """
    try:
        yield
    except Exception as error:  # also what nobody thought of
        refuse(site, what, unreadable(error), refused)


def unreadable(error: BaseException) -> str:
    """Why what a site sent is not taken, by what was raised where it was read."""
    if isinstance(error, FederationError):  # the coordinator's own words
        return short(str(error))
    return f"its {error}" if isinstance(error, Misfit) else f"it cannot be read ({type(error).__name__})"


def reasons(refused: Refused) -> str:
    """Who was refused and why, to end a line with; nothing where nobody was."""
    return f" ({'; '.join(f'{site}: {why}' for site, why in sorted(refused.items()))})" if refused else ""


def failure(reply: Message) -> str:
    """What an error that came in place of a reply says, in one short line."""
    return short(reply.error.reason or "") or f"error {reply.error.code}"


def by_policy(reply: Message) -> bool:
    """Whether it is the word of a site's node that its policy refuses the run, before anything of it ran there."""
    return reply.has_error() and reply.error.code == internals.RUN_REFUSED


def short(text: str) -> str:
    """A site's words as one short line that a log or a terminal only shows."""
    return one_line(" ".join(text[: 4 * LONGEST].split()))[:LONGEST]

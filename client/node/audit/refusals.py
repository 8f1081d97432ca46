"""What a site refuses, in its log and on its terminal: once what is new, and how often what is known came again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from client.node.audit.site_log import REFUSED, AuditLog
from common.repeats import Repeats

log = logging.getLogger("fedser.node")

MORE = "more"  # in a line of the audit log: how many refusals were counted only since the one before it


class Refusals:
    """Tells of refusals; whoever brings them about can't fill the disk with lines.

    Args:
        audit: the site's log.
        repeats: says which are told.
    """

    def __init__(self, audit: AuditLog, repeats: Repeats) -> None:
        self._audit, self._repeats = audit, repeats
        self._last: tuple[Mapping[str, Any], str] = {}, ""

    def add(self, fields: Mapping[str, Any], why: str) -> None:
        """Tell of a refusal, or count it.

        Args:
            fields: of the message: its run, its type, its round.
            why: in one line.

        Raises:
            FedserError: the audit log cannot be written.
        """
        self._last = fields, why
        with self._repeats.telling((fields["run"], fields["type"], why)) as told:
            if told:
                self._tell()

    def tell_counted(self) -> None:
        """Tell how many were counted, once that is an hour ago; raises as ``add``."""
        if self._repeats.due:
            self._tell()

    def _tell(self) -> None:
        (fields, why), more = self._last, self._repeats.counted
        before = f"; and {more} more before it, most of them known" if more else ""
        log.warning("run %s: %s refused: %s%s", fields["run"], fields["type"], why, before)
        self._audit.add(REFUSED, **fields, why=why, **({MORE: more} if more else {}))
        self._repeats.counted = 0

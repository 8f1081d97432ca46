"""A site's account of every noisy step that its people's data went into, on the site's own disk.

Guarantee. Whatever kills the process, and however many processes share the ledger: no step that may have been released
is missing from ``spends``, no reply is noised twice, and a step that released nothing counts no longer than until the
next round. So ε over ``spends`` bounds what all runs together told of a unit (see
``common.privacy.accounting.accountants`` for adjacency), and a budget that is checked against it is never passed. The
order makes it so, under one lock from first to last: the steps are reserved (a line), computed, the reply stored (a
file, then a line), and only then sent. Whoever has the lock knows that nobody is computing: a reservation without a
reply released nothing, and is voided. Where ``most_voided`` bounds how often a run may do that, a further one's steps
stay spent, and the run gets no more.

Assumed: the reply is sent after ``store``, and nothing else that was made of private data is sent; one ledger holds all
runs on the same people, and no person is at two sites, else their ε add up. Budgets are kept by unit: the steps of one
unit say nothing of another's.

Against whom: crashes, restarts, concurrent processes, edits, and an older copy that was put back. A site that wants to
cheat itself can: it owns the disk. The hash chain makes edits show, and where the ledger's head is reported to somebody
(``expected``), a cut tail too. Public: what of it the site reports. The ledger itself stays at the site.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from common.errors import FedserError, LedgerError, UsageError
from common.privacy.accounting.accountants import Spend
from common.privacy.ledger.entries import FIXED, Account, account
from common.privacy.ledger.replies import Replies
from common.privacy.ledger.reservation import ReservedRound, resolve
from common.storage.chained_file import Chain, Writer
from common.storage.hash_chain import Entry, Head, contains, head_of
from common.storage.safe_name import safe_name
from common.validate import in_range

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # becomes part of a file's name, and comes from the server


class Ledger:
    """A site's ledger. One object serves one thread.

    Args:
        path: of the file; it and its folder are made with the first line. Replies lie in ``<path>.replies``.
        expected: how far the ledger was when the site last reported it; None if it never did.
        timeout: how long to wait for another process that uses it, in seconds.
        most_voided: how many rounds of a run may be cut short and voided; the next one's steps stay spent, and the run
            gets no more of them. Whether a round is cut short may tell of the data, to whoever can ask by it. None for
            no limit.

    Raises:
        LedgerError: a line was changed, or the ledger lacks what was reported: nothing may be spent.
    """

    def __init__(
        self, path: Path, *, expected: Head | None = None, timeout: float = 600.0, most_voided: int | None = None
    ) -> None:
        self.path = path
        self._expected, self._most_voided = expected, most_voided
        self._chain = Chain(path, timeout=timeout)
        self._replies = Replies(path.with_name(path.name + ".replies"))
        self._writer: Writer | None = None  # while a round is in hand
        self._account()

    @classmethod
    def of_site(cls, folder: Path, site: str, *, expected: Head | None = None, most_voided: int | None = None) -> Self:
        """The ledger of a site in a folder that may hold those of several, whatever the site is called.

        Raises:
            LedgerError: as for the constructor.
        """
        return cls(folder / f"{safe_name(site)}.jsonl", expected=expected, most_voided=most_voided)

    def head(self) -> Head:
        """How far the ledger is, to be reported."""
        return head_of(self._entries())

    def terms(self, run: str) -> dict[str, Any] | None:
        """What a run's parameters were fixed to; None if it has not begun here."""
        return self._account().terms.get(run)

    def begin(self, run: str, terms: Mapping[str, Any]) -> dict[str, Any]:
        """Fix a run's parameters, once.

        Args:
            run: its name: at most 64 letters, digits, ``_``, ``.`` and ``-``.
            terms: JSON-ready: ``unit``, ``sample_rate``, ``noise_multiplier``, ``delta``, and whatever else is to be
                remembered. If there are ``rounds`` and ``steps_per_round``, the run may spend their product at most.

        Returns:
            Those that hold: the given ones, or those that the run began with before.

        Raises:
            UsageError: no such name, or a parameter is missing.
            LedgerError: as for the constructor.
            FedserError: the ledger is in use, or cannot be written.
        """
        if not _RUN.fullmatch(run):
            raise UsageError(f"the run is named {run!r}, expected up to 64 letters, digits, '_', '.' and '-'")
        if missing := [name for name in FIXED if name not in terms]:
            raise UsageError(f"the terms of run {run} lack {', '.join(missing)}")
        with self._hold() as writer:
            if run not in account(writer.entries, self.path).terms:
                writer.append("begin", run=run, terms=dict(terms))
            return account(writer.entries, self.path).terms[run]

    def spends(self, unit: str, run: str | None = None) -> list[Spend]:
        """The steps that count, in the order in which they were reserved.

        Args:
            unit: of privacy.
            run: one run's only.
        """
        return self._account().spends(unit, run)

    def refused(self, run: str) -> bool:
        """Whether a round of a run was refused for want of budget."""
        return self._account().refused[run] > 0

    def forget(self, word: Mapping[str, Any]) -> None:
        """Note that a speaker withdrew; what was spent on their recordings stays spent.

        Args:
            word: JSON-ready: what that does and does not undo.

        Raises:
            LedgerError: as for the constructor.
            FedserError: the ledger is in use, or cannot be written.
        """
        with self._hold() as writer:
            writer.append("forget", **word)

    @contextlib.contextmanager
    def round(self, run: str, number: int) -> Iterator[ReservedRound]:
        """Hold the ledger for one round: nobody else spends meanwhile.

        If it ends without a stored reply, by an exception or not, the round's reservation is voided, unless too many
        of the run's were.

        Args:
            run: whose round; it must begin before it reserves.
            number: the round's, 0 or more. Rounds may be skipped.

        Raises:
            LedgerError: as for the constructor; or beside the ledger lie replies of which it does not know.
            FedserError: the ledger is in use, or cannot be written.
        """
        in_range("round", number, 0, 10**9)
        with self._hold() as writer:
            resolve(self.path, writer, self._replies, self._most_voided)
            self._writer = writer
            try:
                yield ReservedRound(self.path, writer, self._replies, (run, number))
            finally:
                self._writer = None
                with contextlib.suppress(FedserError):  # a full disk: the next round does it
                    resolve(self.path, writer, self._replies, self._most_voided)

    @contextlib.contextmanager
    def _hold(self) -> Iterator[Writer]:
        """Lock the ledger, or, within a round, go on with the round's."""
        if self._writer is not None:
            yield self._writer
            return
        self._entries()  # fails before a missing file is made
        with self._chain.lock() as writer:
            self._check(writer.entries)
            yield writer

    def _account(self) -> Account:
        return account(self._entries(), self.path)

    def _entries(self) -> Sequence[Entry]:
        if self._writer is not None:
            return self._writer.entries
        entries = self._chain.read()
        self._check(entries)
        return entries

    def _check(self, entries: Sequence[Entry]) -> None:
        if self._expected is None or contains(entries, self._expected):
            return
        known = self._expected.entries
        if not self.path.exists():
            found = "is missing"
        elif len(entries) < known:
            found = f"has {len(entries)} lines"
        else:
            found = f"has another line {known}"
        raise LedgerError(
            f"the ledger {self.path} {found}, but this site reported {known} lines of it before: "
            "it is not the newest copy; put that back, until then nothing is spent"
        )

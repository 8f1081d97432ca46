"""One round of a ledger: reserve, compute, store; and what is done about a round that a kill cut short."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from common.errors import BudgetSpent, CutShort, LedgerError
from common.privacy.accounting.accountants import Filter, Spend
from common.privacy.ledger.entries import Account, Key, account
from common.privacy.ledger.replies import Replies
from common.storage.chained_file import Writer

KEPT = 2  # a run's last replies: of the round in hand, and of the one before, for a server that lost a checkpoint


class ReservedRound:
    """One round, with the ledger's lock held; made by ``Ledger.round``, whose guarantee see.

    Args:
        path: of the ledger.
        writer: the ledger, locked.
        replies: beside it.
        key: run and round.
    """

    def __init__(self, path: Path, writer: Writer, replies: Replies, key: Key) -> None:
        self._path, self._writer, self._replies, self._key = path, writer, replies, key
        self._lost = _lost(self._account(), key[0])

    @property
    def reply(self) -> bytes | None:
        """What the round released, to be sent again; None if it has not yet.

        Raises:
            LedgerError: it was released, but the reply is gone or damaged: the round cannot be had again.
        """
        done = self._account().reservations.get(self._key)
        return None if done is None or done.sha256 is None else self._replies.load(self._key, done.sha256)

    def reserve(self, spend: Spend, budget: Filter | None = None) -> None:
        """Reserve the round's steps, before the first is computed.

        Args:
            spend: the steps; as the run's terms fix them.
            budget: what refuses them; None for no budget.

        Raises:
            BudgetSpent: they would pass the budget, or what the run planned. The refusal is noted.
            CutShort: an earlier round of the run was cut short, and is voided no more; noted likewise.
            LedgerError: the round is reserved or stored already, or the steps are not those of the run's terms.
            FedserError: the ledger cannot be written.
        """
        now, (run, number) = self._account(), self._key
        if self._key in now.reservations and not self._lost:
            raise LedgerError(f"round {number} of run {run} has its steps in {self._path}; they are not spent twice")
        terms = self._terms(now, spend)
        refusal = self._lost or _over_plan(now, run, terms, spend) or _over_budget(now, spend, budget)
        self._writer.append("refuse" if refusal else "reserve", run=run, round=number, **dataclasses.asdict(spend))
        if refusal:
            kind = CutShort if self._lost else BudgetSpent
            raise kind(f"round {number} of run {run} is refused: {refusal}")

    def store(self, reply: bytes) -> None:
        """Store what the round releases; it may be sent once this has returned.

        Raises:
            LedgerError: the round has no reservation, or a reply already.
            FedserError: it cannot be written; then it must not be sent.
        """
        mine, (run, number) = self._account().reservations.get(self._key), self._key
        if mine is None or mine.sha256 is not None:
            raise LedgerError(f"round {number} of run {run} is not reserved in {self._path}; nothing may be released")
        digest = self._replies.save(self._key, reply)
        self._writer.append("store", run=run, round=number, sha256=digest)
        self._replies.tidy(_worth_keeping(self._account()))

    def _terms(self, now: Account, spend: Spend) -> dict[str, Any]:
        run = self._key[0]
        if run not in now.terms:
            raise LedgerError(f"run {run} has not begun in {self._path}; its parameters are fixed first")
        for name in ("unit", "sample_rate", "noise_multiplier"):
            fixed, given = now.terms[run][name], getattr(spend, name)
            if fixed != given:
                raise LedgerError(f"run {run} began with {name} {fixed}, and cannot go on with {given}")
        return now.terms[run]

    def _account(self) -> Account:
        return account(self._writer.entries, self._path)


def resolve(path: Path, writer: Writer, replies: Replies, most_voided: int | None) -> None:
    """Settle what a dead process left: steps whose reply is stored count, the others released nothing.

    Only with the lock held, for it shows that nobody is computing.

    Args:
        path: of the ledger.
        writer: the ledger, locked.
        replies: beside it.
        most_voided: how many rounds of a run are voided; of one that was cut short once more the steps stay spent, and
            nothing more is reserved. None for any number.

    Raises:
        LedgerError: there are replies of which the ledger does not know.
        FedserError: it cannot be written.
    """
    now, digests = account(writer.entries, path), replies.digests()
    found, voided = now.reservations, now.voided
    if unknown := sorted(digests.keys() - found.keys()):
        run, number = unknown[-1]
        raise LedgerError(
            f"the ledger {path} knows nothing of round {number} of run {run}, whose reply lies in {replies.folder}: "
            "it is not the newest copy; put that back, until then nothing is spent"
        )
    for (run, number), reservation in found.items():
        if reservation.sha256 is None and (run, number) in digests:
            writer.append("store", run=run, round=number, sha256=digests[run, number])
        elif reservation.sha256 is None and (most_voided is None or voided[run] < most_voided):
            writer.append("void", run=run, round=number)
            voided[run] += 1


def _lost(now: Account, run: str) -> str | None:
    """Why the run gets no more steps, if one of its rounds has steps, no reply, and nobody who computes it."""
    cut = [number for (name, number), reservation in now.reservations.items() if name == run and not reservation.sha256]
    if not cut:
        return None
    times = now.voided[run] + len(cut)
    return f"{times} of its rounds were cut short here, by a kill or a full disk; the site is out of the run"


def _over_plan(now: Account, run: str, terms: dict[str, Any], spend: Spend) -> str | None:
    if "rounds" not in terms:
        return None
    planned = terms["rounds"] * terms["steps_per_round"]
    done = sum(own.steps for own in now.spends(spend.unit, run))
    return f"{done} of the run's {planned} planned steps are spent" if done + spend.steps > planned else None


def _over_budget(now: Account, spend: Spend, budget: Filter | None) -> str | None:
    if budget is None or budget.admits(now.spends(spend.unit), spend):
        return None
    return f"it would pass the budget of ε = {budget.budget:g} at δ = {budget.delta:g} for each {spend.unit}"


def _worth_keeping(now: Account) -> set[Key]:
    """The last rounds of each run that have a reply."""
    stored: dict[str, list[Key]] = {}
    for key, reservation in now.reservations.items():
        if reservation.sha256 is not None:
            stored.setdefault(key[0], []).append(key)
    return {key for keys in stored.values() for key in keys[-KEPT:]}

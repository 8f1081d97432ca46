"""What a ledger's lines say, and what they come to.

Each is a line of ``common.storage.hash_chain``. By kind: ``begin`` (run, terms), ``reserve`` and ``refuse`` (run,
round, unit, sample_rate, noise_multiplier, steps), ``store`` (run, round, sha256 of the reply), ``void`` (run, round).
``forget`` says that a speaker withdrew; nothing that was spent comes back.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import LedgerError, UsageError
from common.privacy.accounting.accountants import Spend
from common.storage.hash_chain import Entry

FIXED = ("unit", "sample_rate", "noise_multiplier", "delta")  # what the terms of every run tell

Key = tuple[str, int]  # run and round


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """The steps of a round.

    Attributes:
        spend: the steps.
        time: when they were reserved, UTC.
        sha256: of the reply that they went into; None as long as none is stored.
    """

    spend: Spend
    time: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """A ledger's lines, summed up.

    Attributes:
        terms: by run, its parameters.
        begun: by run, when it began.
        reservations: the steps that count, by run and round, in the order in which they were reserved.
        refused: by run, how many rounds were refused.
        voided: by run, how many rounds released nothing.
    """

    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    reservations: dict[Key, Reservation] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    voided: Counter[str] = field(default_factory=Counter)

    def spends(self, unit: str, run: str | None = None) -> list[Spend]:
        """What the steps that count tell of a unit, and where it is given those of one run; see ``Spend.toward``."""
        return [r.spend.toward(unit) for (name, _), r in self.reservations.items() if run in (None, name)]


def account(entries: Sequence[Entry], path: Path) -> Account:
    """Sum up a ledger's lines.

    Args:
        entries: a chain's, verified.
        path: of the ledger, for the message.

    Raises:
        LedgerError: a line is none of a ledger's.
    """
    result = Account()
    for entry in entries:
        try:
            _add(result, entry)
        except (KeyError, TypeError, UsageError):
            raise LedgerError(
                f"{path}: line {entry['n']} ({entry['kind']}) is none of a ledger's; expected a ledger of this version"
            ) from None
    return result


def _add(result: Account, entry: Entry) -> None:
    if entry["kind"] == "forget":
        return
    run, kind = entry["run"], entry["kind"]
    if kind == "begin":
        result.terms[run] = {**{name: entry["terms"][name] for name in FIXED}, **entry["terms"]}  # none is missing
        result.begun[run] = entry["time"]
    elif kind == "refuse":
        result.refused[run] += 1
    elif kind == "reserve":
        spend = Spend(**{f.name: entry[f.name] for f in dataclasses.fields(Spend)})
        result.reservations[run, entry["round"]] = Reservation(spend=spend, time=entry["time"])
    elif kind == "store":
        reserved = result.reservations[run, entry["round"]]
        result.reservations[run, entry["round"]] = dataclasses.replace(reserved, sha256=entry["sha256"])
    elif kind == "void":
        del result.reservations[run, entry["round"]]
        result.voided[run] += 1
    else:
        raise KeyError(kind)

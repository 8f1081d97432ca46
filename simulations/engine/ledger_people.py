"""Whose steps a folder of ledgers counts: each site's people, kept beside the ledgers that several runs share.

A ledger adds up the steps of all runs at its site. That is what they tell of a person only where this person is at the
same site in each of them; otherwise what is spent on somebody lies in two ledgers, and neither keeps the budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import FedserError, UsageError
from common.splits.plan import Plan
from common.storage import atomic

FILE = "people.json"


def settle_people(ledger: Path, plans: Sequence[Plan]) -> None:
    """Note who is at which site of the ledgers, of whom ``people_of`` found each where they were.

    Args:
        ledger: the folder of ledgers.
        plans: of the run's folds.

    Raises:
        UsageError: as ``people_of``.
        FedserError: the folder cannot be read or written.
    """
    people = people_of(ledger, plans)
    atomic.write(ledger / FILE, json.dumps({"sites": dict(sorted(people.items()))}, indent=1), durable=True)


def people_of(ledger: Path, plans: Sequence[Plan], *, baselines: bool = False) -> dict[str, str]:
    """The site of each person whose steps the ledgers count, or will with this run.

    Args:
        ledger: the folder of ledgers.
        plans: of the run's folds.
        baselines: whether models are trained that no site's ledger counts.

    Raises:
        UsageError: somebody is at two sites, of this run's folds or of an earlier run; or there are baselines.
        FedserError: the folder cannot be read.
    """
    if baselines:
        raise UsageError(
            f"--baselines trains on all sites' people at one place, and no ledger of a site in --ledger {ledger} "
            "counts that; leave one of the two out"
        )
    people = _read(ledger / FILE)
    for plan in plans:
        there = {speaker: site.name for site in plan.sites for speaker in site.train}
        for speaker, site in there.items():
            if people.setdefault(speaker, site) != site:
                raise UsageError(
                    f"--ledger {ledger} counts speaker {speaker} at {people[speaker]}, and in fold {plan.fold} of this "
                    f"run {speaker} is at {site}: a ledger is of one site's people; give another --ledger or none, or "
                    "--sites that deal each speaker alike in all folds: speaker, session or column"
                )
    return people


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["sites"]
        return dict(kept) if isinstance(kept, Mapping) else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise FedserError(
            f"{path} cannot be read, expected who is at which site of these ledgers; put it back, or give another "
            "--ledger"
        ) from None

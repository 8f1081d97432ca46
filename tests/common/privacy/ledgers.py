"""A site's ledger, and rounds that are played with it."""

import contextlib
from pathlib import Path
from typing import Any

from common.privacy.accounting.accountants import Filter, Spend
from common.privacy.ledger.account import Ledger
from common.storage.chained_file import Chain

TERMS = {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5}
STEPS = Spend(unit="utterance", sample_rate=0.1, noise_multiplier=1.0, steps=10)
SITE = Spend(unit="site", sample_rate=1.0, noise_multiplier=5.0, steps=1)


def make(folder: Path, run: str = "run", **terms: Any) -> Ledger:
    ledger = Ledger(folder / "site.jsonl")
    ledger.begin(run, {**TERMS, **terms})
    return ledger


def fail(ledger: Ledger, number: int, budget: Filter | None = None, *, reply: bytes | None = None) -> None:
    """A round that fails after it reserved, or, with a reply, after it stored that."""
    with contextlib.suppress(ZeroDivisionError), ledger.round("run", number) as entry:
        entry.reserve(STEPS, budget)
        if reply is not None:
            entry.store(reply)
        raise ZeroDivisionError


def play(ledger: Ledger, number: int, run: str = "run", reply: bytes = b"reply") -> bytes:
    """A round as a site plays it."""
    with ledger.round(run, number) as entry:
        sent = entry.reply
        if sent is None:
            entry.reserve(STEPS)
            sent = reply
            entry.store(sent)
    return sent


def kinds(ledger: Ledger) -> list[str]:
    return [entry["kind"] for entry in Chain(ledger.path).read()]


def replies(ledger: Ledger) -> list[str]:
    folder = ledger.path.with_name("site.jsonl.replies")
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())

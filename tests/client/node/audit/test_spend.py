from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from client.node.audit.site_log import AuditLog
from client.node.audit.spend import Spent
from common.config.settings import PrivacyConfig
from common.errors import LedgerError
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.privacy.ledger.account import Ledger

PRIVATE = PrivacyConfig(epsilon=8.0, unit="utterance", delta=1e-5)
STEPS = Spend(unit="utterance", sample_rate=0.1, noise_multiplier=1.0, steps=10)


def spend(path: Path, number: int) -> None:
    ledger = Ledger(path)
    ledger.begin("run", {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5})
    with ledger.round("run", number) as entry:
        entry.reserve(STEPS, None)
        entry.store(b"reply")


def test_what_a_round_cost_is_told_by_the_ledger(tmp_path: Path) -> None:
    spent = Spent(tmp_path, "st/mary", AuditLog(tmp_path / "audit.jsonl"))
    spent.note(PRIVATE)
    spend(tmp_path / "st%2Fmary.jsonl", 1)
    told = spent.since(PRIVATE)
    head = Ledger(tmp_path / "st%2Fmary.jsonl").head()
    epsilon = pytest.approx(epsilon_rdp([STEPS], 1e-5))
    assert told == {"epsilon_before": 0.0, "epsilon_after": epsilon, "ledger": [head.entries, head.hash]}
    spent.note(PRIVATE)
    spend(tmp_path / "st%2Fmary.jsonl", 2)
    assert spent.since(PRIVATE)["epsilon_before"] == told["epsilon_after"]


def test_a_run_that_is_not_private_costs_no_look_at_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("no ledger\n")
    spent = Spent(tmp_path, "a", AuditLog(tmp_path / "audit.jsonl"))
    for privacy in (PrivacyConfig(), PrivacyConfig(epsilon=8.0, unit="site")):
        spent.note(privacy)
        assert spent.since(privacy) == {}
    with pytest.raises(LedgerError):
        spent.note(PRIVATE)


def test_a_ledger_that_was_put_back_between_two_runs_stops_the_site(tmp_path: Path) -> None:
    """The folder with its replies, as a copy of the disk would bring it back: the server asks for nothing yet."""
    audit, folder = AuditLog(tmp_path / "audit.jsonl"), tmp_path / "ledger"
    path = folder / "a.jsonl"
    spend(path, 1)
    shutil.copytree(folder, tmp_path / "copy")
    spent = Spent(folder, "a", audit)
    spent.note(PRIVATE)
    spend(path, 2)
    audit.add("out", **spent.since(PRIVATE))
    Spent(folder, "a", audit).note(PRIVATE)  # another process of the node
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with pytest.raises(LedgerError, match="it is not the newest copy"):
        Spent(folder, "a", audit).note(PRIVATE)
    with pytest.raises(LedgerError, match="it is not the newest copy"):
        spent.note(PRIVATE)

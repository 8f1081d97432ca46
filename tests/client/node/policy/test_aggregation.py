from __future__ import annotations

from pathlib import Path

import pytest

from client.node.policy.document import Policy
from client.node.secure.sum_rules import SumRules
from common.errors import UsageError
from common.secure import pinned_keys

KEYS = {"charite": "ecdsa-sha2-nistp384 AAAA", "st-mary": "ecdsa-sha2-nistp384 BBBB"}


def policy(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(f"[aggregation]\n{text}")
    return Policy.read(path)


def test_the_keys_lie_beside_the_policy_and_are_read_as_they_are_now(tmp_path: Path) -> None:
    kept = tmp_path / "roster.toml"
    kept.write_text(pinned_keys.text_of(KEYS))
    own = policy(
        tmp_path, 'secure = "required"\npeers = "roster.toml"\nleast_sites = 4\nlargest_share = 0.4\nmax_norm = 7\n'
    )
    rules = SumRules.of(own)
    assert rules == SumRules(peers=KEYS, least_sites=4, largest_share=0.4, max_norm=7.0, max_update=3.99)
    kept.write_text(pinned_keys.text_of({"charite": KEYS["charite"]}))
    assert SumRules.of(own).peers == {"charite": KEYS["charite"]}


def test_a_policy_whose_keys_are_broken_is_none(tmp_path: Path) -> None:
    (tmp_path / "roster.toml").write_text("sites = 3\n")
    with pytest.raises(UsageError, match=r"policy.toml: .*roster.toml has sites, expected one section \[sites\]"):
        policy(tmp_path, 'peers = "roster.toml"\n')


def test_who_names_no_keys_has_no_peers(tmp_path: Path) -> None:
    assert SumRules.of(policy(tmp_path, "")).peers == {}

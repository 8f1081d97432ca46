"""What a private run promises, held against what its messages hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common import protocol
from common.config.units import UNITS
from common.messages import schema
from common.messages.scope import Scope
from server.records.fold_record import PrivacyAccount
from server.reporting.guarantee import promise, promise_shared, promised, started
from server.reporting.run_record import Result
from tests.server.example_result import deployed_result, result

ROOT = Path(__file__).parents[3]
# Of each key that a site may tell beside the noisy update: the words that say so. None is a setting, or a constant.
WORDS: dict[str, str | None] = {
    protocol.SITE: "names",
    protocol.RELEASE: "versions",
    protocol.PROTOCOL: "versions",
    protocol.LABELS: "a digest of how labels become classes",
    protocol.EXAMPLES: "number",
    protocol.SPEAKERS: "speakers",
    protocol.TEST_EXAMPLES: "recordings",
    protocol.LEDGER_ENTRIES: "how far each site's ledger",
    protocol.LEDGER_HASH: "a digest",
    protocol.AUDIT_ENTRIES: "audit log",
    protocol.AUDIT_HASH: "a digest",
    protocol.STOPPED: "that its budget is spent",
    protocol.CUT_SHORT: "that too many of its rounds were cut short",
    protocol.FIGURES: "what it spent where its policy has that told",
    protocol.ENTRY: "keys of the run",
    protocol.SIGNATURE: "signatures",
    protocol.CONTEXT: "a digest",
    protocol.COMMITMENT: "shares",
    protocol.SHARES: "shares",
    protocol.SEEDS: "seeds of masks",
    protocol.CLASSES: None,
    protocol.ENCODER: None,
    protocol.FEATURES: None,
    protocol.MISSING: None,  # always empty
    protocol.VALIDATION_EXAMPLES: None,  # always 0
    protocol.VALIDATION_SPEAKERS: None,
}
# Words of another adjacency: that a unit is there is public here, so no promise is made of it.
OTHER = re.compile(r"(add\w*|remov\w*)( to)? (or|and) (add\w*|remov\w*)|whose presence", re.IGNORECASE)
SAID_OF_OTHERS = {"common/privacy/accounting/accountants.py": 1}  # "the formulas are those for adding and removing one"


@pytest.mark.parametrize(
    ("unit", "shared"), [*((unit, False) for unit in UNITS), ("utterance", True), ("speaker", True)]
)
def test_all_that_a_site_may_tell_in_a_private_run_is_listed_as_public(unit: str, shared: bool) -> None:
    at_sites = UNITS[unit].at_sites
    words = (promise_shared(unit, 3, 4) if shared else promise(unit))["Public"]
    for kind in [kind for kind in schema.TYPES if kind not in schema.NOT_IN_PRIVATE]:
        for content, secure in (({}, False), ({}, True), ({protocol.CONFIG: {protocol.STOPPED: True}}, False)):
            scope = Scope(private=True, at_sites=at_sites, summed=shared, secure=secure)
            records = schema.reply_of_site(kind, scope, content).records
            told = {key for record in records.values() if record.kind != "ArrayRecord" for key in record.keys}
            for key in told:
                assert (phrase := WORDS[key]) is None or phrase in words, (kind, key)


@pytest.mark.parametrize("unit", UNITS)
def test_neighbours_differ_in_what_a_unit_contributes_and_joining_shows(unit: str) -> None:
    told = promise(unit)
    assert re.search(
        r"what one \w+ contributes.* place stays in both, and in one of them .*(contribut\w+)", told["Neighbours"]
    )
    assert "joins or leaves between two runs changes the numbers" in told["Public"]


def test_no_text_promises_that_a_unit_s_presence_is_hidden() -> None:
    found: dict[str, int] = {}
    for ring in ("client", "common", "server", "simulations", "docker", "docs"):
        for path in (ROOT / ring).rglob("*"):
            if path.suffix in (".py", ".md", ".toml", ".j2"):
                text = " ".join(path.read_text(encoding="utf-8").split())
                if hits := len(OTHER.findall(text)):
                    found[path.relative_to(ROOT).as_posix()] = hits
    assert found == SAID_OF_OTHERS


PUBLIC = "taken as public: ε is of this run's own steps."
OPEN = "and it, or a model before it, was trained without privacy"


def made(entry: dict[str, Any], **known: Any) -> str:
    """What a result says whose folds started from a model of which this is known."""
    start = {"sha256": "ab" * 32, "private": True, "speakers": {"emodb": ["03"]}, "heard": [], **known}
    folds = [{**fold, "started_from": start} for fold in entry["folds"]]
    return started(Result.from_json({**entry, "folds": folds}))


def test_of_a_new_model_nothing_is_said() -> None:
    assert started(Result.from_json(result())) == ""


@pytest.mark.parametrize("private", [True, False])
def test_of_a_run_without_privacy_no_promise_is_said_to_end(private: bool) -> None:
    assert made(result(), private=private) == f"Started from the model of another run (SHA-256 {'ab' * 32})."


@pytest.mark.parametrize("private", [True, False])
def test_a_private_run_says_what_its_epsilon_is_not_of(private: bool) -> None:
    said = made(deployed_result(), private=private)
    assert PUBLIC in said
    assert (OPEN in said) is not private


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ([], None),
        (["03", "08"], "Fold 0 is NOT held out: that model was trained on 2 of its test speakers (03, 08)."),
        (None, "Fold 0: it is not known whether the score is held out"),
    ],
)
def test_a_score_that_is_not_held_out_is_said_to_be_none(heard: list[str] | None, words: str | None) -> None:
    said = made(result(), heard=heard)
    assert words in said if words else "Fold" not in said


def test_of_shared_noise_it_is_said_who_must_be_honest_and_against_whom() -> None:
    account = PrivacyAccount(
        unit="speaker",
        target_epsilon=8.0,
        max_grad_norm=1.0,
        accountant="prv",
        insecure_seed=False,
        sites={},
    )
    assert promised(account) == promise("speaker")
    words = promised(replace(account, honest=2))
    assert words["Trust"].startswith("Each site adds a part of the noise, and 2 parts together make it whole.")
    assert "If fewer than 2 such sites are honest, the noise is less than ε says." in words["Trust"]
    assert promise("speaker")["Trust"] not in words.values()
    assert words["Neighbours"] == promise("speaker")["Neighbours"]

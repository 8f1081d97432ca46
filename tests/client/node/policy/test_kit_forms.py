"""What a kit of each form makes of a run of each form, by the policy that a coordinator sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.node.policy.clauses import OutboundPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.privacy.recipe import private_settings
from server.federation.folder.kit_forms import OPEN, STRICT, KitForm

TEMPLATE = Path(__file__).parents[4] / "docker/site/policy.toml"
BUNDLE = "ab" * 32
FORMS = {"strict": STRICT, "open": OPEN}
EXACT = {"privacy.noise_multiplier": 1.0, "privacy.unit": "utterance"}

# By the run: what it sets, and the line that refuses it, of a strict and of an open kit.
NOT_PRIVATE = "the run is not private, the policy asks that it hides the utterance (privacy.unit)"
RUNS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "plain": ({}, NOT_PRIVATE, None),
    "private, below": ({"privacy.epsilon": 4.0}, None, None),
    "private, just within": ({"privacy.epsilon": 8.0}, None, None),
    "private, above": (
        {"privacy.epsilon": 8.5},
        "the run's ε is 8.5, the policy allows 8 (privacy.max_epsilon)",
        None,
    ),
    "private, far above": (
        {"privacy.epsilon": 50.0},
        "the run's ε is 50, the policy allows 8 (privacy.max_epsilon)",
        "the run's ε is 50, the policy allows 10 (privacy.max_epsilon)",
    ),
    "private for people": (
        {"privacy.epsilon": 8.0, "privacy.unit": "speaker"},
        "the run hides the speaker, the policy asks that it hides the utterance (privacy.unit)",
        None,
    ),
    "private for sites": (
        {"privacy.epsilon": 8.0, "privacy.unit": "site"},
        "the run hides the site, the policy asks that it hides the utterance (privacy.unit)",
        None,
    ),
    "noise that is fixed": (EXACT, None, None),
    "noise that is fixed too low": (
        EXACT | {"privacy.noise_multiplier": 0.4},
        *2 * ("the run's noise is 0.4, the policy asks for 0.5 (privacy.min_noise_multiplier)",),
    ),
    "a seed for the noise": (
        {"privacy.epsilon": 8.0, "privacy.insecure_seed": True},
        *2 * ("the run's noise comes from its seed, and can be replayed (privacy.allow_insecure_seed)",),
    ),
    "a large chance to fail": (
        {"privacy.epsilon": 8.0, "privacy.delta": 1e-3},
        *2 * ("the run's δ is 0.001, the policy allows 0.0001 (privacy.max_delta)",),
    ),
}


def kits_policy(folder: Path, form: KitForm) -> Policy:
    text = TEMPLATE.read_text()
    for mark, value in {"@BUNDLE@": BUNDLE, "@CLASSES@": '"anger", "neutral"', **form.texts()}.items():
        text = text.replace(mark, value)
    assert "@" not in text
    assert text.splitlines()[0] == f"# {form.allows}"
    path = folder / "policy.toml"
    path.write_text(text)
    return Policy.read(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("run", RUNS)
def test_what_is_refused_and_by_which_line(tmp_path: Path, form: str, run: str) -> None:
    settings, *lines = RUNS[run]
    config = Config().with_values(private_settings({"data.classes": ["anger", "neutral"], **settings}))
    assert kits_policy(tmp_path, FORMS[form]).refusal(BUNDLE, config) == lines[list(FORMS).index(form)]


def test_a_strict_kit_is_what_its_first_line_says(tmp_path: Path) -> None:
    policy = kits_policy(tmp_path, STRICT)
    assert policy.privacy == PrivacyPolicy(unit="utterance", max_epsilon=8.0, budget=16.0)
    assert policy.outbound == OutboundPolicy(allow_test=False)
    for word in ("STRICT", "each recording", "at most 8", "16 in all runs", "scores nobody"):
        assert word in STRICT.allows
    config = {protocol.AUDIT_ENTRIES: 0}
    assert "which the policy does not allow" in str(policy.message_refusal(protocol.EVALUATE_TEST, config))


def test_an_open_kit_says_that_runs_need_not_be_private() -> None:
    for word in ("OPEN", "WITHOUT PRIVACY", "nothing bounds"):
        assert word in OPEN.allows

from __future__ import annotations

import dataclasses
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client.node.policy.document import Policy
from common import protocol
from common.config.kinds import KINDS
from common.config.run_config import parse_run_config
from common.config.settings import Config, flatten
from common.corpora import emodb
from common.errors import UsageError
from server.federation.folder.kit_forms import OPEN

ROOT = Path(__file__).parents[4]
BUNDLE = "ab" * 32
SAFE = {"data.normalise": "utterance", "data.validation": "none", "training.class_weights": False}
PRIVATE = {"privacy.epsilon": 4.0, **SAFE}
LEVELS = {"model.kind": "crnn3d", "features.log_mel": 40, "features.deltas": 2}


def policy(tmp_path: Path, text: str = "") -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(f'[bundle]\nhashes = ["{BUNDLE}"]\n{text}')
    return Policy.read(path)


def settings(**more: Any) -> dict[str, Any]:
    """A run config, as Flower hands it on: flat, with the paths that mean nothing at a site."""
    own = {name.replace("__", "."): value for name, value in more.items()}
    return {**flatten(Config()), **dict.fromkeys(protocol.RUN_KEYS, ""), **own}


def refusal(own: Policy, run: dict[str, Any], bundle: str = BUNDLE) -> str | None:
    return own.refusal(bundle, parse_run_config(run))


def test_an_open_kits_policy_is_the_defaults(tmp_path: Path) -> None:
    template = (ROOT / "docker/site/policy.toml").read_text()
    assert template.count("@BUNDLE@") == 1
    path = tmp_path / "policy.toml"
    text = template.replace("@BUNDLE@", BUNDLE).replace("@CLASSES@", "")
    for mark, value in OPEN.texts().items():
        text = text.replace(mark, value)
    path.write_text(text)
    kit, own = Policy.read(path), policy(tmp_path)
    assert kit == dataclasses.replace(own, run=dataclasses.replace(own.run, max_memory=3.0))  # its trainer has 4 GB
    lines = [line.partition(" ")[0] for line in template.splitlines() if " = " in line and line[0] not in "#["]
    default = Policy()
    named = {key for section in vars(default).values() for key in vars(section)}
    assert {line for line in lines if not line.startswith('"')} == named - {"bounds"}
    assert {line.strip('"') for line in lines if line.startswith('"')} == set(default.run.bounds)


def test_a_policy_without_a_bundle_allows_nothing() -> None:
    reason = refusal(Policy(), settings())
    assert reason == f"the bundle is {BUNDLE}, none of the 0 that are allowed (bundle.hashes)"


def test_an_ordinary_run_is_allowed(tmp_path: Path) -> None:
    own = policy(tmp_path)
    assert refusal(own, settings()) is None
    assert refusal(own, settings(**SAFE, **{"privacy.epsilon": "8"})) is None
    assert refusal(own, settings(), "cd" * 32) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[bundel]\n", "the section is 'bundel', .*did you mean bundle"),
        ("[run]\nhour = ''\n", r"the key in \[run\] is 'hour', .*did you mean hours"),
        ("[run]\nhours = '20-6'\n", "run.hours is '20-6', expected e.g. 20:00-06:00"),
        ("[run]\nhours = '06:00-06:00'\n", "run.hours is '06:00-06:00'"),
        ("[run]\nmax_rounds = 'many'\n", "run.max_rounds is 'many', expected a whole number"),
        ("[run]\nmax_rounds = true\n", "run.max_rounds is True, expected a whole number"),
        ("[run.bounds]\n'training.local_epoch' = [1, 2]\n", "did you mean training.local_epochs"),
        ("[run.bounds]\n'training.local_epochs' = [2, 1]\n", r"expected \[least, greatest\]"),
        ("[run.bounds]\n'training.local_epochs' = ['few']\n", r"expected \[least, greatest\]"),
        ("[run.bounds]\n'training.local_epochs' = 3\n", r"expected \[least, greatest\]"),
        ("[run.bounds]\n'federation.strategy' = [1, 2]\n", "expected a list of texts"),
        ("[run.bounds]\n'data.strict' = ['yes']\n", "expected true or false"),
        ("[privacy]\nunit = 'speakers'\n", "did you mean speaker"),
        ("[privacy]\nmax_epsilon = 0\n", "privacy.max_epsilon is 0.0"),
        ("[privacy]\nmax_epsilon = nan\n", "privacy.max_epsilon is nan"),
        ("[privacy]\nreport_epsilon = 1\n", "privacy.report_epsilon is 1, expected true or false"),
        ("[data]\nmin_speakers = 0\n", "data.min_speakers is 0"),
        ("[outbound]\nmax_bytes_round = 0\n", "outbound.max_bytes_round is 0"),
        (
            "[aggregation]\nsecure = 'always'\n",
            "aggregation.secure is 'always', expected one of",
        ),
        ("[aggregation]\nsecure = 'required'\n", 'aggregation.peers names no file, expected e.g. "roster.toml"'),
        (
            "[aggregation]\npeers = 'roster.toml'\n",
            "roster.toml: No such file or directory; expected the roster",
        ),
        ("[aggregation]\nleast_sites = 2\n", "aggregation.least_sites is 2"),
        ("[aggregation]\nlargest_share = 1.5\n", "aggregation.largest_share is 1.5"),
        ("[aggregation]\nmax_update = 4\n", "aggregation.max_update is 4"),
        ("[aggregation]\nmax_norm = inf\n", "aggregation.max_norm is inf"),
        ("[outbound\n", "is not TOML"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        policy(tmp_path, text)
    assert "policy.toml" in str(caught.value)


def test_hashes_and_a_section_must_be_of_their_form(tmp_path: Path) -> None:
    for text in ("[bundle]\nhashes = ['@BUNDLE@']\n", "[bundle]\nhashes = 'x'\n", "run = 3\n"):
        (tmp_path / "policy.toml").write_text(text)
        with pytest.raises(UsageError):
            Policy.read(tmp_path / "policy.toml")
    with pytest.raises(UsageError, match=r"none.toml: No such file or directory; expected the site's policy"):
        Policy.read(tmp_path / "none.toml")


def test_bounds_add_to_the_defaults(tmp_path: Path) -> None:
    own = policy(tmp_path, "[run.bounds]\n'training.local_epochs' = [1, 3]\n'federation.strategy' = ['fedavg']\n")
    assert str(own.run.bounds["training.batch_size"]) == "(1, 1024)"
    assert refusal(own, settings(training__local_epochs=3)) is None
    found = refusal(own, settings(training__local_epochs=4))
    assert found == "the run sets training.local_epochs to 4, the policy allows 1 to 3 (run.bounds)"
    assert refusal(own, settings(federation__strategy="krum")) is not None
    assert refusal(own, settings(training__batch_size=1025)) is not None


def test_bounds_on_lists_and_truths(tmp_path: Path) -> None:
    text = "'data.classes' = ['anger', 'sadness']\n'features.windows' = [20, 30]\n'data.strict' = true\n"
    own = policy(tmp_path, f"[run.bounds]\n{text}[data]\nclasses = ['anger', 'sadness']\n")
    good = settings(data__classes="anger,sadness", data__strict=True)
    assert refusal(own, good) is None
    for bad in ({"data.classes": "anger,fear"}, {"features.windows": "25,50"}, {"data.strict": False}):
        assert refusal(own, good | bad) is not None


@pytest.mark.parametrize(
    "bad",
    [
        {"federation.rounds": 201},
        {"privacy.canaries": 5, **PRIVATE},
        {**SAFE, "privacy.epsilon": 10.5},
        {**SAFE, "privacy.noise_multiplier": 0.4},
        {**PRIVATE, "data.normalise": "speaker"},
        {**PRIVATE, "data.validation": "one"},
        {**PRIVATE, "training.class_weights": True},
        {"privacy.delta": 2e-4, **PRIVATE},
        {"privacy.insecure_seed": True, **PRIVATE},
    ],
)
def test_a_run_out_of_bounds_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    assert refusal(policy(tmp_path), settings() | PRIVATE) is None
    reason = refusal(policy(tmp_path), settings() | bad)
    assert reason
    assert "\n" not in reason


NUMBERS = [name for name, value in flatten(Config()).items() if type(value) in (int, float)]
WORK = [
    *(name for name in NUMBERS if name.startswith(("features.", "augment.", "model."))),
    *("training.local_epochs", "training.batch_size", "federation.rounds"),
    *("privacy.multiplicity", "privacy.max_physical_batch", "privacy.canaries"),
]


@pytest.mark.parametrize(("bound", "allowed"), [("[0, 64]", "0 to 64"), ("[128, 256]", "")])
def test_what_an_encoder_may_be_can_be_bounded(tmp_path: Path, bound: str, allowed: str) -> None:
    own = policy(tmp_path, f"[run.bounds]\n'encoder.components' = {bound}\n")
    asked = settings() | {"encoder.components": 128, "data.normalise": "public"}
    refused = own.refusal(BUNDLE, parse_run_config(asked))
    line = f"the run sets encoder.components to 128, the policy allows {allowed} (run.bounds)"
    assert (refused == line) == bool(allowed)


def test_no_folder_of_a_site_is_mixed_into_its_recordings_unless_it_says_so(tmp_path: Path) -> None:
    own, asked = policy(tmp_path), settings() | {"augment.noise_recordings": "/data", "augment.noise": "0,25"}
    refused = str(own.refusal(BUNDLE, parse_run_config(asked)))
    assert refused == "the run sets augment.noise_recordings to '/data', the policy allows nothing (run.bounds)"


def fault(own: Policy, name: str, value: float) -> str:
    """Why a run with a setting is not carried out here: it can't be so at all, or the policy does not allow it."""
    try:
        run = parse_run_config(settings() | {name: value})
    except UsageError as error:
        return str(error)
    return str(own.refusal(BUNDLE, run))


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("most", [10**9, 10**6])
def test_whatever_makes_work_at_a_site_has_a_bound(tmp_path: Path, name: str, most: int) -> None:
    assert re.search(
        rf"{name} (is|to) {most}(\.0)?, (expected|the policy allows)|run.max_rounds",
        fault(policy(tmp_path), name, most),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features.sampling_rate", 96_000),
        ("features.hop", 1),
        ("features.log_mel", 256),
        ("features.stack", 100),
        ("augment.copies", 100),
        ("model.projection", 100_000),
        ("model.hidden", 100_000),
        ("model.attention", 100_000),
        ("privacy.multiplicity", 1000),
        ("privacy.max_physical_batch", 10**6),
    ],
)
def test_the_most_that_a_setting_can_be_is_more_than_a_kit_allows(tmp_path: Path, name: str, value: int) -> None:
    assert f"the run sets {name} to {value}, the policy allows " in fault(policy(tmp_path), name, value)


def test_a_feature_has_few_windows() -> None:
    with pytest.raises(UsageError, match=r"features.windows has 9, expected 1 to 8"):
        parse_run_config(settings(features__windows=",".join(["25"] * 9)))


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@pytest.mark.parametrize(("rate", "allowed"), [(2e-4, True), (1.9e-4, False), (1e-12, False)])
def test_a_message_asks_for_so_many_steps_at_most(tmp_path: Path, unit: str, rate: float, allowed: bool) -> None:
    """Two passes at a rate of 0.0002 are 10,000 steps: whoever starts a run could ask for a million million."""
    own = policy(tmp_path)
    run = settings() | PRIVATE | {"privacy.unit": unit, "privacy.sample_rate": rate, "training.local_epochs": 2}
    assert (refusal(own, run) is None) == allowed
    if not allowed:
        assert "the policy allows 10000 (run.max_steps_round)" in str(refusal(own, run))


@pytest.mark.parametrize(
    "bad", [{"training.local_epochs": "as many as you like"}, {"federation.rounds": math.nan}, {"no.such": 1}]
)
def test_settings_that_are_none_are_not_read(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        parse_run_config(settings() | bad)


@pytest.mark.parametrize(
    ("unit", "run", "allowed"),
    [
        ("speaker", {"privacy.unit": "speaker", **PRIVATE}, True),
        ("speaker", {"privacy.unit": "speaker"}, False),  # no noise: the unit alone hides nobody
        ("speaker", {"privacy.unit": "utterance", **PRIVATE}, False),
        ("utterance", {"privacy.unit": "site", **PRIVATE}, False),
        ("", {}, True),
    ],
)
def test_the_unit_that_the_policy_asks_for(tmp_path: Path, unit: str, run: dict[str, Any], allowed: bool) -> None:
    own = policy(tmp_path, f"[privacy]\nunit = '{unit}'\n")
    assert (refusal(own, settings() | run) is None) is allowed


@pytest.mark.parametrize(
    ("epsilon", "noise", "run", "allowed"),
    [
        ("5.0", "1.0", {"privacy.epsilon": 5.0}, True),
        ("5.0", "1.0", {"privacy.epsilon": 5.1}, False),
        ("5.0", "1.0", {"privacy.noise_multiplier": 1.0}, True),
        ("5.0", "1.0", {"privacy.noise_multiplier": 0.9}, False),
        ("5.0", "0", {"privacy.noise_multiplier": 50.0}, False),  # its ε is not known before the run
        ("inf", "1.0", {"privacy.epsilon": 0.1}, False),  # its noise is not
        ("inf", "0", {"privacy.epsilon": 1000.0}, True),
        ("inf", "0", {"privacy.noise_multiplier": 0.01}, True),
    ],
)
def test_a_private_run_is_judged_by_what_it_fixes(
    tmp_path: Path, epsilon: str, noise: str, run: dict[str, Any], allowed: bool
) -> None:
    own = policy(tmp_path, f"[privacy]\nmax_epsilon = {epsilon}\nmin_noise_multiplier = {noise}\n")
    assert (refusal(own, settings() | SAFE | run) is None) is allowed


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("20:00-06:00", ["20:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "19:59"]),
        ("08:30-17:00", ["08:30", "16:59"], ["08:29", "17:00", "00:00"]),
        ("", ["00:00", "12:00", "23:59"], []),
    ],
)
def test_the_hours_of_the_day(tmp_path: Path, hours: str, open_at: list[str], closed_at: list[str]) -> None:
    own = policy(tmp_path, f"[run]\nhours = '{hours}'\n")
    for time in [*open_at, *closed_at]:
        now = datetime.strptime(f"2026-11-03 {time}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        assert (own.message_refusal(protocol.HELLO, {}, now) is None) == (time in open_at)
    assert refusal(own, settings()) is None  # the hour is not the run's fault
    assert own.message_refusal(protocol.HELLO, {}) is None


def test_messages_of_a_round_are_allowed(tmp_path: Path) -> None:
    own = policy(tmp_path)
    heads = {protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: "ab" * 32, protocol.AUDIT_ENTRIES: 0}
    asked = {protocol.ROUND: 200, protocol.PROXIMAL_MU: 0.01, protocol.RUN: "a-run.1", protocol.AUDIT_HASH: "", **heads}
    assert own.message_refusal(protocol.TRAIN, asked) is None
    assert own.message_refusal(protocol.EVALUATE, {protocol.ROUND: 0}) is None
    assert own.message_refusal(protocol.HELLO, {}) is None


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("query.shell", {}),
        ("train.extra", {protocol.ROUND: 1}),
        (protocol.TRAIN, {}),
        (protocol.TRAIN, {protocol.ROUND: 0}),
        (protocol.TRAIN, {protocol.ROUND: 201}),
        (protocol.TRAIN, {protocol.ROUND: -1}),
        (protocol.TRAIN, {protocol.ROUND: 1.5}),
        (protocol.TRAIN, {protocol.ROUND: True}),
        (protocol.TRAIN, {protocol.ROUND: 1, protocol.PROXIMAL_MU: 11.0}),
        (protocol.TRAIN, {protocol.ROUND: 1, protocol.PROXIMAL_MU: math.nan}),
        (protocol.TRAIN, {protocol.ROUND: 1, protocol.PROXIMAL_MU: "0.1"}),
        (protocol.TRAIN, {protocol.ROUND: 1, "learning-rate": 100.0}),
        (protocol.TRAIN, {protocol.ROUND: 1, protocol.RUN: "../../etc/passwd"}),
        (protocol.TRAIN, {protocol.ROUND: 1, protocol.RUN: ["a", "b"]}),
        (protocol.PRIVACY, {protocol.RUN: "a", protocol.LEDGER_ENTRIES: "3"}),
        (protocol.PRIVACY, {protocol.RUN: "a", protocol.LEDGER_HASH: "x" * 64}),
    ],
)
def test_messages_out_of_bounds_are_refused(tmp_path: Path, kind: str, config: dict[str, Any]) -> None:
    reason = policy(tmp_path).message_refusal(kind, config)
    assert reason
    assert "\n" not in reason


def test_a_strangers_text_stays_short_and_in_its_line(tmp_path: Path) -> None:
    own = policy(tmp_path)
    for config in ({"a\nb" * 1000: 1}, {protocol.RUN: "x\n" * 10_000}):
        reason = own.message_refusal(protocol.HELLO, config)
        assert reason
        assert "\n" not in reason
        assert len(reason) < 300


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("allow_statistics", protocol.STATISTICS),
        ("allow_class_counts", protocol.CLASSES_HELD),
        ("allow_validation", protocol.EVALUATE),
        ("allow_validation", protocol.EVALUATE_CONFIDENCE),
        ("allow_test", protocol.EVALUATE_TEST),
    ],
)
def test_a_type_that_the_site_does_not_answer(tmp_path: Path, key: str, kind: str) -> None:
    assert policy(tmp_path, f"[outbound]\n{key} = true\n").message_refusal(kind, {}) is None
    reason = policy(tmp_path, f"[outbound]\n{key} = false\n").message_refusal(kind, {})
    assert reason == f"the server asks for {kind}, which the policy does not allow (outbound)"


@pytest.mark.parametrize(
    ("bound", "allowed"), [("true", ["own"]), ("false", ["none"]), ("['pooled', 'true']", ["own", "pooled"])]
)
def test_a_bound_in_an_earlier_spelling_bounds_what_it_did(tmp_path: Path, bound: str, allowed: list[str]) -> None:
    own = policy(tmp_path, f"[run.bounds]\n'training.class_weights' = {bound}\n")
    for value in ("own", "pooled", "none"):
        reason = refusal(own, settings(training__class_weights=value))
        assert (reason is None) == (value in allowed)


def test_a_run_has_the_classes_and_the_style_that_the_site_says(tmp_path: Path) -> None:
    own = policy(tmp_path, "[data]\nclasses = ['neutral', 'Ang']\nstyle = 'scripted'\n")
    assert refusal(own, settings(data__classes="anger,neutral", data__style="scripted")) is None
    for odd in (
        {"data__classes": "anger,sadness"},
        {"data__classes": "anger"},
        {"data__classes": "anger,neutral,fear"},
    ):
        reason = refusal(own, settings(data__style="scripted", **odd))
        assert "the policy allows anger, neutral (data.classes)" in str(reason)
    for style in ("", "improvised"):
        reason = refusal(own, settings(data__classes="anger,neutral", data__style=style))
        assert "the policy allows scripted (data.style)" in str(reason)


def test_without_classes_a_run_has_those_of_the_sites_corpus(tmp_path: Path) -> None:
    own = policy(tmp_path)
    every = ",".join(emodb.CLASSES)
    assert refusal(own.of_corpus("emodb"), settings(data__classes=every)) is None
    assert refusal(own.of_corpus("emodb"), settings(data__classes="anger,neutral")) is not None
    assert refusal(own.of_corpus("manifest"), settings(data__classes=every)) is not None
    assert "only the corpus's own" in str(refusal(own, settings(data__classes=every)))
    with pytest.raises(UsageError, match="the corpus is 'emodbb'"):
        own.of_corpus("emodbb")


@pytest.mark.parametrize("text", ["classes = ['anger']", "classes = ['anger', 'ang']", "style = 'loud'"])
def test_classes_and_a_style_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"policy.toml: data\.(classes|style)"):
        policy(tmp_path, f"[data]\n{text}\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_run_of_every_kind_of_model_is_allowed_as_it_comes(tmp_path: Path, kind: str) -> None:
    figures = {"model.statistics": "means"} if KINDS[kind].figures_alone else {}
    run = flatten(Config().with_values({**SAFE, "privacy.epsilon": "4", "model.kind": kind, **figures}))
    assert refusal(policy(tmp_path), settings(**run)) is None


@pytest.mark.parametrize(
    "large",
    [
        {"model.kind": "bilstm", "model.hidden": 1024},
        {"model.kind": "transformer", "model.layers": 2, "privacy.max_physical_batch": 64},
        {"model.kind": "cnn1d", "model.hidden": 1024, "model.layers": 8},
        {**LEVELS, "privacy.max_physical_batch": 64},
        {"model.kind": "bilstm", "model.hidden": 512, "model.layers": 2},
        {"privacy.max_physical_batch": 1024, "model.hidden": 128},
        {"privacy.multiplicity": 32, "model.hidden": 512},
        {"privacy.max_seconds": 3600.0, "model.hidden": 128},
        {"features.windows": "5,10,20,25,40,80,160,200", "features.mfcc": 128, "features.hop": 5},
    ],
)
def test_a_private_run_that_may_take_too_much_memory_is_refused_by_its_settings(
    tmp_path: Path, large: dict[str, Any]
) -> None:
    own = policy(tmp_path)
    why = refusal(own, settings(**SAFE, **{"privacy.epsilon": "8", **large}))
    assert why is not None
    assert "the policy allows 16 (run.max_memory)" in why
    roomy = policy(tmp_path, "[run]\nmax_memory = 1e6")
    assert refusal(roomy, settings(**SAFE, **{"privacy.epsilon": "8", **large})) is None

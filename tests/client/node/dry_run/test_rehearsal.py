from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from client.node.dry_run import rehearsal
from client.node.dry_run.dry_report import Report, render
from client.node.policy.clauses import BundlePolicy
from client.node.policy.document import Policy
from client.node.site import kit
from client.node.site.code_check import installed_code
from client.node.site.node_settings import Address, NodeSettings, StateFolder
from common import protocol
from common.deployment.loopback import LOOPBACK
from common.errors import FedserError, UsageError
from common.flower import bundle
from common.privacy.ledger.account import Ledger
from common.secure import pinned_keys
from tests.client.node import kits
from tests.client.node.site.test_forget import spent
from tests.simulations import tiny

SMALL = {name: value for name, value in tiny.SMALL.items() if not name.startswith("data.")}


def run(folder: Path, policy: str = "", **more: Any) -> Report:
    """A dry run of a site with eight speakers; ``more`` are settings, with ``__`` for their dots."""
    about = kit.read(kits.make(folder / "kit", policy))
    data = folder / "data"
    if not data.exists():
        tiny.write(data)
    listen = Address(host=LOOPBACK, port=0)
    settings = NodeSettings(kit=about.folder, state=StateFolder(folder=folder / "state"), listen=listen, data=str(data))
    own = {name.replace("__", "."): value for name, value in more.items()}
    return rehearsal.dry_run(settings, about, {**SMALL, **own})


def shown(report: Report) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=120).print(render(report))
    return buffer.getvalue()


def test_it_shows_what_an_ordinary_run_takes(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report.refused is None
    assert [(outcome.type, outcome.when) for outcome in report.outcomes] == [
        (protocol.HELLO, "once"),
        (protocol.STATISTICS, "once"),
        (protocol.TRAIN, "each round"),
        (protocol.EVALUATE, "each round"),
        (protocol.EVALUATE_CONFIDENCE, "once"),
    ]
    hello, statistics, train, validation, confidence = report.outcomes
    told = hello.records["config"]
    assert (told["site"], told["num-examples"], told["speakers"], told["validation-speakers"]) == ("st-mary", 56, 7, 1)
    assert told["classes"] == list(tiny.CLASSES)
    assert statistics.records["arrays"]["total"] == {"dtype": "float64", "shape": [tiny.FEATURES]}
    assert train.records["arrays"]["classifier.bias"] == {"dtype": "float32", "shape": [4]}
    assert set(train.records["metrics"]) == {"num-examples", "loss", "seconds"}
    assert sum(validation.records["metrics"]["confusion"]) == 8
    sure = confidence.records["metrics"]
    assert sum(sure["right"]) + sum(sure["wrong"]) == sure["num-examples"] == 8
    assert len(sure["losses"]) == 16
    assert report.bytes_round == train.bytes + validation.bytes > 5000
    assert report.privacy is None
    assert not (tmp_path / "state").exists()
    text = shown(report)
    assert "arrays/classifier.bias" in text
    assert "what the model tells of its people has no bound" in text
    assert "2 rounds, at most as many again, in which the validation speakers' recordings train too" in text
    assert "as many again" not in shown(run(tmp_path / "once", federation__refit=False))


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_a_private_run_costs_what_it_says_and_the_ledger_is_a_copy(tmp_path: Path, unit: str) -> None:
    ledger = spent(StateFolder(folder=tmp_path / "state"))
    before = {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    more: dict[str, Any] = {
        "privacy__unit": unit,
        "privacy__epsilon": 8.0,
        "privacy__delta": 1e-4,
        "federation__rounds": 3,
    }
    report = run(tmp_path, **more)
    assert [outcome.type for outcome in report.outcomes] == [protocol.HELLO, protocol.TRAIN, protocol.PRIVACY]
    train = report.outcomes[1]
    assert set(train.records["metrics"]) == {"num-examples"}
    assert train.records["config"]["ledger-entries"] > Ledger(ledger.path).head().entries
    assert report.privacy is not None
    assert report.privacy["epsilon_round"] < report.privacy["epsilon_run"] <= 8.0
    assert report.privacy["epsilon_run"] > 7.5
    assert report.privacy["epsilon_before"] > 0  # by steps that hid the speaker, and so each recording
    assert report.privacy["budget_unit"] == unit
    assert "null" in report.outcomes[2].records["config"]["figures"]  # report_epsilon is false
    assert {path: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()} == before
    assert f"ε for each of {8 if unit == 'speaker' else 64} {unit}s" in shown(report)


def test_a_budget_that_is_spent_shows(tmp_path: Path) -> None:
    spent(StateFolder(folder=tmp_path / "state"))
    policy = "[privacy]\nbudget = 0.01\n"
    report = run(tmp_path, policy, privacy__unit="speaker", privacy__epsilon=8.0, privacy__delta=1e-4)
    assert report.privacy is not None
    assert report.privacy["stopped"] is True
    assert report.outcomes[1].records["config"]["stopped"] is True
    assert "arrays" not in report.outcomes[1].records
    assert "refuses the first round" in shown(report)


@pytest.mark.parametrize(("unit", "delta", "why"), [("utterance", 1e-4, "hides the utterance"), ("speaker", 1e-5, "δ")])
def test_a_run_that_the_budget_cannot_count_takes_nothing(tmp_path: Path, unit: str, delta: float, why: str) -> None:
    spent(StateFolder(folder=tmp_path / "state"))
    more: dict[str, Any] = {"privacy__unit": unit, "privacy__epsilon": 8.0, "privacy__delta": delta}
    report = run(tmp_path, "[privacy]\nbudget = 50\n", **more)
    assert report.refused is not None
    assert why in report.refused
    assert report.outcomes == []


def test_a_run_that_the_policy_refuses_takes_nothing(tmp_path: Path) -> None:
    report = run(tmp_path, "[privacy]\nunit = 'speaker'\n[run]\nhours = '03:00-03:01'\n")
    assert report.refused == "the run is not private, the policy asks that it hides the speaker (privacy.unit)"
    assert report.outcomes == []
    assert "nothing leaves: the run is not private" in shown(report)
    assert run(tmp_path, "[run]\nhours = '03:00-03:01'\n").refused is None  # the hour is not the run's fault


def test_it_says_which_code_answered_and_whether_that_is_allowed(tmp_path: Path) -> None:
    other = run(tmp_path / "other")
    assert (other.bundle, other.bundle_allowed) == (bundle.digest(bundle.build()), False)
    said = " ".join(shown(other).split())
    assert f"NOT THE ALLOWED CODE: what is installed here is the bundle {other.bundle}" in said
    policy = tmp_path / "own/kit/policy.toml"
    kits.make(policy.parent)
    own = Policy.read(policy)
    assert installed_code(own) == (other.bundle, False)
    allowed = replace(own, bundle=BundlePolicy(hashes=(kits.BUNDLE, str(other.bundle))))
    assert installed_code(allowed) == (other.bundle, True)
    said = " ".join(shown(replace(other, bundle_allowed=True)).split())
    assert f"the bundle {other.bundle}, which the policy allows" in said
    assert "files of the bundle are not installed here" in shown(replace(other, bundle=None))


def test_a_policy_without_a_bundle_says_so(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "kit/policy.toml").write_text("")
    about = kit.read(tmp_path / "kit")
    listen = Address(host=LOOPBACK, port=0)
    settings = NodeSettings(
        kit=about.folder, state=StateFolder(folder=tmp_path / "state"), listen=listen, data=str(tmp_path / "data")
    )
    assert rehearsal.dry_run(settings, about, SMALL).refused == "the policy allows no bundle (bundle.hashes)"


def test_what_the_gate_or_the_policy_keeps_is_named(tmp_path: Path) -> None:
    few = run(tmp_path, "[data]\nmin_speakers = 8\n").outcomes
    assert {item.refused for item in few} == {
        "there are 7 speakers to train on, the policy asks for 8 (data.min_speakers)"
    }
    policy = "[outbound]\nallow_validation = false\nmax_bytes_round = 2000\n"
    refused = {outcome.type: outcome.refused for outcome in run(tmp_path, policy).outcomes}
    assert "which the policy does not allow" in str(refused[protocol.EVALUATE])
    assert "which the policy does not allow" in str(refused[protocol.EVALUATE_CONFIDENCE])
    assert "bytes would have left in a round, the policy allows 2000" in str(refused[protocol.TRAIN])
    assert refused[protocol.STATISTICS] is None


def test_class_counts_are_shown_where_a_run_pools_them_and_refused_where_the_policy_does_not_let_them_leave(
    tmp_path: Path,
) -> None:
    shut = {outcome.type: outcome for outcome in run(tmp_path, training__class_weights="pooled").outcomes}
    assert "which the policy does not allow" in str(shut[protocol.CLASSES_HELD].refused)
    report = run(tmp_path, "[outbound]\nallow_class_counts = true\n", training__class_weights="pooled")
    own = {outcome.type: outcome for outcome in report.outcomes}
    assert sum(own[protocol.CLASSES_HELD].records["metrics"]["counts"]) == 56
    assert own[protocol.TRAIN].refused is None


def test_noise_that_is_fixed_too_low_for_the_policys_epsilon_is_told(tmp_path: Path) -> None:
    fixed: dict[str, Any] = {"privacy__noise_multiplier": 0.6, "privacy__delta": 1e-4, "federation__rounds": 50}
    with pytest.raises(FedserError, match=r"^the app fails on train: .* come to ε = [\d.]+, at most 10 is allowed"):
        run(tmp_path, **fixed)
    assert run(tmp_path, "[privacy]\nmax_epsilon = inf\nmin_noise_multiplier = 0\n", **fixed).privacy is not None


def test_behind_masks_both_are_shown_what_leaves_and_what_is_behind(tmp_path: Path) -> None:
    kept = tmp_path / "kit" / "roster.toml"
    kept.parent.mkdir()
    kept.write_text(pinned_keys.text_of({"charite": "ecdsa-sha2-nistp384 AAAA"}))
    pinned = '[aggregation]\nsecure = "required"\npeers = "roster.toml"\n'
    plain, report = run(tmp_path / "plain"), run(tmp_path, pinned, federation__secure=True)
    assert report.refused is None
    assert [outcome.refused for outcome in report.outcomes] == [None] * 5
    train = report.outcomes[2]
    assert set(train.records) == {"masked", "secure", "config"}
    assert train.records["masked"]["words"]["dtype"] == "uint32"
    assert train.behind["arrays"] == plain.outcomes[2].records["arrays"]
    assert report.outcomes[0].behind == {}  # how much there is, is public
    assert report.bytes_round == train.bytes > 4000  # nothing else leaves each round
    assert "behind the masks, of which the coordinator sees the sum over the sites:" in shown(report)
    assert not (tmp_path / "state").exists()
    refused = run(tmp_path, pinned)
    assert refused.refused is not None
    assert "(aggregation.secure)" in refused.refused


def test_a_setting_that_would_tell_beside_the_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--normalise speaker would tell of other utterances"):
        run(tmp_path, privacy__epsilon=8.0, data__normalise="speaker")


def test_an_app_that_fails_says_why_to_its_own_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise FedserError("/data/patient_0042.wav is cut short")

    monkeypatch.setattr("client.app.train", broken)
    with pytest.raises(FedserError, match=r"^the app fails on train: /data/patient_0042.wav is cut short$"):
        run(tmp_path)


def test_what_a_strategy_sends_beside_the_model_is_shown_and_nothing_is_kept(tmp_path: Path) -> None:
    report = run(tmp_path, federation__strategy="scaffold")
    [train] = [outcome for outcome in report.outcomes if outcome.type == protocol.TRAIN]
    assert train.refused is None
    assert train.records["control"] == train.records["arrays"]  # types and shapes
    assert not (tmp_path / "state").exists()


def test_words_are_learnt_where_the_site_allows_it_and_no_text_leaves(tmp_path: Path) -> None:
    refused = run(tmp_path, text__buckets=64).refused
    assert refused is not None
    assert "text.buckets to 64, the policy allows 0 to 0" in refused
    manifest = tiny.write(tmp_path / "allowed/data")
    header, *rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join([f"{header},text", *(f"{row},nevermore" for row in rows)]) + "\n")
    report = run(tmp_path / "allowed", "[run.bounds]\n'text.buckets' = [0, 64]\n", text__buckets=64)
    assert {outcome.refused for outcome in report.outcomes} == {None}
    train = next(outcome for outcome in report.outcomes if outcome.type == protocol.TRAIN)
    assert train.records["arrays"]["words.weight"] == {"dtype": "float32", "shape": [4, 64]}
    assert "nevermore" not in repr(report) + shown(report)

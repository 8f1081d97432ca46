from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from client.deployed import open_deployed
from common import protocol
from common.config.settings import Config, flatten
from common.curation.selection import list_corpus
from common.errors import CorpusError, FederationError, FedserError, UsageError
from common.features.encoded import settle
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.recipe import private_settings
from common.spelling import near
from common.storage.chained_file import Chain
from simulations.synthesis.corpus import synthesize
from tests.client import deployment
from tests.client.deployment import SITES, deal, node, run_deployed
from tests.common.encoders.hub_folders import whisper
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tiny.write(tmp_path / "corpus", speakers=24, each=1, test=(0, 5))
    deal(path, tmp_path)
    return path


def settings(**more: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values({**tiny.SMALL, "data.held_out": "", "data.classes": list(tiny.CLASSES), **own})


@pytest.mark.parametrize("strategy", [pytest.param("fedavg", marks=pytest.mark.slow), "scaffold"])
def test_a_deployment_trains_the_model_that_a_simulation_trains(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    own: dict[str, Any] = {"federation__strategy": strategy}
    whole = run(job(manifest, tmp_path / "sim", data__sites="column", data__held_out="split", **own))
    monkeypatch.setattr(deployment, "client", deployment.gated)
    nodes = [node(tmp_path, site, **{protocol.NODE_TEST_SPEAKERS: True}) for site in SITES]
    fold = run_deployed(tmp_path, settings(**own), monkeypatch, nodes=nodes)
    simulated = safetensors.numpy.load_file(tmp_path / "sim/model.safetensors")
    deployed = safetensors.numpy.load_file(tmp_path / "home/runs/one/model.safetensors")
    assert simulated.keys() == deployed.keys()
    for name, array in simulated.items():
        np.testing.assert_allclose(deployed[name], array, rtol=0, atol=1e-7)
    assert fold["test"]["uar"] == whole["folds"][0]["test"]["uar"]
    assert fold["test"]["confusion"] == whole["folds"][0]["test"]["confusion"]
    fitted, simulated_fit = fold["calibration"], whole["folds"][0]["calibration"]
    assert fitted["temperature"] == pytest.approx(simulated_fit["temperature"], rel=1e-4)
    assert fitted["bins"] == simulated_fit["bins"]


def test_a_deployed_site_keeps_its_state_beside_the_ledger_until_the_farewell(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(federation__strategy="scaffold")
    seen: list[tuple[str, ...]] = []

    def look(*rest: Any) -> None:
        seen.extend(path.relative_to(tmp_path).parts[:3] for path in tmp_path.glob("s?/strategy/**/*.safetensors"))
        raise KeyboardInterrupt

    monkeypatch.setattr("server.app.say_farewell", look)
    with pytest.raises(KeyboardInterrupt):
        run_deployed(tmp_path, own, monkeypatch)
    assert set(seen) == {(site, "strategy", f"site-{site}") for site in SITES}
    monkeypatch.undo()
    fold = run_deployed(tmp_path, own, monkeypatch)  # gone on with: the site's states are where they were
    assert fold["refit"]
    assert not list(tmp_path.glob("s?/strategy"))


def test_it_counts_speakers_and_names_none(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = run_deployed(tmp_path, settings(), monkeypatch)
    assert fold["train_speakers"] == {"s0": 4, "s1": 4, "s2": 5, "s3": 5}
    assert fold["validation_speakers"] == dict.fromkeys(SITES, 1)
    assert fold["rounds"][0]["sites"]["s0"]["bytes"] > 1000
    log = Chain(tmp_path / "home/runs/one/audit.jsonl").read()
    assert [line["kind"] for line in log] == ["start", *["round"] * (2 + fold["chosen_round"])]
    assert log[1]["model_out"] == log[2]["model_in"] != log[1]["model_in"]
    assert set(log[1]["sites"]) == set(SITES)


def test_the_server_says_nothing_of_where_a_sites_data_lie(manifest: Path, tmp_path: Path) -> None:
    told = {**flatten(settings()), "data.root": "/etc", "data.corpus": "emodb", "ledger": "/etc", "cache": "/etc"}
    site = open_deployed(told, node(tmp_path, "s1"))
    assert site.config.data.root == str(tmp_path / "s1/manifest.csv")
    assert site.holding.ledger == tmp_path / "s1/ledger"


def test_a_site_listens_through_its_own_encoder_or_not_at_all(manifest: Path, tmp_path: Path) -> None:
    own, other = (whisper(tmp_path / name, positions=positions)[0] for name, positions in (("own", 750), ("b", 760)))
    given = {**tiny.SMALL, "data.held_out": "", "data.classes": list(tiny.CLASSES), "encoder.path": str(own)}
    asked = {**flatten(Config().with_values(settle(given))), "encoder.path": "/etc/passwd"}
    site = open_deployed(asked, node(tmp_path, "s1", **{protocol.NODE_ENCODER: str(own)}))
    assert site.config.features.encoder.path == str(own)
    with pytest.raises(UsageError, match=r"site\.toml names none; put its folder below the recordings"):
        open_deployed(asked, node(tmp_path, "s1"))
    with pytest.raises(UsageError, match="the model was trained with"):
        open_deployed(asked, node(tmp_path, "s1", **{protocol.NODE_ENCODER: str(other)}))
    heads = shutil.copytree(own, tmp_path / "heads")
    told = json.loads((heads / "config.json").read_text())
    (heads / "config.json").write_text(json.dumps(told | {"encoder_attention_heads": 2}))
    with pytest.raises(UsageError, match="its weights are the right ones, but its config"):
        open_deployed(asked, node(tmp_path, "s1", **{protocol.NODE_ENCODER: str(heads)}))
    with pytest.raises(
        UsageError, match=r"its layers, width and ms a frame are \(3, 32, 20\.0\), the settings say \(3, 9"
    ):
        open_deployed({**asked, "encoder.width": 99_999}, node(tmp_path, "s1", **{protocol.NODE_ENCODER: str(own)}))
    site = open_deployed(flatten(settings()), node(tmp_path, "s1", **{protocol.NODE_ENCODER: str(own)}))
    assert not site.config.features.encoder.on


def test_a_site_trains_in_no_private_run_that_would_tell_more(manifest: Path, tmp_path: Path) -> None:
    """Its own process refuses such a run by its policy; the app refuses it too."""
    with pytest.raises(UsageError, match=r"^--normalise running would tell of other utterances' recordings"):
        open_deployed(flatten(settings(privacy__epsilon=8.0)), node(tmp_path, "s1"))


def test_a_patient_who_withdraws_is_in_no_later_run(
    manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forgotten = tmp_path / "forgotten.json"
    before = open_deployed(flatten(settings()), node(tmp_path, "s2"))
    forgotten.write_text(json.dumps(["02"]))
    after = open_deployed(flatten(settings()), node(tmp_path, "s2", **{protocol.NODE_FORGOTTEN: str(forgotten)}))
    parts = [after.holding.train, after.holding.validation, after.holding.test]
    assert sum(before.speakers()) - sum(after.speakers()) == 1
    assert "02" not in {r.utterance.speaker for part in parts for r in part}
    assert not caplog.text
    forgotten.write_text(json.dumps(["02", "2", "P17"]))
    open_deployed(flatten(settings(seed=1)), node(tmp_path, "s2", **{protocol.NODE_FORGOTTEN: str(forgotten)}))
    assert "1 of the 3 forgotten speakers have no recording here" in caplog.text  # 2 may be 02
    assert "P17" not in caplog.text


def test_a_server_cant_have_a_site_read_what_lies_outside_its_folder(manifest: Path, tmp_path: Path) -> None:
    table = tmp_path / "s2/manifest.csv"
    table.write_text(table.read_text() + "/etc/passwd,anger,02,train\n")
    own = {protocol.NODE_DATA: str(tmp_path)}
    with pytest.raises(CorpusError, match=r"/etc/passwd lies outside .*, and so do 0 more"):
        open_deployed(flatten(settings(data__outside_root=True)), node(tmp_path, "s2", **own))


def test_a_sites_own_word_says_whether_ids_spelled_alike_are_one_person(manifest: Path, tmp_path: Path) -> None:
    """The server's word counts for nothing, and who withdrew is out under any spelling that may be the same."""
    table = tmp_path / "s2/manifest.csv"
    table.write_text(table.read_text().replace(",06,", ",6,", 3).replace(",10,", ",10.0,", 3))
    for told in ("", "merge", "distinct"):
        with pytest.raises(CorpusError, match=r"spelled alike: '06', '6'; '10', '10.0'; .* speaker_ids in site.toml"):
            open_deployed(flatten(settings(data__speaker_ids=told)), node(tmp_path, "s2"))
    (tmp_path / "gone.json").write_text(json.dumps(["6.0"]))
    for said, people, left in (("merge", 6, 5), ("distinct", 8, 8)):
        own = {protocol.NODE_SPEAKER_IDS: said}
        site = open_deployed(flatten(settings()), node(tmp_path, "s2", **own))
        assert sum(site.speakers()) == people
        parts = [{near(r.utterance.speaker) for r in p} for p in (site.holding.train, site.holding.validation)]
        assert said == "distinct" or not set.intersection(*parts)
        without = {**own, protocol.NODE_FORGOTTEN: str(tmp_path / "gone.json")}
        assert sum(open_deployed(flatten(settings()), node(tmp_path, "s2", **without)).speakers()) == left


def test_every_reply_tells_the_sites_own_gate_how_much_there_is(manifest: Path, tmp_path: Path) -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    for kind in (protocol.HELLO, protocol.STATISTICS):
        asked = Message(RecordDict({protocol.CONFIG: ConfigRecord()}), 1, kind)
        reply = app(asked, Context(1, 1, node(tmp_path, "s2"), RecordDict(), flatten(settings())))
        assert dict(reply.content[protocol.HELD]) == {protocol.RECORDINGS: 20, protocol.SPEAKERS: 5}


def test_a_list_of_forgotten_that_cannot_be_read_stops_the_site(manifest: Path, tmp_path: Path) -> None:
    forgotten = tmp_path / "forgotten.json"
    forgotten.write_text("[")
    with pytest.raises(FedserError, match=r"cannot be read .* mend it first, for it says who withdrew"):
        open_deployed(flatten(settings()), node(tmp_path, "s2", **{protocol.NODE_FORGOTTEN: str(forgotten)}))


def test_a_node_must_say_where_its_recordings_lie(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the node config has no 'root'"):
        open_deployed(flatten(settings()), node(tmp_path, "s2", root=""))


def test_a_site_under_anothers_name_costs_itself_its_place(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        fold = run_deployed(tmp_path, settings(), monkeypatch, names=("s0", "lausanne", "s2", "s3"))
    assert set(fold["train_speakers"]) == {"s0", "s2", "s3"}
    assert "lausanne does not take part: it calls itself s1, but its key is lausanne's" in caplog.text


def test_a_site_that_fails_is_left_out_where_enough_are_left(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [node(tmp_path, site) for site in SITES]
    nodes[2]["root"] = str(tmp_path / "patient_0042.csv")
    with caplog.at_level(logging.WARNING, "fedser.server"):
        fold = run_deployed(tmp_path, settings(), monkeypatch, nodes=nodes, quorum=3)
    assert set(fold["train_speakers"]) == {"s0", "s1", "s3"}
    server = [r.getMessage() for r in caplog.records if r.name == "fedser.server"]
    assert any("s2 does not take part" in line for line in server)
    assert not any("patient" in line for line in server)


def test_a_site_that_lacks_a_class_is_named(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s3/manifest.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "anger" not in line) + "\n")
    run_deployed(tmp_path, settings(federation__rounds=1), monkeypatch)
    assert "s3 has no recording of anger" in caplog.text
    with pytest.raises(FederationError, match=r"--strict: .*s3 has no recording of anger"):
        run_deployed(
            tmp_path / "again", settings(data__strict=True), monkeypatch, nodes=[node(tmp_path, s) for s in SITES]
        )


def test_a_site_keeps_what_it_spent_to_itself_and_holds_its_own_budget(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {name: value for name, value in tiny.SMALL.items() if name not in ("training.batch_size", "data.held_out")}
    asked = private_settings({**small, "privacy.epsilon": 8.0, "data.classes": list(tiny.CLASSES)})
    nodes = [node(tmp_path, site) for site in SITES]
    nodes[0][protocol.NODE_REPORT_EPSILON] = False
    nodes[1][protocol.NODE_BUDGET] = 2.0
    fold = run_deployed(tmp_path, Config().with_values(asked), monkeypatch, nodes=nodes)
    told = fold["privacy"]["sites"]
    assert all(told["s0"][name] is None for name in protocol.SPENT)
    assert told["s1"]["epsilon"] <= 2.0
    assert 7.5 < told["s2"]["epsilon"] <= 8.0
    live = [entry["sites"]["s2"]["epsilon"] for entry in fold["rounds"]]  # by RDP, while the run goes on
    assert live == sorted(live)
    assert live[-1] == pytest.approx(told["s2"]["epsilon_rdp"])
    assert all("epsilon" not in entry["sites"]["s0"] for entry in fold["rounds"])
    assert {entry["sites"]["s1"]["budget"] for entry in fold["rounds"] if "s1" in entry["sites"]} == {2.0}


def test_a_site_s_budget_is_for_the_unit_that_its_policy_names(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two sites hold steps that hid speakers: these count for each recording, or refuse a budget of another unit."""
    small = {name: value for name, value in tiny.SMALL.items() if name not in ("training.batch_size", "data.held_out")}
    asked = {**small, "data.classes": list(tiny.CLASSES), "federation.rounds": 1, "privacy.epsilon": 2.0}
    nodes = [node(tmp_path, site, **{protocol.NODE_BUDGET: 40.0}) for site in SITES]
    for site in ("s0", "s1"):
        ledger = Ledger.of_site(tmp_path / site / "ledger", site)
        ledger.begin("people", {"unit": "speaker", "sample_rate": 1.0, "noise_multiplier": 9.0, "delta": 1e-5})
        with ledger.round("people", 1) as entry:
            entry.reserve(Spend(unit="speaker", sample_rate=1.0, noise_multiplier=9.0, steps=4))
            entry.store(b"weights")
    nodes[0][protocol.NODE_BUDGET_UNIT] = "utterance"
    config = Config().with_values(private_settings({**asked, "privacy.unit": "utterance"}))
    fold = run_deployed(tmp_path, config, monkeypatch, nodes=nodes)
    told = fold["privacy"]["sites"]
    assert {own["budget_unit"] for own in told.values()} == {"utterance"}
    halved = Spend(unit="utterance", sample_rate=1.0, noise_multiplier=4.5, steps=4)
    own = Spend(unit="utterance", **{name: told["s0"][name] for name in ("sample_rate", "noise_multiplier", "steps")})
    assert told["s0"]["epsilon_total"] == pytest.approx(epsilon_rdp([halved, own], 1e-5))
    assert told["s0"]["epsilon"] <= 2.0
    assert set(fold["rounds"][0]["sites"]) == {"s0", "s2", "s3"}
    assert "the run hides the utterance, the ledger's budget is for each speaker" in caplog.text


def test_a_ledger_that_was_put_back_between_two_runs_is_not_spent_again(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With its replies, as a copy of the disk would bring it back: the coordinator remembers how far it was."""
    small = {name: value for name, value in tiny.SMALL.items() if name not in ("training.batch_size", "data.held_out")}
    asked = {**small, "privacy.epsilon": 8.0, "data.classes": list(tiny.CLASSES), "federation.rounds": 1}
    config = Config().with_values(private_settings(asked))
    nodes = [node(tmp_path, site) for site in SITES]
    for number in range(3):
        if number == 1:
            shutil.copytree(tmp_path / "s2/ledger", tmp_path / "copy")
        if number == 2:
            shutil.rmtree(tmp_path / "s2/ledger")
            shutil.copytree(tmp_path / "copy", tmp_path / "s2/ledger")
            assert "not the newest copy" not in caplog.text
        fold = run_deployed(tmp_path, config, monkeypatch, nodes=nodes)
        shutil.rmtree(tmp_path / "home/runs")
    assert "not the newest copy" in caplog.text
    assert set(fold["rounds"][0]["sites"]) == {"s0", "s1", "s3"}
    assert fold["privacy"]["sites"]["s2"]["epsilon"] is None


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iemocap")
    return synthesize(folder / "corpus", layout="iemocap", speakers=4, utterances=48, seed=0, workers=0)


@pytest.mark.parametrize(
    "classes", [("anger", "happiness", "neutral"), ("anger", "happiness", "excitement", "neutral")]
)
def test_a_class_means_at_a_site_what_it_means_to_the_coordinator(
    iemocap: Path, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    """IEMOCAP's happiness has the excitement too, unless excitement is a class beside it."""
    root = iemocap
    own = {
        "data.corpus": "iemocap",
        "data.root": str(root),
        "data.classes": list(classes),
        "data.held_out": "session:1",
    }
    wanted = Counter(u.emotion for u in list_corpus(Config().with_values(own).data).utterances)
    about = node(tmp_path, "s0", **{protocol.NODE_CORPUS: "iemocap", protocol.NODE_ROOT: str(root)})
    site = open_deployed(flatten(Config().with_values({"data.classes": list(classes)})), about)
    found = Counter(r.utterance.emotion for r in [*site.holding.train, *site.holding.validation, *site.holding.test])
    assert found == wanted


def test_a_strict_run_that_is_private_does_not_fail_for_a_broken_recording(manifest: Path, tmp_path: Path) -> None:
    """That it fails would tell that one of the site's recordings is broken; who is not private learns it."""
    next(iter(sorted((tmp_path / "s2").glob("*.npy")))).write_bytes(b"no matrix")
    with pytest.raises(FedserError, match="--strict: 1 recordings cannot be used"):
        open_deployed(flatten(settings(data__strict=True)), node(tmp_path, "s2"))
    private = Config().with_values(private_settings({**tiny.SMALL, "privacy.epsilon": 8.0, "data.strict": True}))
    told = flatten(private.with_values({"data.held_out": "", "data.classes": list(tiny.CLASSES)}))
    assert open_deployed(told, node(tmp_path, "s2")).recordings

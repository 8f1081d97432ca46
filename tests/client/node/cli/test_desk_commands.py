from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.node.audit import site_log
from client.node.audit.site_log import AuditLog
from common.cli import main
from common.flower import bundle
from common.secure import pinned_keys
from common.storage.chained_file import Chain
from tests.client.node import kits
from tests.simulations import tiny

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def site(*arguments: object) -> int:
    return main.run(["site", *map(str, arguments)])


def told(captured: Captured) -> Any:
    return json.loads(captured.readouterr().out)


def test_keygen_makes_a_key_once(tmp_path: Path, capsys: Captured) -> None:
    kit = kits.make(tmp_path / "kit")
    assert site("keygen", "--kit", kit) == 0
    line = (kit / "key.pub").read_text().strip()
    assert line in capsys.readouterr().out
    assert site("keygen", "--kit", kit) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1
    assert "not overwritten" in found.err
    assert (kit / "key.pub").read_text().strip() == line
    assert (kit / "key").stat().st_mode & 0o777 == 0o600


def test_keygen_needs_one_folder(tmp_path: Path, capsys: Captured) -> None:
    assert site("keygen", "--out", tmp_path) == 0
    assert (tmp_path / "key").exists()
    assert site("keygen") == 2
    assert site("keygen", "--kit", tmp_path, "--out", tmp_path) == 2
    assert site("keygen", "--kit", tmp_path) == 2  # no kit
    assert "site.toml" in capsys.readouterr().err


def test_bundle_compares_the_installed_code_with_the_policy(tmp_path: Path, capsys: Captured) -> None:
    kit, own = kits.make(tmp_path / "kit"), bundle.digest(bundle.build())
    assert site("bundle", "--kit", kit, "--json") == 1
    found = told(capsys)
    assert (found["bundle"], found["allowed"], found["hashes"]) == (own, False, [kits.BUNDLE])
    assert {file["path"] for file in found["files"]} > set(bundle.files())
    policy = tmp_path / "own.toml"
    policy.write_text(f'[bundle]\nhashes = ["{own}"]\n')
    assert site("bundle", "--policy", policy, "--source", bundle.ROOT) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"their bundle is {own}\nthe policy allows it\n")
    assert "  client/app.py\n" in out
    assert site("bundle", "--policy", policy, "--source", tmp_path) == 1
    assert "is not an installation of fedser" in capsys.readouterr().err
    assert site("bundle") == site("bundle", "--kit", kit, "--policy", policy) == 2


def test_the_roster_is_shown_before_it_is_pinned_and_after(tmp_path: Path, capsys: Captured) -> None:
    kit = kits.make(tmp_path / "kit")
    assert site("keygen", "--kit", kit) == 0
    own = (kit / "key.pub").read_text().strip()
    keys = {"st-mary": own, "charite": "ecdsa-sha2-nistp384 AAAA", "lausanne": "ecdsa-sha2-nistp384 BBBB"}
    kept = kit / "roster.toml"
    kept.write_text(pinned_keys.text_of(keys))
    capsys.readouterr()
    assert site("roster", "--kit", kit) == 2  # the policy names none
    assert "aggregation.peers" in capsys.readouterr().err
    assert site("roster", kept, "--kit", kit, "--json") == 0
    found = told(capsys)
    assert found == {
        "file": str(kept),
        "pinned": False,
        "digest": pinned_keys.spoken(keys),
        "sites": keys,
        "fault": None,
    }
    with (kit / "policy.toml").open("a") as file:
        file.write('[aggregation]\npeers = "roster.toml"\n')
    assert site("roster", "--kit", kit) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == pinned_keys.spoken(keys)
    assert shown[-1] == "the policy names this file"

    kept.write_text(pinned_keys.text_of(keys | {"st-mary": "ecdsa-sha2-nistp384 CCCC"}))
    assert site("roster", "--kit", kit) == 1
    assert f"NOT TO BE USED: it has another key of st-mary than {kit / 'key.pub'}" in capsys.readouterr().out
    kept.write_text(pinned_keys.text_of({"charite": own}))
    assert site("roster", "--kit", kit) == 1
    assert site("roster") == 2


def test_forget_says_what_it_does_and_what_it_does_not(tmp_path: Path, capsys: Captured) -> None:
    kit, data = kits.make(tmp_path / "kit"), tmp_path / "data"
    tiny.write(data)
    assert site("forget", "--kit", kit, "--speaker", "03", "--data", data) == 0
    out = capsys.readouterr().out
    assert "speaker 03 is forgotten; 1 in all" in out
    assert "8 recordings" in out
    assert "what this does: " in out
    assert "ε that was spent stays spent" in out
    assert json.loads((kit / "state/ledger/forgotten.json").read_text()) == ["03"]
    assert (kit / "state/ledger/st-mary.jsonl").stat().st_mode & 0o777 == 0o660  # the trainer's group writes on
    assert site("forget", "--kit", kit, "--speaker", "03") == 0
    out = capsys.readouterr().out
    assert "was forgotten before; 1 in all" in out
    assert "give --data FOLDER" in out


def test_a_misspelt_speaker_is_wrong_usage(tmp_path: Path, capsys: Captured) -> None:
    kit, data = kits.make(tmp_path / "kit"), tmp_path / "data"
    tiny.write(data)
    assert site("forget", "--kit", kit, "--speaker", "P3", "--data", data) == 2
    assert "is none of the 8 speakers" in capsys.readouterr().err
    assert not (kit / "state").exists()
    assert site("forget", "--kit", kit) == 2


def test_audit_verify(tmp_path: Path, capsys: Captured) -> None:
    log = AuditLog(tmp_path / "state/audit/audit.jsonl")
    log.add(site_log.START)
    head = log.add(site_log.STOP)
    assert site("audit", "verify", "--kit", tmp_path) == 0
    out = capsys.readouterr().out
    assert "sound: 2 lines (1 start, 1 stop)" in out
    assert head.hash in out
    assert site("audit", "verify", log.path, "--json") == 0
    assert told(capsys)["entries"] == 2
    log.path.write_bytes(log.path.read_bytes().replace(b'"start"', b'"stop"'))
    assert site("audit", "verify", log.path) == 1
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert "line 1 was edited" in found.err
    assert site("audit", "verify", log.path, "--json") == 1
    assert "line 1 was edited" in told(capsys)["fault"]
    assert site("audit", "verify") == 2
    assert site("audit", "verify", tmp_path / "none") == 1


def test_dry_run_prints_json_or_a_table(tmp_path: Path, capsys: Captured) -> None:
    kit, data = kits.make(tmp_path / "kit"), tmp_path / "data"
    tiny.write(data)
    (tmp_path / "small.toml").write_text("[model]\nhidden = 4\nprojection = 4\n[augment]\ncopies = 0\n")
    common = ("dry-run", "--kit", kit, "--data", data, "--config", tmp_path / "small.toml", "--rounds", 3)
    assert site(*common, "--json") == 0
    report = told(capsys)
    assert (report["site"], report["refused"], report["rounds"], report["privacy"]) == ("st-mary", None, 3, None)
    assert [outcome["type"] for outcome in report["outcomes"]][2] == "train"
    assert report["bytes_round"] == sum(o["bytes"] for o in report["outcomes"] if o["when"] == "each round")
    assert site(*common, "--strategy", "fedprox", "--classes", *reversed(tiny.CLASSES)) == 0
    out = capsys.readouterr().out
    assert "arrays/classifier.bias" in out
    assert "float32 [4]" in out
    assert site(*common, "--epsilon", "50") == 0
    assert "refuses such a run" in capsys.readouterr().out


def test_dry_run_without_recordings_fails_in_one_line(tmp_path: Path, capsys: Captured) -> None:
    kit = kits.make(tmp_path / "kit")
    assert site("dry-run", "--kit", kit, "--data", tmp_path / "none") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert site("dry-run", "--kit", kit) == 2


def test_audit_verify_holds_the_coordinators_log_against_the_sites(tmp_path: Path, capsys: Captured) -> None:
    log, theirs = AuditLog(tmp_path / "audit.jsonl"), tmp_path / "coordinator.jsonl"
    first = Chain(theirs).append("start", run="1")["hash"]
    log.add(site_log.IN, run=1, server=[first, 1, first])
    command = ("audit", "verify", log.path, "--coordinator", theirs)
    assert site(*command) == 0
    assert "its first 1 lines are those that this site was told of" in capsys.readouterr().out
    theirs.write_text("")
    assert site(*command) == 1
    said = capsys.readouterr()
    assert "sound: 1 lines" in said.out
    assert "told of no log" in said.err
    assert site(*command, "--json") == 1
    found = told(capsys)
    assert (found["fault"], found["told"]) == (None, 0)
    assert "told of no log" in found["coordinator_fault"]

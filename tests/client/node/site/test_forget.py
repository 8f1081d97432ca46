from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.node.audit.site_log import AuditLog, verify
from client.node.site import kit
from client.node.site.forget import DOES_NOT, forget, recordings_of
from client.node.site.kit import Kit
from client.node.site.node_settings import StateFolder
from common.config.settings import DataConfig
from common.errors import FedserError, UsageError
from common.privacy.accounting.accountants import Spend
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.statement import show
from tests.client.node import kits
from tests.simulations import tiny

TERMS = {"unit": "speaker", "sample_rate": 0.5, "noise_multiplier": 2.0, "delta": 1e-4}
STEPS = Spend(unit="speaker", sample_rate=0.5, noise_multiplier=2.0, steps=2)


@pytest.fixture
def about(tmp_path: Path) -> Kit:
    return kit.read(kits.make(tmp_path / "kit"))


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(folder=tmp_path / "state")


def spent(state: StateFolder) -> Ledger:
    ledger = Ledger(state.ledger / "st-mary.jsonl")
    ledger.begin("run", TERMS)
    with ledger.round("run", 1) as entry:
        entry.reserve(STEPS)
        entry.store(b"reply")
    return ledger


def test_a_speaker_is_put_on_the_list_and_the_records_say_so(about: Kit, state: StateFolder) -> None:
    ledger = spent(state)
    head = ledger.head()
    first = forget("P17", kit=about, state=state)
    second = forget("P03", kit=about, state=state)
    assert json.loads(state.forgotten.read_text()) == ["P03", "P17"]
    assert (first.before, first.listed, second.before, second.listed) == (False, 1, False, 2)
    lines = AuditLog(state.audit).entries()
    assert [(line["kind"], line["listed"], line["not"]) for line in lines] == [
        ("forget", 1, DOES_NOT),
        ("forget", 2, DOES_NOT),
    ]
    text = (state.ledger / "st-mary.jsonl").read_text()
    assert [json.loads(line)["kind"] for line in text.splitlines()][-2:] == ["forget", "forget"]
    for record in (text, state.audit.read_text()):
        assert "P17" not in record
        assert "P03" not in record
    after = Ledger(ledger.path, expected=head)  # the server's head is still in it
    assert after.spends("speaker") == [STEPS]  # nothing comes back
    assert show(state.ledger)["ledgers"][0]["units"]["speaker"]["steps"] == 2
    assert verify(state.audit).fault is None


def test_doing_it_again_does_the_rest(about: Kit, state: StateFolder) -> None:
    state.audit.mkdir(parents=True)  # no file can be made there
    with pytest.raises(FedserError):
        forget("P17", kit=about, state=state)
    assert json.loads(state.forgotten.read_text()) == ["P17"]  # whatever failed, their recordings are not used
    state.audit.rmdir()
    assert forget("P17", kit=about, state=state).before
    assert json.loads(state.forgotten.read_text()) == ["P17"]
    assert AuditLog(state.audit).head().entries == 1


def test_features_that_were_computed_are_deleted(about: Kit, state: StateFolder) -> None:
    assert not forget("P17", kit=about, state=state).features
    (state.cache / "more").mkdir(parents=True)
    (state.cache / "a.safetensors").write_text("features")
    (state.cache / "more/b.safetensors").write_text("features")
    assert forget("P17", kit=about, state=state).features
    assert list(state.cache.iterdir()) == []


@pytest.mark.parametrize("text", ["{", '{"P17": 1}', "[17]"])
def test_a_list_that_cannot_be_read_is_not_replaced(about: Kit, state: StateFolder, text: str) -> None:
    state.ledger.mkdir(parents=True)
    state.forgotten.write_text(text)
    with pytest.raises(FedserError, match="mend it first, for it says who withdrew"):
        forget("P17", kit=about, state=state)
    assert state.forgotten.read_text() == text


def test_a_misspelt_speaker_is_noticed(tmp_path: Path) -> None:
    data = DataConfig(corpus="manifest", root=str(tiny.write(tmp_path / "data")))
    assert recordings_of("03", data) == recordings_of("3", data) == 8
    with pytest.raises(UsageError, match=r"--speaker 033 is none of the 8 speakers at .*; did you mean 03"):
        recordings_of("033", data)


def test_an_empty_id_is_nobodys(about: Kit, state: StateFolder) -> None:
    with pytest.raises(UsageError, match="--speaker is empty, expected the id"):
        forget("", kit=about, state=state)
    assert not state.folder.exists()

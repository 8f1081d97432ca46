"""What sites keep for a strategy from round to round: whole runs, killed and gone on with, in one process or many."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from common import protocol
from common.config.settings import Config
from common.data.resident import listing
from common.errors import FederationError, UsageError
from common.features.cache import FeatureCache
from common.learning import training
from common.privacy.recipe import private_settings
from common.storage.state_store import StateStore
from server.records.fold_record import FoldRecord
from server.rounds.screening import Screening, Verdict
from server.run import checkpoint
from simulations.engine.fold import local_run_config, run_in_process, settle
from simulations.engine.planning import plans
from tests.simulations import tiny
from tests.simulations.job.test_simulate import environment, same, stop_after

SCAFFOLD: dict[str, Any] = {
    "federation__strategy": "scaffold",
    "federation__rounds": 3,
    "training__batch_size": 16,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At each of two sites one speaker validates: there is a refit."""
    return tiny.write(tmp_path_factory.mktemp("corpus"), speakers=16, each=1)


@pytest.fixture(scope="module")
def whole(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was never killed."""
    folder = tmp_path_factory.mktemp("whole")
    run(manifest, folder)
    return folder


def run(manifest: Path, folder: Path, workers: int = 0, **more: Any) -> FoldRecord:
    """Run one fold, or go on with it."""
    config = tiny.config(manifest, **{**SCAFFOLD, **more})
    [plan] = plans(config, listing(config.data), [])
    cache = FeatureCache(manifest.parent / "cache")
    folder.mkdir(exist_ok=True)
    return run_in_process(config, plan, folder, folder / "events.jsonl", cache, workers=workers)


def states(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("strategy/**/*.safetensors"))


def test_it_is_another_model_than_fedavgs_and_nothing_of_the_states_is_left(
    manifest: Path, whole: Path, tmp_path: Path
) -> None:
    told = json.loads((whole / "fold.json").read_text())
    other = run(manifest, tmp_path / "b", federation__strategy="fedavg")
    assert not same(whole, tmp_path / "b")
    assert told["refit"]
    assert not list(whole.rglob("strategy"))
    sizes = [fold["rounds"][0]["sites"]["site-0"]["bytes"] for fold in (told, other.as_json())]
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.01)  # the control beside the model


def test_the_number_of_workers_changes_nothing(manifest: Path, whole: Path, tmp_path: Path) -> None:
    run(manifest, tmp_path / "b", workers=2)
    assert same(whole, tmp_path / "b")


@pytest.mark.parametrize(
    ("nth", "written"),
    [(4, False), (8, True), *(pytest.param(nth, True, marks=pytest.mark.slow) for nth in (1, 5))],
)
def test_a_kill_about_the_keeping_of_a_state_changes_nothing(
    manifest: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, written: bool
) -> None:
    """Of two sites the 4th is round 2's last, the 5th round 3's first, the 8th the refit's."""
    keep, calls = StateStore.keep, []

    def killed(own: StateStore, *what: Any, **more: Any) -> None:
        calls.append(what)
        if len(calls) < nth or written:
            keep(own, *what, **more)
        if len(calls) == nth:
            raise KeyboardInterrupt

    monkeypatch.setattr(StateStore, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path)
    monkeypatch.undo()
    run(manifest, tmp_path)
    assert same(whole, tmp_path)


@pytest.mark.parametrize("stop", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_kill_before_the_checkpoint_of_a_round_changes_nothing(
    manifest: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """All sites are a round ahead of it."""
    save = checkpoint.save

    def killed(state: checkpoint.State, path: Path) -> None:
        if state.round == stop:
            raise KeyboardInterrupt
        save(state, path)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path)
    monkeypatch.undo()
    run(manifest, tmp_path)
    assert same(whole, tmp_path)


def test_a_kill_after_the_farewell_finds_nothing_missing(
    manifest: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*rest: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("server.app.score_held_out", killed)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path)
    assert not list(tmp_path.rglob("strategy"))
    monkeypatch.undo()
    run(manifest, tmp_path)
    assert same(whole, tmp_path)


def test_what_the_checkpoint_pins_must_be_there(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path)
    monkeypatch.undo()
    [path] = tmp_path.glob("strategy/site-site-1/run-*/train-000002.safetensors")
    path.unlink()
    with pytest.raises(FederationError, match=r"what site-1 kept for the strategy is not that of round 2; put the run"):
        run(manifest, tmp_path)


def test_a_site_that_trains_in_some_rounds_keeps_its_last(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"data__sites": "4", "federation__rounds": 4, "federation__fraction": 0.5}
    seen: dict[str, list[int]] = {}
    before = StateStore.before

    def noting(own: StateStore, stage: str, turn: int) -> Any:
        found = before(own, stage, turn)
        started = max((number for number in own._turns(stage) if number < turn), default=0)
        assert (started > 0) == bool(found)
        seen.setdefault(own._site, []).append(started)
        return found

    monkeypatch.setattr(StateStore, "before", noting)
    monkeypatch.setattr("server.records.pins.Pins.pin", lambda *_: None)
    fold = run(manifest, tmp_path, data__validation="none", **more)
    took = [set(entry.sites) for entry in fold.rounds]
    assert all(len(sites) == 2 for sites in took)
    rounds = {site: [n for n, sites in enumerate(took, 1) if site in sites] for site in seen}
    assert seen == {site: [0, *of_site[:-1]] for site, of_site in rounds.items()}
    assert any(later - sooner > 1 for of_site in rounds.values() for sooner, later in itertools.pairwise(of_site))


@pytest.mark.parametrize("why", ["refused", "not finite"])
def test_an_update_that_is_not_taken_leaves_the_controls_as_they_were(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """The server's control stays the weighted mean of the sites'."""
    judged, trained = iter(range(1, 100)), iter(range(1, 100))
    judge, save, train = Screening.judge, checkpoint.save, training.train
    apart: dict[int, float] = {}

    def refusing(own: Screening, site: str, reply: Message) -> Any:
        if site == "site-0" and next(judged) == 2 and why == "refused":
            return [Verdict(site=site, reply=reply, fault="it came too late")]
        return judge(own, site, reply)

    def diverging(model: torch.nn.Module, *arguments: Any, **more: Any) -> Any:
        told = train(model, *arguments, **more)
        if next(trained) == 3 and why == "not finite":  # of site-0 in round 2
            for weights in model.parameters():
                weights.data.fill_(float("nan"))
        return told

    def comparing(state: checkpoint.State, path: Path) -> None:
        if state.round:
            stores = {site: StateStore(path.parent / "strategy", site, state.run) for site in ("site-0", "site-1")}
            own = [s.before("train", state.last_taken(site, "train", 4) + 1) for site, s in stores.items()]
            of_sites = [entry["sites"][site]["examples"] for entry in state.history[:1] for site in stores]
            for name, control in state.strategy.items():
                each = [controls[name.removeprefix("memory/")] for controls in own]
                gap = float(np.abs(control - np.average(each, axis=0, weights=of_sites)).max())
                apart[state.round] = max(apart.get(state.round, 0.0), gap)
        save(state, path)

    monkeypatch.setattr(Screening, "judge", refusing)
    monkeypatch.setattr("client.app.train", diverging)
    monkeypatch.setattr(checkpoint, "save", comparing)
    fold = run(manifest, tmp_path, federation__rounds=4, data__validation="none")
    both = ["site-0", "site-1"]
    assert [sorted(entry.sites) for entry in fold.rounds] == [both, ["site-1"], both, both]
    assert set(apart) == {1, 2, 3, 4}
    assert max(apart.values()) < 1e-5


class Asked:
    """One site of a simulation, that is sent messages by hand."""

    def __init__(self, manifest: Path, folder: Path, **more: Any) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.config = tiny.config(manifest, **{**SCAFFOLD, **more})
        [plan] = plans(self.config, listing(self.config.data), [])
        settle(self.config, plan, folder)
        cache = FeatureCache(folder / "cache")
        self._settings = local_run_config(self.config, folder, folder / "events.jsonl", cache, folder / "ledger")
        self.folder = folder
        self.control: dict[str, Any] | None = None

    def answer(self, kind: str, content: RecordDict) -> Message:
        context = Context(1, 1, {protocol.PARTITION: 0}, RecordDict(), self._settings)
        reply: Message = app(Message(content, 1, kind), context)
        return reply

    def train(self, number: int, control: float = 0.0, run: str = "run-1") -> Message:
        from client.site import open_site

        model = open_site(self._settings, {protocol.PARTITION: 0}).model
        start = {name: np.full(tuple(tensor.shape), 0.05, np.float32) for name, tensor in model.state_dict().items()}
        content = RecordDict({protocol.ARRAYS: arrays(start)})
        content[protocol.SCALING] = arrays({"mean": np.zeros(6, np.float32), "deviation": np.ones(6, np.float32)})
        content["control"] = arrays({name: np.full_like(values, control) for name, values in start.items()})
        content[protocol.CONFIG] = ConfigRecord({protocol.ROUND: number, protocol.RUN: run})
        return self.answer(protocol.TRAIN, content)


def arrays(values: dict[str, Any]) -> Any:
    from server.rounds.site_scores import record

    return record(values)


def told(reply: Message) -> dict[str, Any]:
    assert not reply.has_error(), reply.error.reason
    return {
        f"{name}/{key}": array.numpy()
        for name in (protocol.ARRAYS, "control")
        for key, array in reply.content.array_records[name].items()
    }


def equal(first: Message, second: Message) -> bool:
    one, two = told(first), told(second)
    return one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)


def test_a_round_asked_twice_gives_the_same_reply_bit_for_bit(manifest: Path, tmp_path: Path) -> None:
    site = Asked(manifest, tmp_path)
    first = site.train(1)
    assert equal(first, site.train(1))
    second = site.train(2, 0.01)
    assert equal(second, site.train(2, 0.01))
    assert not equal(second, site.train(3, 0.01))
    assert set(second.content) == {protocol.ARRAYS, protocol.METRICS, "control"}  # the state itself is in none of them
    assert len(states(tmp_path)) == 2


def test_a_refit_begins_with_nothing(manifest: Path, tmp_path: Path) -> None:
    again, fresh = Asked(manifest, tmp_path / "a"), Asked(manifest, tmp_path / "b")
    for number in (1, 2, 3):
        again.train(number)
    assert equal(again.train(4), fresh.train(4))


def test_a_site_that_lost_its_disk_says_so_and_begins_anew(
    manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site, fresh = Asked(manifest, tmp_path / "a"), Asked(manifest, tmp_path / "b")
    site.train(1)
    assert "nothing is kept" not in caplog.text
    StateStore(tmp_path / "a/strategy", "site-0", "run-1").forget()
    with caplog.at_level(logging.WARNING):
        lost = site.train(2, 0.01)
    assert "site site-0: nothing is kept of round 1 of the pass, whose update was taken" in caplog.text
    assert equal(lost, fresh.train(2, 0.01))


def test_a_damaged_state_fails_the_round_and_only_the_sites_own_log_says_why(
    manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Asked(manifest, tmp_path)
    site.train(1)
    [path] = tmp_path.rglob("train-000001.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    reply = site.train(2)
    assert reply.has_error()
    assert "safetensors" not in str(reply.error.reason)
    assert "train-000001.safetensors is damaged; put a copy back, or delete it" in caplog.text


def test_a_hello_that_names_a_run_ends_it(manifest: Path, tmp_path: Path) -> None:
    site = Asked(manifest, tmp_path)
    site.train(1)
    site.answer(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))
    assert states(tmp_path)
    site.answer(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: "run-1"})}))
    assert states(tmp_path) == []


def test_a_server_that_names_no_run_or_sends_no_control_is_refused(
    manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Asked(manifest, tmp_path)
    assert site.train(1, run="").has_error()
    assert "the server names no run" in caplog.text
    empty = RecordDict({protocol.CONFIG: ConfigRecord({protocol.ROUND: 1, protocol.RUN: "run-1"})})
    assert site.answer(protocol.TRAIN, empty).has_error()
    assert "the server sent no 'control'" in caplog.text


@pytest.mark.parametrize("unit", ["utterance", "speaker", "site"])
def test_a_private_run_keeps_nothing_at_its_sites(unit: str) -> None:
    asked = {"privacy.epsilon": 8.0, "privacy.unit": unit, "federation.strategy": "scaffold"}
    with pytest.raises(UsageError, match="--strategy scaffold is not judged for a run that is private"):
        private_settings(asked)
    assert private_settings({**asked, "federation.strategy": "fedavg"})
    assert Config().with_values({"federation.strategy": "scaffold"})


@pytest.mark.slow
def test_a_run_killed_with_9_at_any_moment_resumes_bit_for_bit(manifest: Path, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("fedser"))
    settings = tmp_path / "small.toml"
    settings.write_text(
        "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[training]\nbatch_size = 2\nlocal_epochs = 3\n"
        "[federation]\nrounds = 6\n"
    )
    options = ["--corpus", "manifest", "--root", str(manifest), "--sites", "2", "--held-out", "kfold:4:0"]
    options += ["--config", str(settings), "--workers", "2", "--strategy", "scaffold"]
    command = [program, "simulate", *options, "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], env=environment(tmp_path), check=True)
    out = tmp_path / "killed"
    process = subprocess.Popen([*command, str(out)], env=environment(tmp_path))
    kills = 0
    while process.poll() is None:
        seen, deadline = states(out), time.monotonic() + 60
        while states(out) == seen and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.03 * kills)  # a later moment of a round each time
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        resume = [program, "simulate", "--resume", str(out)]
        process = subprocess.Popen(resume, env=environment(tmp_path))
        if kills == 4:
            assert process.wait() == 0
    assert kills == 4
    assert same(tmp_path / "whole", out)
    assert states(out) == []
    assert (out / "result.json").exists()

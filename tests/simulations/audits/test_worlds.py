from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from common.utterance import Utterance
from simulations.audits.audited_run import AuditedRun, open_run
from simulations.audits.worlds import folder_of, train, without, worlds
from simulations.engine.fold import finished


@pytest.fixture
def run(plain: Path, tmp_path: Path) -> AuditedRun:
    shutil.copytree(plain, tmp_path / "run", ignore=shutil.ignore_patterns("audit"))
    return open_run(tmp_path / "run", None)


def training_of(run: AuditedRun) -> list[Utterance]:
    return [u for u in run.utterances() if u.speaker in run.plan.train_speakers]


def test_half_of_each_speaker_s_recordings_are_left_out(run: AuditedRun) -> None:
    training = training_of(run)
    assert len(training) == 48
    target, *shadows = worlds(run, training, "recordings", 4)
    assert [w.name for w in (target, *shadows)] == [f"recordings-{i}" for i in range(5)]
    for world in (target, *shadows):
        for speaker in run.plan.train_speakers:
            assert sum(u.name in world.members for u in training if u.speaker == speaker) == 4
    assert shadows[0].members | shadows[1].members == {u.name for u in training}
    assert not shadows[2].members & shadows[3].members
    assert len({world.members for world in (target, *shadows)}) == 5


def test_half_of_each_site_s_speakers_are_left_out(run: AuditedRun) -> None:
    training = training_of(run)
    for world in worlds(run, training, "speakers", 2):
        members = {u.speaker for u in training if u.name in world.members}
        assert len(world.members) == 8 * len(members) == 24
        for site in run.plan.sites:
            assert 1 <= len(members & set(site.train)) <= 2


def test_more_shadows_change_none_that_are_there(run: AuditedRun) -> None:
    training = training_of(run)
    assert worlds(run, training, "speakers", 6)[:3] == worlds(run, training, "speakers", 2)


def test_a_site_that_is_left_without_anyone_takes_no_part() -> None:
    def utterance(speaker: str, take: int) -> Utterance:
        return Utterance(path=Path(f"{speaker}{take}"), emotion="anger", speaker=speaker, corpus="x")

    sites = (
        SiteSplit(name="one", train=("a", "b"), validation=("v",), test=("t",)),
        SiteSplit(name="two", train=("c",)),
    )
    plan = Plan(fold="f", classes=("anger",), test=("s",), sites=sites, skipped=("broken",))
    training = [utterance(speaker, take) for speaker in "abc" for take in (0, 1)]
    small = without(plan, training, {"a0"})
    assert small.sites == (SiteSplit(name="one", train=("a",), validation=("v",)),)
    assert small.skipped == ("a1", "b0", "b1", "broken", "c0", "c1")
    assert small.test == ("s", "t")


def test_a_world_is_trained_once_and_has_a_folder_of_its_own(run: AuditedRun) -> None:
    training = training_of(run)
    world = worlds(run, training, "recordings", 2)[1]
    heard: list[str] = []
    model = train(run, world, training, 0, heard.append)
    assert set(heard) == {"site-0", "site-1"}
    assert finished(folder_of(run, world))
    assert folder_of(run, world) == run.path / "audit/membership/kfold-4-0/recordings-1"
    again: list[str] = []
    same = train(run, world, training, 0, again.append)
    assert not again
    assert (same.model.classifier.weight == model.model.classifier.weight).all()


def test_a_private_world_keeps_ledgers_of_its_own_and_has_no_canaries(private: Path) -> None:
    run = open_run(private, None)
    before = {path: path.read_bytes() for path in run.ledger.rglob("*") if path.is_file()}
    training = training_of(run)
    world = worlds(run, training, "speakers", 2)[0]
    train(run, world, training, 0, lambda _: None)
    assert {path: path.read_bytes() for path in run.ledger.rglob("*") if path.is_file()} == before
    own = sorted(path.name for path in (folder_of(run, world) / "ledger").glob("*.json*") if path.is_file())
    assert own == ["site-0.jsonl", "site-1.jsonl"]

"""Whatever starts a training refuses what a private run may not set, with the same line and before any work."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given, settings
from hypothesis import strategies as st

from client.holding import Holding
from client.node.policy.clauses import BundlePolicy, DataPolicy, RunPolicy
from client.node.policy.document import Policy
from client.site import Site
from common.config.settings import Config, flatten
from common.config.units import UNITS
from common.data.extraction import Recording
from common.data.resident import listing
from common.errors import SplitError, UsageError
from common.features.cache import FeatureCache
from common.privacy.judgements import JUDGEMENTS
from common.privacy.recipe import private_settings, refuse_leaks
from common.progress import Display
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from common.utterance import Utterance
from server.app import app as server_app
from server.federation.runs.run_planning import configured
from simulations.audits import attributes, membership, reconstruction
from simulations.audits.audited_run import AuditedRun
from simulations.audits.single_site_updates import updates_of
from simulations.audits.worlds import World, train
from simulations.engine.baselines import train_baselines
from simulations.engine.flower_simulation import run_under_flower
from simulations.engine.fold import local_run_config, run_in_process
from simulations.engine.output import RUN_SETTINGS, open_folder
from simulations.engine.worker_grid import RUN_ID, InProcessGrid
from simulations.job.simulate import Job, simulate
from simulations.job.start import Start, start
from simulations.sweep.trials.conditions import OWN, Condition
from simulations.sweep.trials.parts import Training
from simulations.sweep.trials.parts import run as run_part
from simulations.sweep.trials.runner import SweepJob, benchmark
from simulations.sweep.trials.trial import Sweep, trials
from tests.simulations import tiny

PLAN = Plan(fold="f", classes=tiny.CLASSES, test=("09",), sites=(SiteSplit(name="one", train=("01", "02")),))
BUNDLE = "ab" * 32
POLICY = Policy(bundle=BundlePolicy(hashes=(BUNDLE,)), run=RunPolicy(bounds={}), data=DataPolicy(classes=tiny.CLASSES))
OUTSIDE: dict[str, st.SearchStrategy[Any]] = {
    "data.normalise": st.sampled_from(["running", "speaker", "utterance", "global"]),
    "data.validation": st.sampled_from(["one", "0.2", "0.5"]),
    "training.class_weights": st.sampled_from(["own", "pooled"]),
    "augment.crop": st.floats(0.01, 1.0),
    "federation.fraction": st.floats(0.01, 0.99),
    "federation.strategy": st.sampled_from(["fedmedian", "fedtrimmedavg", "krum"]),
    "privacy.canaries": st.integers(1, 1000),
    "privacy.canary_kind": st.just("recordings"),
}
Entry = Callable[[Config, Path], object]
ENTRIES: dict[str, Entry] = {}


def entry(function: Entry) -> Entry:
    ENTRIES[function.__name__] = function
    return function


def outside(unit: str, name: str) -> st.SearchStrategy[Any]:
    """What this unit's runs may not set a setting to; nothing where they may set it to anything."""
    return OUTSIDE[name].filter(lambda value: not JUDGEMENTS[name].of(unit).admits(value))


def narrowed(unit: str) -> list[str]:
    """The settings of which this unit allows less than their section takes."""
    some = {"privacy.canary_kind": unit == "speaker", "federation.strategy": unit == "site"}
    return [name for name in OUTSIDE if JUDGEMENTS[name].of(unit).values is not None and some.get(name, True)]


class Untouched(InProcessGrid):
    """Of a run that is refused before any site is looked for."""

    def get_node_ids(self) -> list[int]:
        raise AssertionError("the server looked for sites")


def no_app() -> ClientApp:
    raise AssertionError("a site was started")


def serve(told: dict[str, Any]) -> None:
    grid = Untouched(no_app, [], told, workers=0)
    server_app(grid, Context(RUN_ID, 0, {}, RecordDict(), told))


@entry
def a_site(config: Config, folder: Path) -> object:
    utterance = Utterance(corpus="manifest", path=Path("1.wav"), emotion="anger", speaker="1")
    own = [Recording(utterance=utterance, versions=(torch.ones(3, 2),))]
    return Site(
        config, Holding(name="a", classes=("anger",), train=own, validation=[], test=[], ledger=folder, state=folder)
    )


@entry
def the_server_app(config: Config, folder: Path) -> None:
    PLAN.write(folder / "plan.json")
    told = local_run_config(config, folder, folder / "events.jsonl", FeatureCache(folder), folder / "ledger")
    serve(told)


@entry
def a_simulation(config: Config, folder: Path) -> object:
    job = Job(config=config, out=folder, engine="inprocess", workers=0, baselines=False, command="")
    with Display() as display:
        return simulate(job, display)


@entry
def a_simulation_that_goes_on(config: Config, folder: Path) -> object:
    """One of a release that did not refuse it."""
    own = dict(zip(RUN_SETTINGS, ("inprocess", False, "", None), strict=True))
    open_folder(folder / "old", {**flatten(config), **own}, resume=False, overwrite=True)
    return start(going_on(folder / "old"))


def going_on(run: Path, *, baselines: bool = False) -> Start:
    return Start(
        flags={}, out=None, resume=run, overwrite=False, engine=None, workers=0, baselines=baselines, command=""
    )


@entry
def a_fold(config: Config, folder: Path) -> object:
    return run_in_process(config, PLAN, folder / "fold", folder / "events.jsonl", FeatureCache(folder), workers=0)


@entry
def a_fold_under_flower(config: Config, folder: Path) -> object:
    return run_under_flower(config, PLAN, folder / "fold", folder / "events.jsonl", FeatureCache(folder), workers=0)


@entry
def the_baselines(config: Config, folder: Path) -> object:
    return train_baselines(config, [], FeatureCache(folder), workers=0, on_done=lambda *_: None)


def audited(config: Config, folder: Path) -> AuditedRun:
    return AuditedRun(path=folder, config=config, plan=PLAN, ledger=folder / "ledger", shared_ledger=False)


@entry
def an_audit_of_membership(config: Config, folder: Path) -> object:
    with Display() as display:
        return membership.audit(audited(config, folder), shadows=2, workers=0, display=display)


@entry
def a_world_of_an_audit(config: Config, folder: Path) -> object:
    known = [Utterance(corpus="manifest", path=Path("1.wav"), emotion="anger", speaker="01")]
    world = World(name="w", members=frozenset(u.name for u in known))
    return train(audited(config, folder), world, known, 0, lambda _: None)


@entry
def an_audit_of_attributes(config: Config, folder: Path) -> object:
    with Display() as display:
        return attributes.audit(audited(config, folder), updates=1, trained=False, workers=0, display=display)


@entry
def the_updates_of_an_audit(config: Config, folder: Path) -> object:
    run = audited(config, folder)
    scaling: Any = None
    return updates_of(run, ["01"], {}, scaling, count=1, workers=0, on_reply=lambda _: None)


@entry
def an_audit_of_reconstruction(config: Config, folder: Path) -> object:
    with Display() as display:
        return reconstruction.audit(
            audited(config, folder), utterances=1, frames=2, steps=1, trained=False, workers=0, display=display
        )


@entry
def a_part_of_a_sweep(config: Config, folder: Path) -> None:
    training = Training(config=config, plan=PLAN, folder=folder / "part", ledger=folder / "ledger")
    run_part(training, FeatureCache(folder))


@entry
def a_federation_run(config: Config, folder: Path) -> object:
    return configured(flatten(config))


@entry
def the_recipe(config: Config, folder: Path) -> object:
    return private_settings(flatten(config))


def not_asked(name: str, unit: str, setting: str) -> bool:
    """What an entry refuses for another reason, or takes out itself."""
    of_one_site = unit == "site" and name in ("an_audit_of_attributes", "an_audit_of_reconstruction")
    return of_one_site or (name == "a_world_of_an_audit" and setting.startswith("privacy.canar"))


def private(unit: str, folder: Path) -> dict[str, Any]:
    """Settings of a private run that is refused by nothing."""
    small = {name: value for name, value in tiny.SMALL.items() if name != "training.batch_size"}
    own = {"privacy.epsilon": 8.0, "privacy.unit": unit, "data.root": str(folder / "none.csv")}
    return private_settings({**small, **own, "data.classes": list(tiny.CLASSES)})


@st.composite
def leaks(draw: st.DrawFn) -> tuple[str, str, Any]:
    unit = draw(st.sampled_from(list(UNITS)))
    name = draw(st.sampled_from(narrowed(unit)))
    return unit, name, draw(outside(unit, name))


@settings(max_examples=25, deadline=None)
@given(leak=leaks())
def test_what_is_outside_is_refused_by_every_entry_alike(
    leak: tuple[str, str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    unit, name, value = leak
    folder = tmp_path_factory.mktemp("entry")
    beside = {"privacy.canaries": 5} if name == "privacy.canary_kind" else {}
    config = Config().with_values({**private(unit, folder), **beside, name: value})
    with pytest.raises(UsageError) as told:
        refuse_leaks(config)
    for entry_name, function in ENTRIES.items():
        if not not_asked(entry_name, unit, name):
            with pytest.raises(UsageError) as refused:
                function(config, folder)
            assert str(refused.value) == str(told.value), entry_name
    reason = POLICY.refusal(BUNDLE, config)
    assert reason == f"the run is private and would tell more than the noise hides: {told.value}"
    assert not (folder / "fold").exists()
    assert not (folder / "part").exists()


@settings(max_examples=10, deadline=None)
@given(leak=leaks().filter(lambda leak: leak[1] not in (*OWN, "privacy.canary_kind")))
def test_a_sweep_refuses_it_before_any_trial(
    leak: tuple[str, str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    unit, name, value = leak
    root = tmp_path_factory.mktemp("sweep")
    given_ = {**tiny.SMALL, "data.root": str(tiny.write(root / "corpus")), name: value}
    strategies = [value] if name == "federation.strategy" else ["fedavg"]
    sweep = Sweep(
        given=given_, conditions=[Condition(unit=unit, epsilon=8.0)], strategies=strategies, sites=["2"], seeds=[0]
    )
    with pytest.raises(UsageError) as told:
        refuse_leaks(Config().with_values({**private(unit, root), name: value}))
    with pytest.raises(UsageError) as refused:
        trials(sweep, listing(Config().with_values(given_).data), [])
    assert str(refused.value) == str(told.value)
    with Display() as display, pytest.raises(UsageError) as refused:
        benchmark(SweepJob(sweep=sweep, out=root / "out", workers=0, command=""), display)
    assert str(refused.value) == str(told.value)
    assert not (root / "out").exists()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_job_with_an_epsilon_and_defaults_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    config = Config().with_values({"privacy.epsilon": 8.0})
    with pytest.raises(UsageError, match=r"^--normalise running would tell of other utterances' recordings in a run "):
        ENTRIES[name](config, tmp_path)


@pytest.mark.parametrize("setting", ["privacy.budget", "privacy.canaries"])
def test_a_budget_without_privacy_is_refused_by_every_entry(setting: str, tmp_path: Path) -> None:
    config = Config().with_values(
        {setting: 5, "data.root": str(tmp_path / "none.csv"), "data.classes": list(tiny.CLASSES)}
    )
    for name, function in ENTRIES.items():
        if not not_asked(name, "utterance", setting):
            with pytest.raises(
                UsageError, match=r"^--canaries and --budget need a private run: give --epsilon or --noise"
            ):
                function(config, tmp_path)
    reason = POLICY.refusal(BUNDLE, config)
    assert reason is not None
    assert reason.startswith("the run is not private: --canaries and --budget need a private run")


def test_a_hidden_site_has_no_baselines_however_they_are_asked_for(tmp_path: Path) -> None:
    line = "^--baselines has federations of one site, which --privacy-unit site can't hide$"
    config = Config().with_values(private("site", tmp_path))
    with pytest.raises(UsageError, match=line):
        the_baselines(config, tmp_path)
    job = Job(config=config, out=tmp_path, engine="inprocess", workers=0, baselines=True, command="")
    with Display() as display, pytest.raises(UsageError, match=line):
        simulate(job, display)
    own = dict(zip(RUN_SETTINGS, ("inprocess", False, "", None), strict=True))
    open_folder(tmp_path / "old", {**flatten(config), **own}, resume=False, overwrite=False)
    with pytest.raises(UsageError, match=line):
        start(going_on(tmp_path / "old", baselines=True))
    assert json.loads((tmp_path / "old/run.json").read_text())["baselines"] is False  # it can still go on without


def test_a_public_model_that_scales_nothing_is_refused_by_a_job_and_a_sweep(tmp_path: Path) -> None:
    line = "^--public MODEL needs --normalise public, which scales by that model of public data$"
    manifest = tiny.write(tmp_path / "corpus")
    config = tiny.config(manifest, data__public=str(tmp_path))
    for function in (a_simulation, a_fold):
        with pytest.raises(UsageError, match=line):
            function(config, tmp_path)
    sweep = Sweep(
        given={**tiny.SMALL, "data.root": str(manifest), "data.public": str(tmp_path)},
        conditions=[Condition(unit=None, epsilon=float("inf"))],
        strategies=["fedavg"],
        sites=["2"],
        seeds=[0],
    )
    with pytest.raises(UsageError, match=line):
        trials(sweep, listing(config.data), [])


def test_a_private_run_without_a_ledger_is_refused_by_the_server(tmp_path: Path) -> None:
    config = Config().with_values(private("utterance", tmp_path))
    PLAN.write(tmp_path / "plan.json")
    told = local_run_config(config, tmp_path, tmp_path / "events.jsonl", FeatureCache(tmp_path), tmp_path / "ledger")
    for without in ({**told, "ledger": ""}, {name: value for name, value in told.items() if name != "ledger"}):
        with pytest.raises(UsageError, match="the run is private and has no ledger, expected a folder"):
            serve(without)


def test_a_site_whose_parts_share_a_speaker_is_refused(tmp_path: Path) -> None:
    def own(name: str, speaker: str) -> Recording:
        utterance = Utterance(corpus="manifest", path=Path(f"{name}.wav"), emotion="anger", speaker=speaker)
        return Recording(utterance=utterance, versions=(torch.ones(3, 2),))

    holding = Holding(
        name="a",
        classes=("anger",),
        train=[own("1", "p")],
        validation=[],
        test=[own("2", "q")],
        ledger=tmp_path,
        state=tmp_path,
    )
    Site(Config(), holding)
    with pytest.raises(SplitError, match="site a: speaker p is in train and in test, expected in one part alone"):
        Site(Config(), dataclasses.replace(holding, test=[own("2", "p")]))

"""The Flower ServerApp: config -> nodes -> rounds -> the chosen model -> one score on the held-out speakers."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from common import protocol
from common.config.run_config import parse_run_config
from common.config.settings import PATHS, Config, flatten, refuse_teacher
from common.data.heard import scaling_of
from common.data.normalise import Scaling
from common.errors import FederationError, UsageError
from common.features.cache import FeatureCache, default_directory
from common.features.front_end import dimension
from common.flower.internals import refuse_redirects
from common.learning import saved_model
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.privacy.recipe import refuse_leaks
from common.protocol import CACHE, EVENTS, LEDGER, OUT, PLAN, STATE
from common.seeds import seed_of
from common.splits import plan as plans
from common.splits.plan import Plan
from common.storage import atomic
from common.strategies.available import CATALOGUE
from server.messages.quorum import Quorum
from server.messages.rejections import Refused
from server.records.audit_log import ServerAudit, note_refusals
from server.records.fold_record import FoldRecord, Round
from server.records.ledger_reports import account, refuse_unaccounted, site_figures
from server.records.log_heads import FILE, Heads
from server.records.pins import Pins
from server.records.starting_model import load_initial, made_from
from server.rounds.farewell import say_farewell
from server.rounds.held_out import HeldOut, check_held_out, score_held_out
from server.rounds.loop import Rounds
from server.rounds.temperature import calibration, hear_confidence
from server.rounds.updates import tell_few_steps
from server.run import checkpoint, run_log
from server.run.checkpoint import Arrays, State
from server.run.events import Events
from server.run.paths import home, located, located_plan, place, read_agreements, read_node_names
from server.secure.secure_sums import SecureSums
from server.secure.sum_notes import SumNotes
from server.secure.tallied_sums import classes_behind_masks, sums_behind_masks
from server.sites.handshake import Node
from server.sites.meeting import Meeting, meet
from server.sites.pooled_classes import pooled_weights, weights_of_all
from server.sites.scaling_sums import gather_sums
from server.sites.shares import Agreement

if TYPE_CHECKING:
    from server.rounds.central_dp import SiteUnit

app = ServerApp()
refuse_redirects()  # from the SuperLink, by which this process was started


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one fold; it leaves ``checkpoint.safetensors``, ``model.safetensors`` and ``fold.json`` in ``out``.

    Raises:
        UsageError: nobody has planned the run.
    """
    if not context.run_config.get(PLAN):
        raise UsageError(
            "flwr run alone starts no run of fedser, for nobody has said who is held out: use fedser simulate --engine "
            "flower, or in a deployment fedser federation run, which plan the run and start it"
        )
    plan = located_plan(plans.read(place(context.run_config, PLAN)))
    folder = place(context.run_config, OUT)
    with contextlib.nullcontext() if plan.sites else run_log.write_log(folder / "run.log"):
        _run(grid, context, plan, folder)


def _run(grid: Grid, context: Context, plan: Plan, folder: Path) -> None:
    received = parse_run_config(context.run_config)
    config = located(received)
    refuse_leaks(config)
    refuse_unaccounted(config, context.run_config)
    cache = FeatureCache(place(context.run_config, CACHE) if context.run_config.get(CACHE) else default_directory())
    began = time.perf_counter()
    deployed = not plan.sites
    if deployed:
        refuse_teacher(config)
    keys = read_node_names() if deployed else {}
    audit = ServerAudit(folder / "audit.jsonl", context.run_id, grid.run.fab_hash) if deployed else None
    meeting = _meeting(config, plan, keys)
    with note_refusals(audit, 0, protocol.HELLO) as refused:
        nodes = meet(grid, meeting, refused)
    if audit:
        audit.begin(flatten(config), [node.site for node in nodes])
    start = _start(config, plan, nodes)
    path = folder / "checkpoint.safetensors"
    known = checkpoint.load(path) if path.exists() else None
    run = known.run if known else _run_name(config)
    secure = _sums(grid, config, nodes, run, received, folder)
    with note_refusals(audit, 0, protocol.STATISTICS) as refused:
        state = known or _fresh(grid, config, plan, start, nodes, run, secure, refused)
    if run and not known:
        checkpoint.save(state, path)  # the run's name must outlive a crash in round 1
    events = Events(place(context.run_config, EVENTS), plan.fold)
    events.catch_up([*state.history, *state.refit])
    heads = Heads(home() / FILE, nodes) if deployed else None
    if heads:
        heads.recall(state)

    def on_round(entry: dict[str, Any]) -> None:
        events.add(entry)
        if heads:
            heads.keep(state)

    tell_few_steps(nodes, config)
    _refuse_unfit_noise(config, state, nodes)
    private = _site_unit(config, state.run, len(nodes), context.run_config)
    keeps = CATALOGUE[config.federation.strategy].keeps
    pins = Pins(folder / STATE, config.federation, [node.site for node in nodes]) if keeps and not deployed else None
    rounds = Rounds(
        grid=grid,
        config=config,
        nodes=nodes,
        folder=folder,
        on_round=on_round,
        private=private,
        audit=audit,
        secure=secure,
        pins=pins,
        quorum=Quorum(config.federation.quorum, config.federation.grace) if deployed else Quorum(),
    )
    state = rounds.refit(hear_confidence(rounds, rounds.run(state)), start.arrays)
    if keeps:
        say_farewell(grid, nodes, state, folder, config.federation.round_timeout)
    _save_model(folder / "model.safetensors", state, config, plan)
    with note_refusals(audit, state.round, protocol.EVALUATE_TEST) as refused:
        held = score_held_out(grid, config, plan, nodes, state, cache, refused, secure)
    spent = private.figures() if private else {}
    if config.privacy.at_sites:
        with note_refusals(audit, state.round, protocol.PRIVACY) as refused:
            spent = site_figures(grid, config, nodes, state, refused, whole=not deployed)
    fold = _fold(plan, nodes, state, held)
    fold = dataclasses.replace(
        fold,
        started_from=made_from(config.federation.initial, config, fold.test_speakers),
        taught_by=made_from(config.training.teacher, config, fold.test_speakers),
        privacy=account(config, spent) if config.privacy.on else None,
        seconds=time.perf_counter() - began,
    )
    atomic.write(folder / "fold.json", json.dumps(fold.as_json(), indent=1), durable=True)
    if secure:  # nothing is added up any more, and nobody asks again: the sites delete their keys of the run
        say_farewell(grid, nodes, state, folder, config.federation.round_timeout)


def _refuse_unfit_noise(config: Config, state: State, nodes: Sequence[Node]) -> None:
    """Refuse, before round 1, a sum with shared noise that its numbers could not hold."""
    if config.privacy.shared:
        from server.rounds.shared_noise import refuse_unfit  # opacus: a second to import

        refuse_unfit(config, state.arrays, {node.site: node.examples for node in nodes})


def _site_unit(config: Config, run: str, sites: int, run_config: Mapping[str, object]) -> SiteUnit | None:
    """The server's own mechanism, where the unit of privacy is the site."""
    if not config.privacy.on or config.privacy.at_sites:
        return None
    from server.rounds.central_dp import SiteUnit  # opacus: a second to import

    return SiteUnit(config, run, sites, place(run_config, LEDGER))


def _save_model(path: Path, state: State, config: Config, plan: Plan) -> None:
    """Write the chosen model, with the temperature that the validation speakers gave it."""
    found, public = calibration(state), config.with_values(dict.fromkeys(PATHS, ""))
    saved_model.save(
        path,
        state.best or state.arrays,
        state.scaling,
        public,
        plan.classes,
        synthetic=plan.synthetic,
        temperature=found.temperature if found else 1.0,
        unsure=found.unsure if found else None,
    )


def _meeting(config: Config, plan: Plan, keys: Mapping[int, str]) -> Meeting:
    """How the sites are met; ``keys`` are empty in a simulation."""
    if not keys:
        return Meeting(classes=plan.classes, expected=plan.expected, registered=keys, private=config.privacy.on)
    agreed = {site: Agreement(recordings=held[0], speakers=held[1]) for site, held in read_agreements().items()}
    return Meeting(
        classes=plan.classes,
        expected=plan.expected,
        registered=keys,
        least=None if config.data.strict else config.federation.min_sites,
        private=config.privacy.on,
        strict=config.data.strict,
        features=dimension(config.features),
        agreed=agreed,
        speakers_train=config.privacy.at_sites and not config.privacy.protects.single,
        encoder=config.features.encoder.sha256,
    )


def _fold(plan: Plan, nodes: Sequence[Node], state: State, held: HeldOut) -> FoldRecord:
    """What ``fold.json`` says of who took part, of the rounds and of the score."""
    deployed, named = not plan.sites, tuple(plan.test_speakers)
    validation = {n.site: n.validation_speakers for n in nodes} if deployed else tuple(plan.validation_speakers)
    return FoldRecord(
        fold=plan.fold,
        train_speakers={n.site: n.speakers for n in nodes} if deployed else tuple(plan.train_speakers),
        validation_speakers=validation,
        test_speakers=named if not deployed or held.speakers == len(named) else held.speakers,
        privacy=None,
        chosen_round=state.best_round or state.round,
        calibration=calibration(state),
        test=held.test,
        rounds=tuple(map(Round.from_json, state.history)),
        refit=tuple(map(Round.from_json, state.refit)),
        by_speaker=held.by_speaker,
        strangers=held.strangers or None,
        noise_counts=held.noise,
        test_sites=held.sites if deployed and held.sites else None,
        test_scores=held.scores if deployed and held.scores else None,
    )


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run starts with: a model's arrays, and, where it is no new one, the scaling that they are trained with."""

    arrays: Arrays
    scaling: Scaling | None = None


def _start(config: Config, plan: Plan, nodes: Sequence[Node]) -> Start:
    """The model that is named, or a new one, which the seed alone decides.

    Raises:
        UsageError: as ``server.records.starting_model.load_initial``.
        FederationError: the sites' features are of another width.
    """
    width = nodes[0].features
    named = load_initial(config, plan.classes)
    if named is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(config.seed, "model"))
            model = build_model(width, len(plan.classes), config)
        return Start(arrays=_arrays(model))
    if len(named.scaling.mean) != width:
        raise FederationError(
            f"--initial {config.federation.initial} has {len(named.scaling.mean)} features a frame, the sites have "
            f"{width}; start from a model of the same features"
        )
    return Start(arrays=_arrays(named.model), scaling=None if config.privacy.on else named.scaling)


def _arrays(model: EmotionModel) -> Arrays:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def _fresh(
    grid: Grid,
    config: Config,
    plan: Plan,
    start: Start,
    nodes: Sequence[Node],
    run: str,
    secure: SecureSums | None,
    refused: Refused,
) -> State:
    """The state before round 1; of a model that has a scaling no site is asked for one."""
    check_held_out(config, plan, nodes)
    scaling = start.scaling or _scaling(grid, config, nodes, secure, refused, whole=bool(plan.sites))
    weights = _class_weights(grid, config, plan, nodes, secure, refused)
    return State(arrays=start.arrays, scaling=scaling.arrays(), class_weights=weights, run=run)


def _sums(
    grid: Grid, config: Config, nodes: Sequence[Node], run: str, received: Config, folder: Path
) -> SecureSums | None:
    """The run's sums behind masks, where it has such."""
    if not config.federation.secure:
        return None
    notes = SumNotes(folder / "sums.json", run)
    return SecureSums(grid=grid, config=config, nodes=nodes, run=run, settings=flatten(received), notes=notes)


def _run_name(config: Config) -> str:
    """A new name for a run that sites keep something of; empty where they don't."""
    federation = config.federation
    named = config.privacy.on or federation.secure or CATALOGUE[federation.strategy].keeps
    return secrets.token_hex(8) if named else ""


def _class_weights(
    grid: Grid, config: Config, plan: Plan, nodes: Sequence[Node], secure: SecureSums | None, refused: Refused
) -> Arrays:
    """By the counts of all sites, where the run pools them; else none are sent."""
    if config.training.class_weights != "pooled":
        return {}
    if secure is not None:
        return {protocol.WEIGHTS: weights_of_all(classes_behind_masks(secure, len(plan.classes), refused))}
    least = len(nodes) if plan.sites else config.federation.min_sites
    return pooled_weights(grid, nodes, plan.classes, config.federation.round_timeout, refused, least=least)


def _public_scaling(config: Config, width: int) -> Scaling:
    """Of a model of public data, whose features are the run's.

    Raises:
        FederationError: they are not.
        UsageError: it has not the components that the run asks for.
    """
    public, own = saved_model.load(Path(config.data.public)), config.features.encoder
    scaling, theirs = public.scaling, public.config.features.encoder
    if len(scaling.mean) != width:
        raise FederationError(
            f"--public {config.data.public} has {len(scaling.mean)} features a frame, the sites have {width}; "
            "train it with the same features"
        )
    if (theirs.sha256, theirs.settings_sha256, theirs.layer) != (own.sha256, own.settings_sha256, own.layer):
        raise FederationError(f"--public {config.data.public} has another encoder in front, or another of its layers")
    found = 0 if scaling.components is None else len(scaling.components)
    if found != own.components:
        raise UsageError(
            f"--public {config.data.public} has {found} components, the run asks for {own.components} "
            "(encoder.components)"
        )
    return scaling


def _scaling(
    grid: Grid, config: Config, nodes: Sequence[Node], secure: SecureSums | None, refused: Refused, *, whole: bool
) -> Scaling:
    """Of public data, of the training sites, or, where these are private, one that does nothing."""
    width = nodes[0].features
    if config.data.normalise == "public" or config.features.encoder.components:
        return _public_scaling(config, width)
    if config.privacy.on:
        return Scaling(mean=torch.zeros(width), deviation=torch.ones(width))
    if secure is not None:
        return scaling_of(sums_behind_masks(secure, width, refused), config)
    least = len(nodes) if whole else config.federation.min_sites
    return scaling_of(gather_sums(grid, nodes, config.federation.round_timeout, refused, least=least), config)

"""The rounds: train at the sites, average, validate at the sites, keep a checkpoint. No test data comes in here."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.errors import BudgetSpent, FederationError
from common.learning import metrics
from common.messages.scope import Scope, forms_of
from common.seeds import numpy_generator
from server.messages.exchange import exchange
from server.messages.quorum import Quorum
from server.messages.rejections import Refused, costing, refuse
from server.records.audit_log import ServerAudit, note_refusals
from server.records.ledger_reports import about, hear, stop
from server.records.pins import Pins
from server.rounds import model_selection
from server.rounds.gathering import Gathered, GatheredRound
from server.rounds.masked_training import collect_masked, last_validation
from server.rounds.screening import Screening, Verdict, step_ratio
from server.rounds.site_scores import ask, record
from server.rounds.strategy import Averaging
from server.rounds.updates import strip_reply, untold, weights
from server.run import checkpoint
from server.run.checkpoint import Arrays, State
from server.sites.handshake import Node
from server.sites.shares import MOST_STEPS, bounded, limited

if TYPE_CHECKING:
    from server.rounds.central_dp import SiteUnit
    from server.secure.secure_sums import SecureSums

log = logging.getLogger("fedser.server")


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """All that a run's rounds need.

    Attributes:
        grid: Flower's way to the nodes.
        config: of the run.
        nodes: sorted by site.
        folder: where the checkpoint is kept.
        on_round: called with the history's new entry.
        private: the server's mechanism, where the unit of privacy is the site.
        audit: the server's log, in a deployment.
        secure: sums behind masks, where updates are added up so.
        quorum: when a round ends in which not all have answered; all must by default.
        pins: what the checkpoint says of the sites' own states, in a simulation whose strategy has such.
    """

    grid: Grid
    config: Config
    nodes: Sequence[Node]
    folder: Path
    on_round: Callable[[dict[str, Any]], None]
    private: SiteUnit | None = None
    audit: ServerAudit | None = None
    secure: SecureSums | None = None
    pins: Pins | None = None
    quorum: Quorum = field(default_factory=Quorum)

    def run(self, state: State) -> State:
        """Run the rounds that are left, from a fresh state or a checkpoint.

        Raises:
            FederationError: fewer sound updates than ``min_sites``; the last good checkpoint stays. Or a site of a
                simulation no longer has the state that it had.
        """
        if self.pins is not None:
            self.pins.check(state)
        plan = Averaging(self.config.federation, state.strategy)
        for number in range(state.round + 1, self.config.federation.rounds + 1):
            began, before = time.perf_counter(), state.arrays
            done = self._train(plan, state, number)
            if done is None:
                break
            validation = None if self.secure else self._validate(state, number, done.sites)
            model_selection.choose(state, number, validation)
            if validation is None and not (self.secure and self._validates):
                model_selection.average(self.config, state, number)
            seconds = time.perf_counter() - began
            state.history.append(entry := _entry(number, seconds, done, validation))
            self._keep(plan, state, entry, before)
        late = self.secure and state.round <= self.config.federation.rounds
        if self.secure and late and state.history and self._validates and state.history[-1]["validation"] is None:
            self._choose_late(state, last_validation(self.secure, state, self))
            checkpoint.save(state, self.folder / "checkpoint.safetensors")
        return state

    @property
    def _validates(self) -> bool:
        """Whether validation speakers are asked."""
        return not self.config.privacy.on and any(node.validation for node in self.nodes)

    def _choose_late(self, state: State, validation: dict[str, Any] | None) -> None:
        """Judge the last round's model, of which it is known by now how it does."""
        if state.history and validation is not None and state.round <= self.config.federation.rounds:
            model_selection.choose(state, state.round, validation)
            state.history[-1]["validation"] = validation

    def refit(self, state: State, initial: Arrays) -> State:
        """Train again from the start, the validation speakers' recordings too, to the round that these have chosen.

        They are a fifth of the speakers where a site has five. No model is chosen any more, so nobody need be held out.
        The rounds are numbered on from ``federation.rounds``: a site knows by the number that all its recordings train.

        Args:
            state: after the last round, or of a checkpoint since.
            initial: the model before round 1.

        Raises:
            FederationError: as ``run``.
        """
        last = self.config.federation.rounds
        if not (self.config.refits and state.best_round and any(entry["validation"] for entry in state.history)):
            return state
        if state.round == last:
            state.arrays, state.strategy, state.norm = initial, {}, 0.0
        plan = Averaging(self.config.federation, state.strategy)
        for number in range(state.round + 1, last + state.best_round + 1):
            began, before = time.perf_counter(), state.arrays
            done = self._train(plan, state, number)
            if done is None:
                break
            seconds = time.perf_counter() - began
            state.refit.append(entry := {**_entry(number, seconds, done, None), "refit": state.best_round})
            self._keep(plan, state, entry, before)
        state.best = state.arrays
        return state

    def _keep(self, plan: Averaging, state: State, entry: dict[str, Any], before: Arrays) -> None:
        """End a round: its checkpoint, its line in the log and its event."""
        state.round = entry["round"]
        state.strategy = plan.state()
        if self.pins is not None:
            self.pins.pin(state)
        checkpoint.save(state, self.folder / "checkpoint.safetensors")
        if self.audit is not None:
            spent = self.private.advance_epsilon() if self.private else None
            self.audit.note_round(state.round, before, state, entry["sites"], spent)
        self.on_round(entry)

    def _train(self, plan: Averaging, state: State, number: int) -> GatheredRound | None:
        """Train a round, and put its model into the state; None where every budget is spent."""
        try:
            if self.private is None:
                done = self._collect(plan, state, number, self._gathered(plan, state, number))
            else:
                done = self.private.release(number, state, functools.partial(self._collect, plan, state, number))
        except BudgetSpent as error:
            log.warning("round %d: %s", number, error)
            state.stopped = [node.site for node in self.nodes]
        if len(set(state.stopped)) == len(self.nodes):
            if not state.round:
                raise FederationError("no round could be trained: every site's privacy budget is spent")
            log.warning("every budget is spent: the run ends with the model of round %d", state.round)
            return None
        self._choose_late(state, done.validation)
        state.arrays, state.norm = done.arrays, done.norm
        return done if done.sites else replace(done, sites={node.site: untold(node) for node in self.nodes})

    def _gathered(self, plan: Averaging, state: State, number: int) -> Gathered:
        """What a round's updates are gathered in: by the strategy, or as one summed step with shared noise."""
        if not self.config.privacy.shared:
            return plan.gathered()
        from server.rounds.shared_noise import SharedStep  # opacus: a second to import

        return SharedStep(self.config, state.arrays, number, sum(node.examples for node in self.nodes))

    def _collect(self, plan: Averaging, state: State, number: int, updates: Gathered) -> GatheredRound:
        """Have a round's sites train, and gather the updates that are taken, each as it comes.

        Raises:
            FederationError: fewer sound updates than ``min_sites``.
        """
        if self.secure is not None:
            step: Any = updates if self.config.privacy.shared else None  # a SharedStep, whose module takes a second
            return collect_masked(self, self.secure, plan, state, number, step)
        federation = self.config.federation
        chosen = self._free(number, [node for node in self.present(number) if node.site not in state.stopped])
        open_ = self.private is None and not self.config.privacy.shared  # a hidden site's part is its own affair
        limit = federation.screen_norm if open_ else 0.0
        scope = Scope.of(self.config, model=forms_of(state.arrays), extra=plan.declared.up)
        beside = plan.declared.up if any(node.registered for node in self.nodes) else ()
        screening = Screening(scope, state.arrays, limit, state.norm, self._ways, beside)
        sites: dict[str, dict[str, Any]] = {}
        refused: Refused = {}
        messages = self.messages(plan, state, number, chosen)
        replies = exchange(self.grid, messages, federation.round_timeout, self.quorum)
        for verdict in self._verdicts(replies, state, screening, refused):
            if verdict.fault is not None:
                refuse(verdict.site, "update", verdict.fault, refused)
            else:
                sites[verdict.site] = self._take_update(verdict, number, state)
                updates.add(verdict.reply)
        arrays = plan.aggregate(federation.pass_round(number)[1], updates, state.arrays, self._share(number, sites))
        if self.audit is not None:
            self.audit.note_refused(number, protocol.TRAIN, refused)
        left = [node.site for node in chosen if node.site not in state.stopped]
        self._check_enough(number, left, sites, refused)
        return GatheredRound(arrays=state.arrays if arrays is None else arrays, norm=screening.norm, sites=sites)

    def _verdicts(
        self, replies: Iterable[Message], state: State, screening: Screening, refused: Refused
    ) -> Iterator[Verdict]:
        """What becomes of each reply, in their order; of a site whose budget is spent there is none to judge."""
        names = {node.id: node.site for node in self.nodes}
        for reply in replies:
            site, verdicts = names[reply.metadata.src_node_id], list[Verdict]()
            with costing(site, "update", refused):
                hear(state, site, reply)
                if screening.is_stop(reply):
                    stop(state, site, reply)
                else:
                    verdicts = screening.judge(site, reply)
            yield from verdicts
        yield from screening.rest()

    def _take_update(self, verdict: Verdict, number: int, state: State) -> dict[str, Any]:
        """Note a site's reply and strip it to what the average needs; the site's entry in the round."""
        if self.audit is not None:
            self.audit.hear(verdict.site, verdict.reply)
        node = next(node for node in self.nodes if node.site == verdict.site)
        weight = weights(self.nodes, self.config, number)[node.site]
        return strip_reply(verdict.reply, node, self.config, number, state.arrays, weight)

    def _check_enough(self, number: int, left: Sequence[str], sites: Collection[str], refused: Refused) -> None:
        """Name those that were silent, and end the run where too few of those with a budget sent a sound update."""
        if silent := sorted(set(left) - set(sites) - set(refused)):
            why = "; enough of the others have (federation.quorum)" if self.quorum.reached else ""
            log.warning("round %d: no answer in time from %s%s", number, ", ".join(silent), why)
        least = self.config.federation.min_sites
        if left and len(sites) < least:
            lost = "; ".join(f"{site}: {why}" for site, why in sorted(refused.items())) or "no answer in time"
            raise FederationError(
                f"round {number}: {len(sites)} of {len(left)} sites sent a sound update, expected at least "
                f"{least} ({lost}); the last good checkpoint is in {self.folder}"
            )

    @property
    def _ways(self) -> dict[str, float]:
        found = step_ratio({node.site: node.examples for node in self.nodes}, self.config.training)
        return found | {site: min(found[site], MOST_STEPS) for site in limited(self.nodes)}

    def present(self, number: int, least: int = 1) -> list[Node]:
        """This round's sites, less those that are not connected; it waits while there are fewer than ``min_sites``.

        Args:
            number: of the round.
            least: sites that it waits for, if more.

        Raises:
            FederationError: they did not come within the round's time.
        """
        settings = self.config.federation
        deadline = time.monotonic() + settings.round_timeout
        while True:
            connected = set(self.grid.get_node_ids())
            present = [node for node in self._sample(number) if node.id in connected]
            if len(present) >= min(max(settings.min_sites, least), len(self.nodes)):
                break
            if time.monotonic() > deadline:
                raise FederationError(
                    f"round {number}: {len(present)} sites are connected, expected at least {settings.min_sites}; the "
                    f"last good checkpoint is in {self.folder}"
                )
            time.sleep(0.5)
        if absent := sorted({node.site for node in self._sample(number)} - {node.site for node in present}):
            log.warning("round %d: not connected: %s; the others go on", number, ", ".join(absent))
        return present

    def _free(self, number: int, nodes: list[Node]) -> list[Node]:
        """Those that are not at work on an earlier round, as a quorum leaves some; all, where these are too few."""
        busy = self.quorum.busy(self.grid)
        free = [node for node in nodes if node.id not in busy]
        if len(free) < min(self.config.federation.min_sites, len(nodes)):
            return nodes
        if late := [node.site for node in nodes if node.id in busy]:
            log.warning("round %d: still at an earlier round, and not asked: %s", number, ", ".join(late))
        return free

    def _sample(self, number: int) -> list[Node]:
        fraction = self.config.federation.fraction
        count = max(self.config.federation.min_sites, math.ceil(fraction * len(self.nodes) - 1e-9))
        drawn = numpy_generator(self.config.seed, number, "sites").permutation(len(self.nodes))
        return [self.nodes[i] for i in sorted(drawn[: min(count, len(self.nodes))])]

    def messages(self, plan: Averaging, state: State, number: int, chosen: Sequence[Node]) -> list[Message]:
        """A round's messages to nodes, in the order of the sites' names."""
        messages = plan.messages(number, state.arrays, [node.id for node in chosen])
        scaling, log_head = record(state.scaling), self.audit.about() if self.audit else {}
        stage, _ = self.config.federation.pass_round(number)
        for node, message in zip(chosen, messages, strict=True):
            message.content[protocol.SCALING] = scaling
            if state.class_weights:
                message.content[protocol.CLASS_WEIGHTS] = record(state.class_weights)
            settings = {**message.content.config_records[protocol.CONFIG], **about(state, node.site), **log_head}
            if plan.declared.keeps:
                settings[protocol.TAKEN] = state.last_taken(node.site, stage, self.config.federation.rounds)
            message.content[protocol.CONFIG] = ConfigRecord(settings)
            if self.secure is not None:
                message.content[protocol.SECURE] = self.secure.about(number)
        return messages

    def _share(self, number: int, sites: Collection[str]) -> float:
        """Of all sites' weight, that of some."""
        of_all = weights(self.nodes, self.config, number)
        return sum(of_all[site] for site in sites) / sum(of_all.values())

    def _validate(self, state: State, number: int, sites: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        """Confusion counts of the validation speakers, summed; each site's own UAR is noted beside its loss."""
        busy = self.quorum.busy(self.grid)
        asked = [] if self.config.privacy.on else [node for node in self.nodes if node.id not in busy]
        holders = [node for node in asked if node.validation]
        if not holders:
            return None
        with note_refusals(self.audit, number, protocol.EVALUATE) as refused:
            counts = ask(
                self.grid, self.config, state, holders, protocol.EVALUATE, state.arrays, refused, quorum=self.quorum
            )
        for site, own in counts.items():
            if site in sites:
                sites[site]["uar"] = float(metrics.uar(own.confusion.sum(axis=0)))
        if not counts:
            return None
        counted = bounded({site: own.examples for site, own in counts.items()}, limited(self.nodes))
        parts = [own.confusion.sum(axis=0) * _part(counted[site], own.examples) for site, own in counts.items()]
        confusion = np.sum(parts, axis=0)
        scores = {name: float(figure(confusion)) for name, figure in metrics.FIGURES.items()}
        examples = sum(own.examples for own in counts.values())
        return {**scores, "loss": sum(own.loss or 0.0 for own in counts.values()) / examples}


def _entry(number: int, seconds: float, done: GatheredRound, validation: dict[str, Any] | None) -> dict[str, Any]:
    """A round's, as ``result.json`` has it."""
    entry = {"round": number, "seconds": seconds, "validation": validation, "sites": done.sites}
    return entry if done.loss is None else {**entry, "loss": done.loss}


def _part(counted: int, told: int) -> float | int:
    """What of each of a site's counts is taken; 1 where they are taken as they are, which keeps them whole numbers."""
    return 1 if counted == told else counted / told

"""The rounds: train at the sites, average, validate at the sites, keep a checkpoint. No test data comes in here."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.errors import BudgetSpent, FederationError
from common.learning import metrics
from common.messages.scope import Scope, extra_records, forms_of
from common.seeds import numpy_generator
from server.messages.exchange import exchange
from server.messages.rejections import Refused
from server.records.audit_log import ServerAudit, noted
from server.records.ledger_reports import about, hear, says_stopped
from server.rounds import model_selection, strategy
from server.rounds.screening import fault, longer_way, not_scaled_up, screened
from server.rounds.site_scores import ask, record
from server.rounds.strategy import Merge
from server.rounds.updates import take, untold
from server.run import checkpoint
from server.run.checkpoint import Arrays, State
from server.sites.handshake import Node

if TYPE_CHECKING:
    from server.records.central_dp import SiteUnit

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
    """

    grid: Grid
    config: Config
    nodes: Sequence[Node]
    folder: Path
    on_round: Callable[[dict[str, Any]], None]
    private: SiteUnit | None = None
    audit: ServerAudit | None = None

    def run(self, state: State) -> State:
        """Run the rounds that are left, from a fresh state or a checkpoint.

        Raises:
            FederationError: fewer sound updates than ``min_sites``; the last good checkpoint stays.
        """
        plan = strategy.make(self.config.federation)
        strategy.restore(plan, state.strategy)
        for number in range(state.round + 1, self.config.federation.rounds + 1):
            began, before = time.perf_counter(), state.arrays
            sites = self._train(plan, state, number)
            if sites is None:
                break
            validation = self._validate(state, number, sites)
            model_selection.choose(state, number, validation)
            if validation is None:
                model_selection.average(self.config, state, number)
            seconds = time.perf_counter() - began
            entry = {"round": number, "seconds": seconds, "validation": validation, "sites": sites}
            state.history.append(entry)
            self._keep(plan, state, entry, before)
        return state

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
        plan = strategy.make(self.config.federation)
        strategy.restore(plan, state.strategy)
        for number in range(state.round + 1, last + state.best_round + 1):
            began, before = time.perf_counter(), state.arrays
            sites = self._train(plan, state, number) or {}
            seconds = time.perf_counter() - began
            entry = {"round": number, "seconds": seconds, "validation": None, "sites": sites, "refit": state.best_round}
            state.refit.append(entry)
            self._keep(plan, state, entry, before)
        state.best = state.arrays
        return state

    def _turn(self, number: int) -> int:
        """Which round of its pass it is: FedAdam's correction of its moments starts anew with them."""
        rounds = self.config.federation.rounds
        return number - rounds if number > rounds else number

    def _keep(self, plan: Any, state: State, entry: dict[str, Any], before: Arrays) -> None:
        """End a round: its checkpoint, its line in the log and its event."""
        state.round = entry["round"]
        state.strategy = strategy.state(plan)
        checkpoint.save(state, self.folder / "checkpoint.safetensors")
        if self.audit is not None:
            spent = self.private.spent() if self.private else None
            self.audit.round(state.round, before, state, entry["sites"], spent)
        self.on_round(entry)

    def _train(self, plan: Any, state: State, number: int) -> dict[str, dict[str, Any]] | None:
        """Train a round, and put its model into the state; None where every budget is spent."""
        sites: dict[str, dict[str, Any]] = {}
        try:
            if self.private is None:
                arrays = self._collect(plan, state, number, sites)
            else:
                arrays = self.private.release(number, lambda merge: self._collect(plan, state, number, sites, merge))
        except BudgetSpent as error:
            log.warning("round %d: %s", number, error)
            state.stopped = [node.site for node in self.nodes]
        if len(set(state.stopped)) == len(self.nodes):
            if not state.round:
                raise FederationError("no round could be trained: every site's privacy budget is spent")
            log.warning("every budget is spent: the run ends with the model of round %d", state.round)
            return None
        state.arrays = arrays
        return sites or {node.site: untold(node) for node in self.nodes}

    def _collect(
        self, plan: Any, state: State, number: int, sites: dict[str, dict[str, Any]], merge: Merge | None = None
    ) -> Arrays:
        chosen = [node for node in self._present(number) if node.site not in state.stopped]
        messages = plan.configure_train(
            number, record(state.arrays), ConfigRecord(), _Chosen([node.id for node in chosen])
        )
        refused: Refused = {}
        replies = self._heard(self._send(messages, state, chosen), state)
        norms = [state.norm] if state.norm else []
        sound = screened(replies, self._scope(state), self._names, refused)
        limit = 0.0 if self.private else self.config.federation.screen_norm  # a hidden site's part is its own affair
        short = not_scaled_up(sound, state.arrays, limit, norms, refused, ways=self._ways)
        noted = self._noted(short, number, state, sites)
        arrays = strategy.aggregate(plan, self.config.federation, self._turn(number), noted, state.arrays, merge)
        state.norm = float(np.median(norms)) if norms else 0.0
        if self.audit is not None:
            self.audit.refused(number, protocol.TRAIN, refused)
        left = [node for node in chosen if node.site not in state.stopped]
        silent = sorted({node.site for node in left} - set(sites) - set(refused))
        if silent:
            log.warning("round %d: no answer in time from %s", number, ", ".join(silent))
        if left and (arrays is None or len(sites) < self.config.federation.min_sites):
            lost = "; ".join(f"{site}: {why}" for site, why in sorted(refused.items())) or "no answer in time"
            raise FederationError(
                f"round {number}: {len(sites)} of {len(left)} sites sent a sound update, expected at least "
                f"{self.config.federation.min_sites} ({lost}); the last good checkpoint is in {self.folder}"
            )
        return state.arrays if arrays is None else arrays

    def _scope(self, state: State) -> Scope:
        """What is known of the run before a site's update is read."""
        _, extra = extra_records(self.config)
        return Scope.of(self.config, model=forms_of(state.arrays), extra=extra)

    def _heard(self, replies: Iterable[Message], state: State) -> Iterator[Message]:
        """The replies, less the words of those whose budget is spent."""
        scope = self._scope(state)
        for reply in replies:
            site = self._names[reply.metadata.src_node_id]
            hear(state, site, reply)
            if says_stopped(reply) and fault(reply, scope) is None:
                state.stopped.append(site)
                log.warning("%s: out of budget; the others go on", site)
            else:
                yield reply

    @property
    def _ways(self) -> dict[str, float]:
        return longer_way({node.site: node.examples for node in self.nodes}, self.config.training.batch_size)

    @property
    def _names(self) -> dict[int, str]:
        return {node.id: node.site for node in self.nodes}

    def _present(self, number: int) -> list[Node]:
        """This round's sites, less those that are not connected; it waits while there are fewer than ``min_sites``.

        Raises:
            FederationError: they did not come within the round's time.
        """
        settings = self.config.federation
        deadline = time.monotonic() + settings.round_timeout
        while True:
            connected = set(self.grid.get_node_ids())
            present = [node for node in self._sample(number) if node.id in connected]
            if len(present) >= min(settings.min_sites, len(self.nodes)):
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

    def _sample(self, number: int) -> list[Node]:
        fraction = self.config.federation.fraction
        count = max(self.config.federation.min_sites, math.ceil(fraction * len(self.nodes) - 1e-9))
        drawn = numpy_generator(self.config.seed, number, "sites").permutation(len(self.nodes))
        return [self.nodes[i] for i in sorted(drawn[: min(count, len(self.nodes))])]

    def _send(self, messages: Collection[Message], state: State, chosen: Sequence[Node]) -> Any:
        """Send each node its message, in the order of the sites' names, with the scaling beside the weights."""
        own = {message.metadata.dst_node_id: message for message in messages}
        scaling, log_head = record(state.scaling), self.audit.about() if self.audit else {}
        for node in chosen:  # Flower gives all messages one content: each gets its own
            content = RecordDict(dict(own[node.id].content.items()))
            content[protocol.SCALING] = scaling
            settings = content.config_records[protocol.CONFIG]
            content[protocol.CONFIG] = ConfigRecord({**settings, **about(state, node.site), **log_head})
            own[node.id].content = content
        ordered = [own[node.id] for node in chosen]
        return exchange(self.grid, ordered, self.config.federation.round_timeout)

    def _noted(
        self, replies: Iterable[tuple[str, Message]], number: int, state: State, sites: dict[str, dict[str, Any]]
    ) -> Iterator[Message]:
        """The replies as they are averaged; what each told is noted."""
        nodes = {node.site: node for node in self.nodes}
        for site, reply in replies:
            if self.audit is not None:
                self.audit.heard(site, reply)
            sites[site] = take(reply, nodes[site], self.config, number, state.arrays)
            yield reply

    def _validate(self, state: State, number: int, sites: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        """Confusion counts of the validation speakers, summed; each site's own UAR is noted beside its loss."""
        holders = [] if self.config.privacy.on else [node for node in self.nodes if node.validation]
        if not holders:
            return None
        with noted(self.audit, number, protocol.EVALUATE) as refused:
            counts = ask(self.grid, self.config, state, holders, protocol.EVALUATE, state.arrays, refused)
        for site, told in counts.items():
            if site in sites:
                sites[site]["uar"] = float(metrics.uar(told.confusion.sum(axis=0)))
        if not counts:
            return None
        confusion = np.sum([told.confusion.sum(axis=0) for told in counts.values()], axis=0)
        scores = {name: float(figure(confusion)) for name, figure in metrics.FIGURES.items()}
        examples = sum(told.examples for told in counts.values())
        return {**scores, "loss": sum(told.loss for told in counts.values()) / examples}


class _Chosen:
    """What Flower's strategies see of the grid: the nodes that take part in this round."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = ids

    def get_node_ids(self) -> Sequence[int]:
        return self.ids

"""A round behind masks: the sites' words as they come, their sum opened, and of it the new model.

Of a site the server learns that it took part, nothing of how it did: what ``result.json`` says of it is null. How the
model that came in does on the validation speakers rides with the update, so it is known a round late; the last round's
is asked for by itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Message

from common import protocol
from common.learning import metrics
from common.secure.model_update import moved
from common.secure.round_words import RoundLayout
from common.secure.tallies import Numbers, layout_of_tally, layout_of_update, numbers_told
from server.messages.exchange import exchange
from server.messages.rejections import Refused, costing, failure, refuse
from server.records.audit_log import note_refusals
from server.records.ledger_reports import hear, says_stopped, spent_so_far, stop
from server.rounds.gathering import GatheredRound, Opened
from server.rounds.site_scores import scored
from server.rounds.strategy import Averaging
from server.rounds.updates import told, untold
from server.run.checkpoint import State
from server.sites.handshake import Node

if TYPE_CHECKING:
    from server.rounds.loop import Rounds
    from server.rounds.shared_noise import SharedStep
    from server.secure.secure_sums import SecureSums

log = logging.getLogger("fedser.server")


def collect_masked(
    rounds: Rounds, secure: SecureSums, plan: Averaging, state: State, number: int, step: SharedStep | None
) -> GatheredRound:
    """Have a round's sites train, add their updates up behind masks, and open the sum.

    Args:
        rounds: of the run.
        secure: its sums.
        plan: the strategy.
        state: before the round.
        number: of the round.
        step: where the sites share one noise what their sum goes into.

    Raises:
        FederationError: the sum can't be opened.
    """
    stage, turn = rounds.config.federation.pass_round(number)
    if _is_over(secure, state):
        return _end(state, secure, number)
    present = rounds.present(number, secure.least)
    chosen = [node for node in present if node.site not in state.stopped and node in secure.members]
    messages = rounds.messages(plan, state, number, chosen)
    found = secure.begin(protocol.TRAIN, number, messages[0].content)
    layout = RoundLayout(entries=step.entries) if step else _layout(rounds, state, refit=stage == "all")
    by_id = {node.id: node for node in chosen}
    sites, refused, came = dict[str, dict[str, Any]](), Refused(), list[Message]()
    for reply in exchange(rounds.grid, messages, rounds.config.federation.round_timeout):
        node = by_id[reply.metadata.src_node_id]
        with costing(node.site, "update", refused):
            hear(state, node.site, reply)
            if reply.has_error():
                refuse(node.site, "update", failure(reply), refused)
            elif says_stopped(reply):
                stop(state, node.site, reply)
            else:
                found.add(secure.read(node, protocol.TRAIN, reply, layout))
                sites[node.site] = _entry(rounds, node, number, reply)
                came.append(reply)
    if rounds.audit is not None:
        rounds.audit.note_refused(number, protocol.TRAIN, refused)
    if _is_over(secure, state):
        return _end(state, secure, number)
    _name_silent(secure, state, {*sites, *refused}, number)
    if step is not None:
        step.check_enough(len(found.sites))
    opened = secure.open(found, refit=stage == "all", refused=refused)
    if step is not None:
        step.add_sum(opened.words.view(np.int32).astype(np.int64), len(opened.sites))
        arrays = plan.aggregate(turn, step, state.arrays)
        return GatheredRound(arrays=arrays or state.arrays, norm=0.0, sites=sites)
    mean, beside = opened.mean(layout)
    arrays = plan.aggregate(turn, Opened(moved(state.arrays, mean), came[0]), state.arrays)
    return GatheredRound(
        arrays=arrays or state.arrays,
        norm=float(np.linalg.norm(mean)),
        sites=sites,
        loss=beside.means.get(protocol.LOSS),
        validation=_validation(numbers_told(beside)) if beside.counts and turn > 1 else None,
    )


def last_validation(secure: SecureSums, state: State, rounds: Rounds) -> dict[str, Any] | None:
    """How the last round's model does on the validation speakers, asked for by itself; None where there are none."""
    number = rounds.config.most_rounds + 1
    layout = layout_of_tally(protocol.EVALUATE, features=0, classes=classes_of(rounds, state))
    with note_refusals(rounds.audit, number, protocol.EVALUATE) as refused:
        opened = secure.try_gather(protocol.EVALUATE, number, scored(state, state.arrays), layout, refused)
    if opened is None:
        return None
    told = numbers_told(opened.mean(layout)[1])
    named = {protocol.CONFUSION: protocol.CONFUSION, protocol.EXAMPLES: protocol.VALIDATION_EXAMPLES}
    return _validation({named.get(name, protocol.VALIDATION_LOSS): own for name, own in told.items()})


def classes_of(rounds: Rounds, state: State) -> int:
    """How many classes the model tells apart."""
    return int(state.arrays[rounds.config.model.architecture.output_bias].shape[0])


def _layout(rounds: Rounds, state: State, *, refit: bool) -> RoundLayout:
    entries = sum(array.size for array in state.arrays.values())
    if rounds.config.privacy.on:
        return RoundLayout(entries=entries)
    return layout_of_update(entries, classes_of(rounds, state), refit=refit)


def _entry(rounds: Rounds, node: Node, number: int, reply: Message) -> dict[str, Any]:
    """The site's entry in the round, and its line in the server's log."""
    if rounds.audit is not None:
        rounds.audit.hear(node.site, reply)
    size = sum(len(array.data) for array in reply.content.array_records[protocol.MASKED].values())
    spent = spent_so_far(reply) if rounds.config.privacy.at_sites else {}
    return {**untold(node), "examples": told(node, rounds.config, number), "bytes": size, **spent}


def _validation(numbers: Numbers) -> dict[str, Any] | None:
    [examples], [loss] = numbers[protocol.VALIDATION_EXAMPLES], numbers[protocol.VALIDATION_LOSS]
    if not examples:
        return None
    confusion = np.array(numbers[protocol.CONFUSION])
    confusion = confusion.reshape(2 * (round(len(confusion) ** 0.5),))
    return {**{name: float(figure(confusion)) for name, figure in metrics.FIGURES.items()}, "loss": loss / examples}


def _name_silent(secure: SecureSums, state: State, heard: set[str], number: int) -> None:
    if silent := sorted({node.site for node in secure.members} - heard - set(state.stopped)):
        log.warning("round %d: no answer in time from %s", number, ", ".join(silent))


def _is_over(secure: SecureSums, state: State) -> bool:
    """Whether so many sites are out of budget that no sum of the others can be opened."""
    return len([node for node in secure.members if node.site not in state.stopped]) < secure.least


def _end(state: State, secure: SecureSums, number: int) -> GatheredRound:
    """The run ends with the model that there is: the sites that are left are too few to hide each other."""
    left = sorted({node.site for node in secure.nodes} - set(state.stopped))
    if left:
        log.warning("round %d: too few sites have a budget left to add up without the others", number)
    state.stopped += left
    return GatheredRound(arrays=state.arrays, norm=state.norm, sites={})

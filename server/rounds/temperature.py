"""How sure the chosen model is, asked once of the sites with validation speakers, and the temperature by their answers.

It is asked before these speakers' recordings train too: afterwards nobody is left whom the model has not heard.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.learning.confidence import Confidence, pooled
from common.messages import schema
from common.messages.scope import Scope
from server.messages.rejections import Refused
from server.records.audit_log import note_refusals
from server.records.scores import Calibration
from server.rounds.loop import Rounds
from server.rounds.site_scores import ask_each, scored
from server.run import checkpoint
from server.run.checkpoint import Arrays, State
from server.secure.tallied_sums import confidence_behind_masks
from server.sites.handshake import Node
from server.sites.shares import bounded, limited

MOST_LOSS = 3.0  # times that of a guess is what a site's mean loss is taken for at most


def hear_confidence(rounds: Rounds, state: State) -> State:
    """Ask how sure the model is that the validation speakers have chosen, unless that is known, and keep the answer.

    A site that does not answer is left out. Nobody is asked in a private run, or where there is nobody to ask.

    Args:
        rounds: that were run.
        state: after the last of them, or of a checkpoint since.
    """
    holders = [] if rounds.config.privacy.on else [node for node in rounds.nodes if node.validation]
    if not holders or not state.best or state.confidence is not None:
        return state
    with note_refusals(rounds.audit, state.round, protocol.EVALUATE_CONFIDENCE) as refused:
        known = _heard(rounds, state, holders, refused)
    state.confidence = _as_json(known) if known else {}
    checkpoint.save(state, rounds.folder / "checkpoint.safetensors")
    return state


def _heard(rounds: Rounds, state: State, holders: Sequence[Node], refused: Refused) -> Confidence | None:
    classes = _classes(rounds.config, state)
    if rounds.secure is not None:
        return confidence_behind_masks(rounds.secure, scored(state, state.best), classes, refused)
    told = ask_confidence(rounds.grid, rounds.config, state, holders, state.best, refused)
    return together(told, holders, classes) if told else None


def ask_confidence(
    grid: Grid, config: Config, state: State, nodes: Sequence[Node], arrays: Arrays, refused: Refused
) -> dict[str, Confidence]:
    """Send sites a model, and collect how sure it is of their validation speakers, by site.

    Args:
        grid: Flower's way to the nodes.
        config: of the run.
        state: has the scaling, and the number of the round.
        nodes: to ask.
        arrays: the model.
        refused: the sites whose answer is not taken are added, with the reason.
    """
    return ask_each(grid, config, state, nodes, protocol.EVALUATE_CONFIDENCE, arrays, _read, refused)


def _read(node: Node, reply: Message) -> Confidence:
    """A site's answer.

    Raises:
        Misfit: it is none, or of more recordings than the site said that it has.
    """
    values = schema.read_reply(protocol.EVALUATE_CONFIDENCE, Scope(most=node.validation), reply.content)
    told = values[protocol.METRICS]
    losses, right, wrong = (
        np.array(told[key], np.float64) for key in (protocol.LOSSES, protocol.RIGHT, protocol.WRONG)
    )
    return Confidence(recordings=told[protocol.EXAMPLES], losses=losses, right=right, wrong=wrong)


def together(told: Mapping[str, Confidence], nodes: Sequence[Node], classes: int) -> Confidence:
    """What the sites told, in sum; a site counts by its recordings, held to the share that it has at most.

    Of a site of its own, whose word nobody can check, the mean loss is taken for ``MOST_LOSS`` guesses' at most: one
    that writes an endless one at some temperatures would fix the minimum. It could not change a label by that.

    Args:
        told: by site, by one at least.
        nodes: all that were asked.
        classes: how many the model tells apart.
    """
    known = {node.site: node for node in nodes}
    counted = bounded({site: own.recordings for site, own in told.items()}, limited(nodes))
    parts = []
    for site, own in told.items():
        most = MOST_LOSS * math.log(classes) * own.recordings if known[site].registered else math.inf
        parts.append(_clipped(own, most).weighing(counted[site] / own.recordings))
    return pooled(parts)


def _clipped(told: Confidence, most: float) -> Confidence:
    """The same with losses of so much at most; where all are larger, they are one number, which bends nothing."""
    larger = told.losses > most
    return dataclasses.replace(told, losses=np.minimum(told.losses, most), clipped=larger & ~larger.all())


def calibration(state: State) -> Calibration | None:
    """The temperature, and what it was fitted to; None where nobody told, so that the temperature is 1."""
    if not state.confidence:
        return None
    told = Confidence(
        recordings=state.confidence["recordings"],
        **{name: np.array(values) for name, values in state.confidence.items() if name != "recordings"},
    )
    return Calibration(
        temperature=told.temperature(),
        recordings=told.recordings,
        ece_before=told.error(),
        unsure=told.unsure(),
        bins={name: tuple(getattr(told, name).tolist()) for name in ("right", "wrong")},
    )


def _as_json(told: Confidence) -> dict[str, object]:
    sums = {name: getattr(told, name).tolist() for name in ("losses", "right", "wrong", "clipped")}
    return {"recordings": told.recordings, **sums}


def _classes(config: Config, state: State) -> int:
    return int(state.best[config.model.architecture.output_bias].shape[0])

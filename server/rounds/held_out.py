"""The held-out score: of the chosen model, once, at the end. Nothing that trains or chooses can call it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.data.resident import recordings_of
from common.data.strangers import AFTER, ALL, FIRST, conditions
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.learning import metrics
from common.learning.stranger_scores import StrangerScores, score_strangers
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.splits.plan import Plan
from server.messages.rejections import Refused
from server.records.scores import Counts, NoiseCounts, Scores
from server.rounds.noise_scores import figures_of, noise_figures, score_noise
from server.rounds.site_scores import Counts as Answer
from server.rounds.site_scores import ask, scored
from server.run.checkpoint import Arrays, State
from server.secure.secure_sums import SecureSums
from server.secure.tallied_sums import held_out_behind_masks
from server.sites.handshake import Node

log = logging.getLogger("fedser.server")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The score on held-out speakers.

    Attributes:
        test: of the chosen model; None where it was not scored.
        speakers: how many were scored.
        by_speaker: the confusion counts of each; None where a site tells those of all its own together.
        strangers: the counts as of strangers, by how many others of the speaker were heard.
        noise: the counts in noise of each speaker who is here; None where they are not asked for, or nobody is.
        sites: by the sites that hold test speakers, how many recordings each scored; None where one did not.
        scores: by the sites that scored it, what it reaches on their speakers: their word, which nobody can check.
    """

    test: Scores | None
    speakers: int
    by_speaker: tuple[Counts, ...] | None
    strangers: Mapping[str, tuple[Counts, ...] | None]
    sites: dict[str, int | None]
    noise: NoiseCounts | None = None
    scores: dict[str, Scores] = field(default_factory=dict)


def score_held_out(
    grid: Grid,
    config: Config,
    plan: Plan,
    nodes: Sequence[Node],
    state: State,
    cache: FeatureCache,
    refused: Refused,
    secure: SecureSums | None = None,
) -> HeldOut:
    """Score the chosen model on the held-out speakers, the server's own and those that sites hold.

    In a deployment a site that does not score the model is named in the log, and the score is without its speakers. In
    a private one no site is asked: counts of single people have no noise, so only the server's own speakers are scored,
    or nobody's. In a simulation all of them are the server's own, wherever the plan puts them.

    Args:
        grid: Flower's way to the nodes.
        config: of the run.
        plan: of the fold, with the server's own test speakers.
        nodes: all that take part.
        state: after the last round.
        cache: of the server's own features.
        refused: the sites whose answer was not taken are added, with the reason.
        secure: sums behind masks, in which the sites of a deployment score it together.

    Raises:
        FederationError: nobody scored it; in a simulation, any site that holds test speakers did not.
    """
    chosen, simulated = state.best or state.arrays, bool(plan.sites)
    holders = [] if untouched(config, plan) else [node for node in nodes if node.test]
    if secure is not None and holders and not simulated:
        parts, sites, answers = *_together(secure, state, chosen, holders, refused), dict[str, Answer]()
        if not parts:
            _check_scored(plan, holders, answers)
    else:
        answers = ask(grid, config, state, holders, protocol.EVALUATE_TEST, chosen, refused, simulated=simulated)
        parts = list(answers.values())
        sites = {node.site: answers[node.site].examples if node.site in answers else None for node in holders}
        if not untouched(config, plan):
            _check_scored(plan, holders, answers)
    if plan.test:
        parts.insert(0, _own(score(config, plan, plan.test, chosen, state.scaling, cache)))
    if not parts:
        log.warning("the model is not scored: the run is private, and no held-out speaker is at the coordinator")
        return HeldOut(test=None, speakers=0, by_speaker=None, strangers={}, sites=sites)
    if not all(part.known for part in parts):
        log.warning("held-out speakers are scored as strangers alone: a site's policy has no allow_test_speakers")
        parts = [replace(part, confusion=part.after[FIRST], known=False, loss=None) for part in parts]
    counts = [table for part in parts for table in part.confusion]
    strangers = _strangers(parts)
    test, noise = _scores(counts, plan, _mean_loss(parts)), _in_noise(config, plan, state, cache)
    return HeldOut(
        test=replace(
            test,
            stranger={name: figures_of(own) if own else None for name, own in strangers.items()},
            noise=noise_figures(noise) if noise else None,
        ),
        speakers=sum(part.speakers for part in parts),
        by_speaker=tuple(map(_counts, counts)) if all(part.by_speaker for part in parts) else None,
        strangers={name: tuple(map(_counts, own)) if own else None for name, own in strangers.items()},
        noise=noise,
        sites=sites,
        scores={site: _scores(answer.confusion, plan, _mean_loss([answer])) for site, answer in answers.items()},
    )


def _together(
    secure: SecureSums, state: State, chosen: Arrays, holders: Sequence[Node], refused: Refused
) -> tuple[list[Answer], dict[str, int | None]]:
    """What the sites told behind masks, as one answer; and by site how many recordings are in it."""
    classes = int(chosen[secure.config.model.architecture.output_bias].shape[0])
    told, members = held_out_behind_masks(secure, scored(state, chosen), classes, refused)
    if not told:
        return [], dict.fromkeys((node.site for node in holders), None)
    tables = {
        key: np.rint(own).astype(np.int64).reshape(1, classes, classes) for key, own in told.items() if len(own) > 1
    }
    [examples], [speakers] = told[protocol.EXAMPLES], told[protocol.SPEAKERS]
    if not examples:
        log.warning("held-out speakers at sites are not in the score: no site that holds some lets their counts out")
        return [], dict.fromkeys((node.site for node in holders), None)

    def is_whole(heard: str) -> bool:
        draws = protocol.DRAWS if int(heard) and secure.config.data.normalise == "running" else 1
        return bool(tables[protocol.after(heard)].sum() == examples * draws)

    first, known = protocol.after(protocol.AFTER[0]), bool(tables[protocol.CONFUSION].sum() == examples)
    answer = Answer(
        confusion=tables[protocol.CONFUSION if known else first],
        known=known,
        examples=round(examples),
        speakers=round(speakers),
        after={heard: tables[protocol.after(heard)] for heard in protocol.AFTER if is_whole(heard)},
    )
    return [answer], {node.site: node.test if node.site in members else None for node in holders}


def _scores(tables: Sequence[metrics.Confusion] | metrics.Confusion, plan: Plan, loss: float | None) -> Scores:
    return Scores.from_json(metrics.scores(np.sum(tables, axis=0), plan.classes, loss))


def _strangers(parts: Sequence[Answer]) -> dict[str, list[metrics.Confusion] | None]:
    """The tables of each condition; None where one of those who scored the model has none."""
    of_each = [{**part.after, ALL: part.confusion} if part.known else {FIRST: part.confusion} for part in parts]
    return {
        name: [table for own in of_each for table in own[name]] if all(name in own for own in of_each) else None
        for name in AFTER
    }


def untouched(config: Config, plan: Plan) -> bool:
    """Whether the held-out speakers at the sites are left alone: those of a private run that is no simulation."""
    return config.privacy.on and not plan.sites


def _own(scored: StrangerScores) -> Answer:
    """The server's own score, as a site tells its."""
    after = {name: np.stack(list(own.values())) for name, own in scored.after.items()}
    known = scored.known
    confusion = np.stack(list(known.confusion.values()))
    return Answer(confusion=confusion, examples=known.examples, loss=known.loss, speakers=len(confusion), after=after)


def _mean_loss(parts: Sequence[Answer]) -> float | None:
    """Of all recordings; None where a site does not tell its own."""
    losses = [part.loss for part in parts if part.loss is not None]
    return sum(losses) / sum(part.examples for part in parts) if len(losses) == len(parts) else None


def check_held_out(config: Config, plan: Plan, nodes: Sequence[Node]) -> None:
    """Refuse a run that nobody could score at its end; a private one goes without a score, which the log says.

    Raises:
        FederationError: neither the server nor a site holds a test speaker.
    """
    if plan.test or (any(node.test for node in nodes) and not untouched(config, plan)):
        return
    if untouched(config, plan):
        log.warning(
            "the model will not be scored: no held-out speaker is at the coordinator (--root gives it some), and in a "
            "private run those of the sites are asked nothing"
        )
    else:
        raise FederationError(
            "no held-out speaker is anywhere: no site has recordings marked split=test, and the coordinator has none; "
            "give it some by --root, or let a site mark some"
        )


def _check_scored(plan: Plan, holders: Sequence[Node], answers: dict[str, Answer]) -> None:
    """See to the sites that did not score the model."""
    silent = ", ".join(sorted({node.site for node in holders} - set(answers)))
    if silent and plan.sites:  # a simulation: all of it is ours, and nobody may say no
        raise FederationError(f"held-out speakers lie at {silent}, which did not score the model; run it with --resume")
    if not answers and not plan.test:
        raise FederationError(
            f"no held-out speaker was scored: they lie at {silent or 'no site that is here'}, expected an answer from "
            "one; the rounds are done and the model is kept: let the site's policy allow it (allow_test = true), which "
            "takes as many held-out speakers there as its min_speakers"
        )
    if silent:
        log.warning("held-out speakers at %s are not in the score: the model was not scored there", silent)


def _counts(confusion: metrics.Confusion) -> Counts:
    return tuple(tuple(row) for row in confusion.tolist())


def score(
    config: Config, plan: Plan, speakers: Sequence[str], arrays: Arrays, scaling: Arrays, cache: FeatureCache
) -> StrangerScores:
    """Evaluate weights on recordings that this machine holds."""
    known = Scaling.of_arrays(scaling)
    model = _model(config, plan, arrays, known)
    own = _recordings(config, plan, speakers, known, cache)
    # Not on a GPU: a process that has touched one can't fork workers that use it.
    return score_strangers(
        model, conditions(own, config, known), lambda ready: SpeechDataset(ready, plan.classes), torch.device("cpu")
    )


def _in_noise(config: Config, plan: Plan, state: State, cache: FeatureCache) -> NoiseCounts | None:
    """The counts in noise of the speakers that are here, where they are asked for; no site is asked."""
    speakers = plan.test_speakers if plan.sites else plan.test  # in a simulation all of them are here
    if not config.data.score_noise:
        return None
    if not speakers:
        log.warning("noise: no held-out speaker is here, and no site is asked: nothing is scored in noise")
        return None
    known = Scaling.of_arrays(state.scaling)
    model = _model(config, plan, state.best or state.arrays, known)
    own = _recordings(config, plan, speakers, known, cache)
    return score_noise(model, own, plan.classes, config, known, cache)


def _model(config: Config, plan: Plan, arrays: Arrays, scaling: Scaling) -> EmotionModel:
    model = build_model(len(scaling.mean), len(plan.classes), config)
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
    return model


def _recordings(
    config: Config, plan: Plan, speakers: Sequence[str], scaling: Scaling, cache: FeatureCache
) -> list[Recording]:
    """Those of as many features as the model takes."""
    width = len(scaling.mean)
    return [r for r in recordings_of(config, plan, speakers, cache) if r.versions[0].shape[1] == width]

"""The held-out score: of the chosen model, once, at the end. Nothing that trains or chooses can call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flwr.serverapp import Grid

from common import metrics, protocol
from common.cache import FeatureCache
from common.config import Config
from common.dataset import SpeechDataset
from common.errors import FederationError
from common.holdings import recordings_of
from common.model import EmotionModel
from common.normalise import Scaling, normalise
from common.plan import Plan
from common.training import evaluate
from server.asking import ask
from server.checkpoint import Arrays, State
from server.nodes import Node


def held_out_score(
    grid: Grid, config: Config, plan: Plan, nodes: Sequence[Node], state: State, cache: FeatureCache
) -> tuple[dict[str, Any], list[list[list[int]]]]:
    """Score the chosen model on the held-out speakers, the server's own and those that sites hold.

    Returns:
        The ``test`` entry of ``result.json``, and the confusion counts of each test speaker.

    Raises:
        FederationError: a site that holds test speakers did not answer.
    """
    chosen = state.best or state.arrays
    counts: list[metrics.Confusion] = []
    loss, examples = 0.0, 0
    if plan.test:
        own = score(config, plan, plan.test, chosen, state.scaling, cache)
        counts += list(own.confusion.values())
        loss, examples = own.loss, own.examples
    holders = [node for node in nodes if node.test]
    told = ask(grid, config, state, holders, protocol.EVALUATE_TEST, chosen)
    if len(told) < len(holders):
        lost = ", ".join(sorted({node.site for node in holders} - set(told)))
        raise FederationError(f"held-out speakers lie at {lost}, which did not score the model; run it with --resume")
    for site in told.values():
        counts += list(site.confusion)
        loss, examples = loss + site.loss, examples + site.examples
    test = metrics.scores(np.sum(counts, axis=0), plan.classes, loss / examples)
    return test, [confusion.tolist() for confusion in counts]


def score(
    config: Config, plan: Plan, speakers: Sequence[str], arrays: Arrays, scaling: Arrays, cache: FeatureCache
) -> Any:
    """Evaluate weights on recordings that this machine holds."""
    mean, deviation = (torch.from_numpy(scaling[name]) for name in ("mean", "deviation"))
    recordings = normalise(
        recordings_of(config, plan, speakers, cache), config.data.normalise, Scaling(mean=mean, deviation=deviation)
    )
    data = SpeechDataset(recordings, plan.classes)
    model = EmotionModel(mean.shape[0], len(plan.classes), config.model, layout=config.features)
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
    # Not on a GPU: a process that has touched one can't fork workers that use it.
    return evaluate(model, data, torch.device("cpu"))

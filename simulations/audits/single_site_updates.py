"""The updates that sites of one speaker each would send: real sites, asked by a server that wants to know.

What comes back went the way of any update: through the client's app, and in a private run through the mechanism, with
the noise that so small a site would have to add for the same ε.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor

from common import protocol
from common.config.kinds import CENTRE, Kind
from common.config.settings import Config
from common.data.normalise import Scaling
from common.errors import FederationError
from common.privacy.recipe import refuse_leaks
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from common.strategies.available import CATALOGUE
from server.rounds.site_scores import record
from simulations.audits.audited_run import AuditedRun
from simulations.engine.fold import local_run_config
from simulations.engine.worker_grid import InProcessGrid


@dataclass(frozen=True, kw_only=True)
class Update:
    """One site's update: of the first layer, by name, the weights that came back less those that were sent."""

    speaker: str
    change: dict[str, Tensor]


def updates_of(
    run: AuditedRun,
    speakers: Sequence[str],
    weights: Mapping[str, Tensor],
    scaling: Scaling,
    *,
    count: int,
    workers: int,
    on_reply: Callable[[int], None],
) -> list[Update]:
    """The updates of sites that hold one speaker each, all from the same model.

    Args:
        run: with whose settings they train.
        speakers: in order.
        weights: the model that is sent out.
        scaling: what goes with it.
        count: updates of each, as in the run's first rounds.
        workers: processes.
        on_reply: called with the number of updates that are there.

    Returns:
        For each round those of all speakers.

    Raises:
        UsageError: the run is private, and a setting would tell of the recordings beside the noise.
        FederationError: a site failed.
    """
    refuse_leaks(run.config)
    sites = tuple(SiteSplit(name=speaker, train=(speaker,)) for speaker in speakers)
    plan = Plan(fold=run.plan.fold, classes=run.plan.classes, test=(), sites=sites, skipped=run.plan.skipped)
    own: dict[str, Any] = {"privacy.canaries": 0, "privacy.budget": "inf"}
    if CATALOGUE[run.config.federation.strategy].keeps:
        own["federation.strategy"] = "fedavg"  # sites that never were before have kept nothing: the model is all
    if run.config.training.class_weights == "pooled":
        own["training.class_weights"] = "own"  # nobody pools what one speaker holds
    config = run.config.with_values(own)
    found: list[Update] = []
    with tempfile.TemporaryDirectory(prefix="fedser-audit-") as name:
        folder = Path(name)
        plan.write(folder / "plan.json")
        settings = local_run_config(config, folder, folder / "events.jsonl", run.cache, None)
        nodes: list[dict[str, Any]] = [{protocol.PARTITION: i} for i in range(len(sites))]
        with InProcessGrid(_client_app, nodes, settings, workers=workers) as grid:
            for reply in grid.send_and_receive(_messages(config, weights, scaling, len(sites), count)):
                speaker = speakers[reply.metadata.src_node_id - 1]
                found.append(_update(reply, speaker, weights, config.model.architecture))
                on_reply(len(found))
    return found


def _messages(
    config: Config, weights: Mapping[str, Tensor], scaling: Scaling, sites: int, count: int
) -> Iterator[Message]:
    """As ``server.rounds.loop`` sends them: of every site one a round; a model of contours finds its centre there."""
    federation = config.federation
    arrays = record({name: tensor.numpy() for name, tensor in weights.items()})
    statistics: ArrayRecord = record(scaling.arrays())
    for number in range(1, count + 1):
        asked: dict[str, Any] = {protocol.ROUND: number}
        asked |= CATALOGUE[federation.strategy].settings(federation)
        if config.privacy.at_sites:
            asked |= {protocol.RUN: "audit", protocol.LEDGER_ENTRIES: 0, protocol.LEDGER_HASH: ""}
        for node in range(1, sites + 1):
            content = RecordDict({protocol.ARRAYS: arrays, protocol.SCALING: statistics})
            content[protocol.CONFIG] = ConfigRecord(asked)
            yield Message(content, node, protocol.TRAIN)


def _update(reply: Message, speaker: str, weights: Mapping[str, Tensor], kind: Kind) -> Update:
    arrays = None if reply.has_error() else reply.content.array_records.get(protocol.ARRAYS)
    if arrays is None:
        raise FederationError(f"the site of speaker {speaker} sent no update; what its app says above tells why")
    first = [name for name in weights if name.startswith((kind.first_layer, CENTRE))]
    change = {name: torch.from_numpy(arrays[name].numpy().copy()) - weights[name] for name in first}
    return Update(speaker=speaker, change=change)


def _client_app() -> ClientApp:
    from client.app import app

    return app

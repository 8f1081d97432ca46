"""The Flower ClientApp: seven messages, each answered from the site's own recordings."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from client.site import Site, open_site
from client.strategy_round import StrategyRound, store, tensors
from common import protocol
from common.data.normalise import Scaling
from common.errors import FedserError
from common.flower import packing
from common.learning.centring import centring, find_centre
from common.learning.confidence import Confidence, outputs
from common.learning.metrics import Confusion
from common.learning.training import Trained, evaluate, learning_rate, train
from common.models.model import EmotionModel
from common.seeds import seed_of

log = logging.getLogger("fedser.client")
Told = int | float | list[int] | list[float]
FAILED = 2  # Flower's code for a ClientApp that raised


def hide_failures(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Answer a failure without its text, which may name a patient's recording; write that to the site's own log."""
    try:
        return call_next(message, context)
    except FedserError as error:
        log.error("%s", error)
    except Exception:
        log.exception("the site's app failed")
    return Message(Error(FAILED, "the site failed; its own log says why"), reply_to=message)


def unpack_arrays(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Unpack arrays that come packed, and pack those of the reply."""
    if not packing.is_packed(message.content):
        return call_next(message, context)
    message.content = packing.unpack(message.content)
    reply = call_next(message, context)
    if reply.has_content():
        reply.content = packing.pack(reply.content)
    return reply


def add_counts(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """In a deployment, add to each reply how much there is to train on, for the site's own outbound gate."""
    reply = call_next(message, context)
    if reply.has_content() and protocol.PARTITION not in context.node_config:
        site = open_site(context.run_config, context.node_config)
        speakers, _ = site.speakers()
        reply.content[protocol.HELD] = ConfigRecord({protocol.RECORDINGS: site.recordings, protocol.SPEAKERS: speakers})
    return reply


app = ClientApp(mods=[hide_failures, unpack_arrays, add_counts])


@app.query("hello")
def hello(message: Message, context: Context) -> Message:
    """Say what this site is and how much it holds; where a run is named, it is over, and its state is forgotten."""
    site = open_site(context.run_config, context.node_config)
    if run := message.content.config_records[protocol.CONFIG].get(protocol.RUN):
        store(site, str(run)).forget()
        gone = ConfigRecord({protocol.SITE: site.name})  # how much it holds was told once, and may be another by now
        return Message(RecordDict({protocol.CONFIG: gone}), reply_to=message)
    train_examples, validation_examples, test_examples = site.counts()
    speakers, validation_speakers = site.speakers()
    answer = ConfigRecord(
        {
            protocol.SITE: site.name,
            protocol.PROTOCOL: protocol.VERSION,
            protocol.CLASSES: list(site.classes),
            protocol.FEATURES: site.features,
            protocol.EXAMPLES: train_examples,
            protocol.VALIDATION_EXAMPLES: validation_examples,
            protocol.TEST_EXAMPLES: test_examples,
            protocol.SPEAKERS: speakers,
            protocol.VALIDATION_SPEAKERS: validation_speakers,
            protocol.MISSING: [] if site.config.privacy.on else site.missing(),
            protocol.RELEASE: f"fedser {importlib.metadata.version('fedser')}, torch {torch.__version__}",
            protocol.LABELS: site.holding.labels,
            protocol.ENCODER: site.config.features.encoder.sha256,
        }
    )
    return Message(RecordDict({protocol.CONFIG: answer}), reply_to=message)


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """Send sums of the training features, never the features."""
    site = open_site(context.run_config, context.node_config)
    _refuse_if_private(site, "sums of its features")
    sums = site.sums()
    arrays = ArrayRecord({"total": Array(sums.total.numpy()), "square": Array(sums.square.numpy())})
    metrics = MetricRecord({protocol.FRAMES: sums.frames, protocol.MATRICES: int(sums.of_matrices)})
    return Message(RecordDict({protocol.ARRAYS: arrays, protocol.METRICS: metrics}), reply_to=message)


@app.train()
def train_round(message: Message, context: Context) -> Message:
    """Train the global model on this site's recordings and send the new weights."""
    site = open_site(context.run_config, context.node_config)
    if site.config.privacy.at_sites:
        from client.private_round import train_round as train_privately  # opacus: a second to import

        return Message(
            train_privately(site, tensors(message, protocol.ARRAYS), _scaling(message), message), reply_to=message
        )
    config, settings = site.config, message.content.config_records[protocol.CONFIG]
    round_number = int(str(settings[protocol.ROUND]))
    part, turn = site.pass_round(round_number)
    rate = learning_rate(config.training, turn, config.federation.rounds)
    strategy = StrategyRound(site, message, (part, turn), rate)
    model, data = _model(message, site), site.dataset(part, _scaling(message))
    beside = _validated(message, site) if config.federation.secure and part == "train" and turn > 1 else {}
    if centring(model, turn, config):
        return _finish_round(message, site, find_centre(model, data), strategy, beside)
    trained = train(
        model,
        data,
        replace(config.training, least_steps=0) if config.privacy.on else config.training,
        config.augment,
        rate=rate,
        seed=seed_of(config.seed, round_number, site.name),
        proximal_mu=float(str(settings.get(protocol.PROXIMAL_MU, 0.0))),
        after_step=strategy.steps.after_step if strategy.steps else None,
    )
    return _finish_round(message, site, trained, strategy, beside)


def _validated(message: Message, site: Site) -> dict[str, Told]:
    """How the model that came in does on the validation speakers, which leaves behind masks with the update."""
    if not site.counts()[1]:
        return {}
    scores = evaluate(_model(message, site), site.dataset("validation", _scaling(message)))
    together: list[int] = np.sum(list(scores.confusion.values()), axis=0).ravel().tolist()
    told: dict[str, Told] = {protocol.VALIDATION_EXAMPLES: scores.examples, protocol.CONFUSION: together}
    return told | {protocol.VALIDATION_LOSS: scores.loss}


def _finish_round(
    message: Message, site: Site, trained: Trained, strategy: StrategyRound, told: Mapping[str, Told]
) -> Message:
    weights = ArrayRecord({name: Array(tensor.cpu().numpy()) for name, tensor in site.model.state_dict().items()})
    figures = {} if site.config.privacy.on else {protocol.LOSS: trained.loss, protocol.SECONDS: trained.seconds}
    metrics = MetricRecord({protocol.EXAMPLES: trained.examples, **figures, **told})
    beside = strategy.end(site.model)
    return Message(RecordDict({protocol.ARRAYS: weights, **beside, protocol.METRICS: metrics}), reply_to=message)


@app.evaluate()
def validate(message: Message, context: Context) -> Message:
    """Send confusion counts of the validation speakers."""
    site = open_site(context.run_config, context.node_config)
    _refuse_if_private(site, "scores of its validation speakers")
    if _holds_none(site, site.counts()[1]):
        return _nothing(message)
    scores = evaluate(_model(message, site), site.dataset("validation", _scaling(message)))
    together: list[int] = np.sum(list(scores.confusion.values()), axis=0).ravel().tolist()
    told: dict[str, Told] = {protocol.EXAMPLES: scores.examples, protocol.CONFUSION: together}
    told[protocol.LOSS] = scores.loss
    return Message(RecordDict({protocol.METRICS: MetricRecord(told)}), reply_to=message)


@app.evaluate("confidence")
def confidence(message: Message, context: Context) -> Message:
    """Send how sure the model is of the validation speakers, and how often it is right: once, of the chosen model.

    Each recording is taken alone, as ``fedser predict`` takes it, whose probabilities this is for.
    """
    site = open_site(context.run_config, context.node_config)
    _refuse_if_private(site, "how sure the model is of its validation speakers")
    if _holds_none(site, site.counts()[1]):
        return _nothing(message)
    sure = Confidence.of(*outputs(_model(message, site), site.lone_validation(_scaling(message))))
    told: dict[str, Told] = {
        protocol.EXAMPLES: sure.recordings,
        protocol.LOSSES: sure.losses.tolist(),
        protocol.RIGHT: sure.right.astype(int).tolist(),
        protocol.WRONG: sure.wrong.astype(int).tolist(),
    }
    return Message(RecordDict({protocol.METRICS: MetricRecord(told)}), reply_to=message)


@app.query("privacy")
def privacy(message: Message, context: Context) -> Message:
    """Say what the ledger says: what this run, and all runs, cost this site's people."""
    from client.private_round import report

    return Message(report(open_site(context.run_config, context.node_config), message), reply_to=message)


@app.evaluate("test")
def test(message: Message, context: Context) -> Message:
    """Send confusion counts of the held-out speakers that this site holds: once, of the chosen model.

    They are of all together, or, unnamed, of each; and beside those with all of a speaker known there are those of
    strangers: where people may not be told one by one, a model that adapts to them is scored as of strangers alone
    (``common.messages.schema``). In a simulation these speakers are the coordinator's, who is on the same machine: it
    has its score in a private run too, with the loss.
    """
    site = open_site(context.run_config, context.node_config)
    if site.holding.deployed:
        _refuse_if_private(site, "scores of its held-out speakers")
        if _holds_none(site, site.counts()[2]):
            return _nothing(message)
    scored = site.score_held_out(_model(message, site), _scaling(message))
    told: dict[str, Told] = {protocol.SPEAKERS: len(scored.known.confusion)}
    told |= {} if site.holding.deployed else {protocol.LOSS: scored.known.loss}
    told |= {protocol.after(name): _flat(counts, site) for name, counts in scored.after.items()}
    told |= {protocol.EXAMPLES: scored.known.examples, protocol.CONFUSION: _flat(scored.known.confusion, site)}
    if site.config.data.normalise == "running" and not site.holding.one_by_one:
        first = {protocol.after(name) for name in protocol.AFTER[:1]}
        told = {key: own for key, own in told.items() if key in first or not key.startswith(protocol.CONFUSION)}
    return Message(RecordDict({protocol.METRICS: MetricRecord(told)}), reply_to=message)


def _holds_none(site: Site, recordings: int) -> bool:
    """Whether all sites are asked, so that their sum is of all, and this one has nothing to score."""
    return site.config.federation.secure and not recordings


def _nothing(message: Message) -> Message:
    return Message(RecordDict({protocol.METRICS: MetricRecord({protocol.EXAMPLES: 0})}), reply_to=message)


def _flat(confusion: Mapping[str, Confusion], site: Site) -> list[int]:
    """The counts of each held-out speaker, or of all together."""
    each = np.stack(list(confusion.values()))
    counts: list[int] = (each if site.holding.one_by_one else each.sum(axis=0)).ravel().tolist()
    return counts


def _refuse_if_private(site: Site, what: str) -> None:
    """Beside the noisy updates nothing that is made of a site's recordings leaves a private run."""
    if site.config.privacy.on:
        raise FedserError(f"site {site.name}: the run is private, the server asked for {what}; nothing was sent")


def _model(message: Message, site: Site) -> EmotionModel:
    site.model.load_state_dict(tensors(message, protocol.ARRAYS))
    return site.model


def _scaling(message: Message) -> Scaling | None:
    record = message.content.array_records.get(protocol.SCALING)
    if record is None:
        return None
    return Scaling.of_arrays({name: array.numpy() for name, array in record.items()})

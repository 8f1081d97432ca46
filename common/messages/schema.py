"""The messages between server and sites: what each may hold. This page is the protocol's reference.

A site answers six types of messages. For each there is the form of the server's request and that of the site's reply:
its records, their keys, and of each key the kind of value, with its range. Whatever is not named here is refused, with
the whole message, by the site's node (a request before the app sees it, a reply before it leaves) and by the server (a
reply before anything is made of it); each runs its own copy of this page.

- ``query.hello``: what a site is and how much it holds: numbers, and names that were known before.
- ``query.statistics``: sums of its training features, once before round 1; never in a private run.
- ``train``: the model; back comes the updated one, in a private run a noisy one and how far the ledger is.
- ``evaluate``: the model; back come confusion counts of all validation speakers together; never in a private run.
- ``evaluate.test``: likewise of held-out speakers, a table of counts for each, without a name.
- ``query.privacy``: what the ledger says: what this run, and all runs, cost the site's people.

The server sends arrays, and the sites send them back, packed (``common.flower.packing``); here they are one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from common import protocol
from common.config.settings import Config
from common.messages.fields import (
    SHA256,
    WIDEST,
    Confusion,
    Count,
    Fields,
    Form,
    Json,
    Maybe,
    Names,
    Number,
    Numbers,
    Record,
    Text,
    Told,
    Truth,
)

RECORDINGS = 10_000_000  # the most that a site can hold: they are its weight in the mean, so more is no count
NOT_IN_PRIVATE = {protocol.STATISTICS: "sums of features", protocol.EVALUATE: "scores of validation speakers"}


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What one side knows of a run before it reads a message: the ranges that no protocol can fix.

    Attributes:
        private: whether the run is; then nothing is told but what the noise covers.
        at_sites: whether the sites add the noise, and keep ledgers.
        site: the name that a site must give; empty where any may come.
        classes: the names of classes that may be told; None where any may come.
        class_count: how many the model tells apart.
        features: of a frame; None where it is not known.
        most: recordings that can have been scored.
        model: the form of each of the model's arrays; see ``forms_of``.
        extra: further records of arrays, each like the model's in ``float32``, that the strategy sends beside it.
        max_rounds: the last round that may be asked for.
        mu: the least and the greatest weight of FedProx's term.
    """

    private: bool = False
    at_sites: bool = False
    site: str = ""
    classes: tuple[str, ...] | None = None
    class_count: int = 2
    features: int | None = None
    most: int = RECORDINGS
    model: Mapping[str, Numbers] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    max_rounds: int = 100_000
    mu: tuple[float, float] = (0.0, 1e6)

    @classmethod
    def of(cls, config: Config, **known: Any) -> Self:
        """With what a run's settings say; ``known`` are the other attributes."""
        return cls(private=config.privacy.on, at_sites=config.privacy.at_sites, **known)


def extra_records(config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The records of arrays that a run's strategy sends beside the model: with ``train``, and back with the update."""
    del config  # the strategies of today send the model alone
    return (), ()


def forms_of(arrays: Mapping[str, Any]) -> dict[str, Numbers]:
    """The form of each array, of Flower's or of NumPy's, by name, in the order of the names."""
    return {name: Numbers(str(arrays[name].dtype), tuple(arrays[name].shape)) for name in sorted(arrays)}


# Kinds of values
_HELD = Count(0, RECORDINGS)
_HASH = Text(SHA256, "64 hex digits")
_HASH_OR_NONE = Text(f"({SHA256})?", "64 hex digits, or nothing")
_RUN_NAME = Text(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of letters, digits, '_', '.' and '-'")
_SITE = Text(r"(?s).{1,1000}", "a site's name")
_VERSION = r"\d{1,4}(\.\d{1,4}){1,3}((a|b|rc|\.dev|\.post)\d{1,4})?(\+(cpu|xpu|cu\d{2,3}|rocm\d(\.\d{1,2}){0,2}))?"
_RELEASE = Text(rf"(fedser )?{_VERSION}(,? torch {_VERSION})?", "a version such as 0.1.0")
_FIGURE = Maybe(Number(endless=True))

FIGURES: Fields = {
    "epsilon": _FIGURE,
    "epsilon_total": _FIGURE,
    "epsilon_rdp": _FIGURE,
    "delta": _FIGURE,
    "noise_multiplier": _FIGURE,
    "steps": Maybe(Count()),
    "sample_rate": _FIGURE,
    "budget": _FIGURE,
    "stopped": Truth(),
}

# How far a hash-chained file is: its lines, and the last one's hash. Back to a site come those that it told, or none.
LEDGER_HEAD: Fields = {protocol.LEDGER_ENTRIES: Count(), protocol.LEDGER_HASH: _HASH}
AUDIT_HEAD: Fields = {protocol.AUDIT_ENTRIES: Count(), protocol.AUDIT_HASH: _HASH}
_LEDGER_TOLD: Fields = {protocol.LEDGER_ENTRIES: Count(), protocol.LEDGER_HASH: _HASH_OR_NONE}
_AUDIT_TOLD: Fields = {protocol.AUDIT_ENTRIES: Count(), protocol.AUDIT_HASH: _HASH_OR_NONE}
_SERVER_LOG: Fields = {
    protocol.SERVER_LOG: _HASH_OR_NONE,
    protocol.SERVER_ENTRIES: Count(),
    protocol.SERVER_HASH: _HASH_OR_NONE,
}

# How much a site trains on: with every reply of the app, for the node's gate, which keeps it
HELD = Record(kind="ConfigRecord", fields={protocol.RECORDINGS: Count(), protocol.SPEAKERS: Count()})


def _arrays(fields: Fields, **more: Any) -> Record:
    return Record(kind="ArrayRecord", fields=fields, **more)


def _config(fields: Fields | None = None, perhaps: Iterable[Fields] = (), **more: Any) -> Record:
    return Record(kind="ConfigRecord", fields=fields or {}, perhaps=tuple(perhaps), **more)


def _metrics(fields: Fields) -> Record:
    return Record(kind="MetricRecord", fields=fields)


def _weights(scope: Scope) -> dict[str, Record]:
    """The model, and what the strategy sends beside it, in arrays of the same names and shapes."""
    beside = {name: replace(own, dtype="float32") for name, own in scope.model.items()}
    return {protocol.ARRAYS: _arrays(scope.model)} | {name: _arrays(beside) for name in scope.extra}


def _model_and_scaling(scope: Scope) -> dict[str, Record]:
    width = Numbers("float32", (scope.features,))
    return _weights(scope) | {protocol.SCALING: _arrays({"mean": width, "deviation": width}, needed=False)}


def _nothing_asked(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config()})


def _has_a_model(told: Told) -> str | None:
    return None if told[protocol.ARRAYS] else f"{protocol.ARRAYS}: there is no model"


def _one_width(name: str) -> Callable[[Told], str | None]:
    def rule(told: Told) -> str | None:
        shapes = {np.shape(values) for values in told.get(name, {}).values()}
        return f"{name}: its arrays are of different lengths" if len(shapes) > 1 else None

    return rule


_MODEL_SENT = (_has_a_model, _one_width(protocol.SCALING))


def _train_request(scope: Scope) -> Form:
    perhaps: tuple[Fields, ...] = (
        {protocol.PROXIMAL_MU: Number(*scope.mu)},
        {protocol.RUN: _RUN_NAME},
        *(_LEDGER_TOLD, _AUDIT_TOLD, _SERVER_LOG),
    )
    config = _config({protocol.ROUND: Count(1, scope.max_rounds)}, perhaps)
    return Form(records=_model_and_scaling(scope) | {protocol.CONFIG: config}, rules=_MODEL_SENT)


def _scores_request(scope: Scope) -> Form:
    config = _config(perhaps=({protocol.ROUND: Count(0, scope.max_rounds)},))
    records = _model_and_scaling(replace(scope, extra=())) | {protocol.CONFIG: config}
    return Form(records=records, rules=_MODEL_SENT)


def _privacy_request(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config({protocol.RUN: _RUN_NAME}, (_LEDGER_TOLD, _AUDIT_TOLD))})


def _hello(scope: Scope) -> Form:
    counts = (protocol.VALIDATION_EXAMPLES, protocol.TEST_EXAMPLES, protocol.SPEAKERS, protocol.VALIDATION_SPEAKERS)
    fields: Fields = {
        protocol.SITE: Text(re.escape(scope.site), scope.site) if scope.site else _SITE,
        protocol.PROTOCOL: Count(),
        protocol.RELEASE: _RELEASE,
        protocol.CLASSES: Names(scope.classes),
        protocol.MISSING: Names(() if scope.private else scope.classes),
        protocol.LABELS: _HASH_OR_NONE,
        protocol.FEATURES: Count(1, WIDEST),
        protocol.EXAMPLES: Count(1, RECORDINGS),
        **dict.fromkeys(counts, _HELD),
    }
    return Form(records={protocol.CONFIG: _config(fields)})


def _statistics(scope: Scope) -> Form:
    sums = Numbers("float64", (scope.features,))
    records = {
        protocol.ARRAYS: _arrays({"total": sums, "square": sums}),
        protocol.METRICS: _metrics({protocol.FRAMES: Count(1)}),
    }
    return Form(records=records, rules=(_one_width(protocol.ARRAYS),))


def _update(scope: Scope) -> Form:
    told: Fields = {} if scope.private else dict.fromkeys((protocol.LOSS, protocol.SECONDS), Number())
    metrics = _metrics({protocol.EXAMPLES: Count(1, RECORDINGS), **told})
    ledger = {protocol.CONFIG: _config(LEDGER_HEAD, ({protocol.FIGURES: Json(FIGURES)},))} if scope.at_sites else {}
    return Form(records=_weights(scope) | {protocol.METRICS: metrics} | ledger)


def _stopped(_: Scope) -> Form:
    """In place of an update: the site's budget refuses another step."""
    fields = {**LEDGER_HEAD, protocol.STOPPED: Truth(only=True)}
    return Form(records={protocol.CONFIG: _config(fields, ({protocol.FIGURES: Json(FIGURES)},))})


def _scores(scope: Scope, groups: int) -> Form:
    fields: Fields = {
        protocol.EXAMPLES: Count(1, scope.most),
        protocol.LOSS: Number(),
        protocol.CONFUSION: Confusion(scope.class_count, groups),
    }
    return Form(records={protocol.METRICS: _metrics(fields)}, rules=(_adds_up,))


def _privacy(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config({protocol.FIGURES: Json(FIGURES)})})


def _adds_up(told: Told) -> str | None:
    metrics = told[protocol.METRICS]
    counted, examples = sum(metrics[protocol.CONFUSION]), metrics[protocol.EXAMPLES]
    return None if counted == examples else f"metrics: the counts are of {counted} recordings, not of {examples}"


_FORMS: dict[str, tuple[Callable[[Scope], Form], Callable[[Scope], Form]]] = {
    protocol.HELLO: (_nothing_asked, _hello),
    protocol.STATISTICS: (_nothing_asked, _statistics),
    protocol.TRAIN: (_train_request, _update),
    protocol.EVALUATE: (_scores_request, lambda scope: _scores(scope, groups=1)),
    protocol.EVALUATE_TEST: (_scores_request, lambda scope: _scores(scope, groups=scope.most)),
    protocol.PRIVACY: (_privacy_request, _privacy),
}
TYPES = tuple(_FORMS)


def request(kind: str, scope: Scope) -> Form:
    """What the server sends in a message of a type."""
    return _FORMS[kind][0](scope)


def reply(kind: str, scope: Scope, content: Mapping[str, Mapping[str, Any]]) -> Form:
    """What a site's app answers; of a private update's two forms the one that ``content`` itself says it has."""
    if kind == protocol.TRAIN and scope.at_sites and protocol.STOPPED in content.get(protocol.CONFIG, ()):
        return _stopped(scope)
    return _FORMS[kind][1](scope)


def from_app(form: Form) -> Form:
    """A reply as the site's own gate gets it."""
    return replace(form, records={**form.records, protocol.HELD: HELD})


def from_site(kind: str, scope: Scope, content: Mapping[str, Mapping[str, Any]]) -> Form:
    """A reply as the server gets it: in a deployment the gate has added how far the site's audit log is."""
    form = reply(kind, scope, content)
    config = form.records.get(protocol.CONFIG, _config(needed=False))
    config = replace(config, perhaps=(*config.perhaps, AUDIT_HEAD))
    return replace(form, records={**form.records, protocol.CONFIG: config})


def read_reply(kind: str, scope: Scope, content: Mapping[str, Mapping[str, Any]]) -> Told:
    """The values of a site's reply, checked, as the server takes them.

    Raises:
        Misfit: it is not of its form; the first thing that is wrong, in a line.
    """
    return from_site(kind, scope, content).read(content)

"""The messages between server and sites: what each may hold. This page is the protocol's reference.

A site answers eleven types of messages. For each there is here the form of the server's request and that of the site's
reply: its records, their keys, and of each key the kind of value, with its range. Whatever is not named is refused,
with the whole message: by the site's node, a request before the app sees it and a reply before it leaves, and by the
server, before anything is made of a reply. Each of them runs its own copy of this page.

The arrays of a message travel packed (``common.flower.packing``); here they are one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from common import protocol
from common.config.kinds import CENTRE
from common.config.units import UNITS
from common.messages import masked_forms
from common.messages.class_counts import counts_reply, counts_request, no_weights, weights_sent
from common.messages.fields import (
    RECORDINGS,
    SHA256,
    WIDEST,
    Confusion,
    Count,
    Fields,
    Json,
    Maybe,
    Names,
    Number,
    Numbers,
    Several,
    Text,
    Truth,
)
from common.messages.forms import Content, Form, RecordForm, Told
from common.messages.scope import Scope

LARGEST = 1e6  # of a feature's mean square over a site's frames, the root: none comes near it
ROUNDING = 1e-9  # of a sum of squares

# Kinds of values

_HASH = Text(SHA256, "64 hex digits")
_HASH_OR_NONE = Text(f"({SHA256})?", "64 hex digits, or nothing")
_RUN_NAME = Text(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of letters, digits, '_', '.' and '-'")
_VERSION = r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}((a|b|rc|\.dev|\.post)[0-9]{1,8})?"
_TORCH = rf"{_VERSION}(\+[A-Za-z0-9]{{1,20}}(\.[A-Za-z0-9]{{1,20}}){{0,3}})?"  # a build's own part, as PEP 440 has it
_RELEASE = Text(rf"(fedser )?{_VERSION}(,? torch {_TORCH})?", "a version such as 0.1.0")
_FIGURE = Maybe(Number(endless=True))

# What a site's ledger says of a run, and of all runs; null is what the site keeps to itself
FIGURES: Fields = {
    "epsilon": _FIGURE,
    "epsilon_total": _FIGURE,
    "epsilon_rdp": _FIGURE,
    "delta": _FIGURE,
    "noise_multiplier": _FIGURE,
    "steps": Maybe(Count()),
    "sample_rate": _FIGURE,
    "budget": _FIGURE,
    "budget_unit": Maybe(Text("|".join(UNITS), "a unit of privacy")),
    "stopped": Truth(),
}
_FIGURES: Fields = {protocol.FIGURES: Json(FIGURES)}

# How far a hash-chained file is: its lines, and the last one's hash. A site is told again what it last told, if it did.
LEDGER_HEAD: Fields = {protocol.LEDGER_ENTRIES: Count(), protocol.LEDGER_HASH: _HASH}
AUDIT_HEAD: Fields = {protocol.AUDIT_ENTRIES: Count(), protocol.AUDIT_HASH: _HASH}
_LEDGER_TOLD: Fields = {**LEDGER_HEAD, protocol.LEDGER_HASH: _HASH_OR_NONE}
_AUDIT_TOLD: Fields = {**AUDIT_HEAD, protocol.AUDIT_HASH: _HASH_OR_NONE}
_SERVER_HEAD: Fields = {
    protocol.SERVER_LOG: _HASH_OR_NONE,
    protocol.SERVER_ENTRIES: Count(),
    protocol.SERVER_HASH: _HASH_OR_NONE,
}


def _arrays(fields: Fields, *perhaps: Fields, needed: bool = True) -> RecordForm:
    return RecordForm(kind="ArrayRecord", fields=fields, perhaps=perhaps, needed=needed)


def _config(fields: Fields, *perhaps: Fields, needed: bool = True) -> RecordForm:
    return RecordForm(kind="ConfigRecord", fields=fields, perhaps=perhaps, needed=needed)


def _metrics(fields: Fields, *perhaps: Fields) -> RecordForm:
    return RecordForm(kind="MetricRecord", fields=fields, perhaps=perhaps)


# How much a site trains on: beside each reply of its app, for its own gate, which keeps it
HELD = _config({protocol.RECORDINGS: Count(), protocol.SPEAKERS: Count()})


# query.hello: what a site is and how much it holds, in numbers and in names that were known before; once a run


def _hello_request(_: Scope) -> Form:
    """One that names a run is its farewell: the site forgets what it kept for the strategy, and tells only its name."""
    return Form(records={protocol.CONFIG: _config({}, {protocol.RUN: _RUN_NAME})})


def _hello_reply(scope: Scope) -> Form:
    site = Text(re.escape(scope.site), repr(scope.site)) if scope.site else Text(r"(?s).{1,1000}", "a site's name")
    if scope.farewell:
        return Form(records={protocol.CONFIG: _config({protocol.SITE: site})})
    held = Count(0, RECORDINGS)
    fields: Fields = {
        protocol.SITE: site,
        protocol.PROTOCOL: Count(),
        protocol.RELEASE: _RELEASE,
        protocol.CLASSES: Names(scope.classes),
        protocol.MISSING: Names(() if scope.private else scope.classes),
        protocol.LABELS: _HASH_OR_NONE,
        protocol.ENCODER: _HASH_OR_NONE,
        protocol.FEATURES: Count(1, WIDEST),
        protocol.EXAMPLES: Count(1, RECORDINGS),
        protocol.VALIDATION_EXAMPLES: held,
        protocol.TEST_EXAMPLES: held,
        protocol.SPEAKERS: held,
        protocol.VALIDATION_SPEAKERS: held,
    }
    return Form(records={protocol.CONFIG: _config(fields)})


# query.statistics: sums of the training features, once before round 1; never in a private run


def _statistics_request(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config({})})


def _statistics_reply(scope: Scope) -> Form:
    sums = Numbers("float64", (scope.features,))
    arrays = _arrays({"total": sums, "square": sums})
    metrics = _metrics({protocol.FRAMES: Count(1), protocol.MATRICES: Count(0, 1)})
    rules = (_one_width(protocol.ARRAYS), _sums_of_features)
    return Form(records={protocol.ARRAYS: arrays, protocol.METRICS: metrics}, rules=rules)


# train: the model; back comes the updated one, in a private run a noisy one, and how far the ledger is; where the sites
# share their noise, a part of a summed step in whole numbers, which leaves a site under masks alone


def _weights(scope: Scope) -> dict[str, RecordForm]:
    """The model, and what the strategy sends beside it in arrays of the same names and shapes."""
    beside = {name: replace(own, dtype="float32") for name, own in scope.model.items()}
    return {protocol.ARRAYS: _arrays(scope.model)} | {name: _arrays(beside) for name in scope.extra}


def _train_request(scope: Scope) -> Form:
    fedprox: Fields = {protocol.PROXIMAL_MU: Number(*scope.mu)}
    run: Fields = {protocol.RUN: _RUN_NAME}
    taken: Fields = {protocol.TAKEN: Count(0, scope.max_rounds)}
    needed: Fields = {protocol.ROUND: Count(1, scope.max_rounds)}
    config = _config(needed, fedprox, run, taken, _LEDGER_TOLD, _AUDIT_TOLD, _SERVER_HEAD)
    records = _weights(scope) | _scaling(scope) | weights_sent() | {protocol.CONFIG: config}
    return Form(records=records, rules=(*_MODEL_SENT, no_weights))


def _train_reply(scope: Scope) -> Form:
    told: Fields = {} if scope.private else {protocol.LOSS: Number(), protocol.SECONDS: Number()}
    validated: Fields = {
        protocol.CONFUSION: Confusion(scope.class_count, 1),
        protocol.VALIDATION_EXAMPLES: Count(1, RECORDINGS),
        protocol.VALIDATION_LOSS: Number(),
    }
    beside = (validated,) if scope.secure and not scope.private else ()
    metrics = _metrics({protocol.EXAMPLES: Count(1, RECORDINGS), **told}, *beside)
    ledger = {protocol.CONFIG: _config(LEDGER_HEAD, _FIGURES)} if scope.at_sites else {}
    if scope.summed:
        return Form(records={protocol.ARRAYS: _sums(scope), protocol.METRICS: metrics, **ledger}, rules=(_one_sum,))
    return Form(records=_weights(scope) | {protocol.METRICS: metrics} | ledger)


def _sums(scope: Scope) -> RecordForm:
    """A noised sum in whole numbers: of the gradients of all but the model's centre, or of the ways to that alone."""
    whole = {name: replace(own, dtype="int32") for name, own in scope.model.items()}
    centre = {name: own for name, own in whole.items() if name == CENTRE}
    others = {name: own for name, own in whole.items() if name != CENTRE}
    return _arrays({}, *filter(None, (centre, others)))


def _stopped_reply(_: Scope) -> Form:
    """In place of an update: the ledger refuses another step, for the budget or for rounds that were cut short."""
    cut: Fields = {protocol.CUT_SHORT: Truth(only=True)}
    config = _config({**LEDGER_HEAD, protocol.STOPPED: Truth(only=True)}, _FIGURES, cut)
    return Form(records={protocol.CONFIG: config})


# evaluate: the model; back come confusion counts of all validation speakers together; never in a private run
# evaluate.test: likewise of held-out speakers, all together, or a table of counts for each, without a name; and, where
# the model adapts to a speaker, the same after none, 2 and 8 others of the speaker, of so many draws of these


def _scaling(scope: Scope) -> dict[str, RecordForm]:
    width = Numbers("float32", (scope.features,))
    prior: Fields = {protocol.WEIGHT: Numbers("float32", (1,))}
    public: Fields = {protocol.COMPONENTS: Numbers("float32", (None, scope.features))}
    return {protocol.SCALING: _arrays({"mean": width, "deviation": width}, prior, public, needed=False)}


def _evaluate_request(scope: Scope) -> Form:
    config = _config({}, {protocol.ROUND: Count(0, scope.max_rounds)})
    model = {protocol.ARRAYS: _arrays(scope.model)}
    return Form(records=model | _scaling(scope) | {protocol.CONFIG: config}, rules=_MODEL_SENT)


def _evaluate_reply(scope: Scope) -> Form:
    fields: Fields = {
        protocol.EXAMPLES: Count(1, scope.most),
        protocol.LOSS: Number(),
        protocol.CONFUSION: Confusion(scope.class_count, 1),
    }
    return Form(records={protocol.METRICS: _metrics(fields)}, rules=(_adds_up,))


def _test_reply(scope: Scope) -> Form:
    """Without a loss, whose digits tell what a single recording is like; on one machine there is nobody to tell.

    How far a scaling has adapted to a speaker tells how much that speaker said, and so a model of the server's making
    could sort people by it. Where they may not be told one by one, a site tells what a stranger gets, and no more.
    """
    table = Confusion(scope.class_count, scope.most if scope.one_by_one else 1)
    first, *later = ({protocol.after(heard): table} for heard in protocol.AFTER)
    known: Fields = {protocol.CONFUSION: table}
    adapted: Fields = {key: own for group in (known, *later) for key, own in group.items()}
    fields: Fields = {
        protocol.EXAMPLES: Count(1, scope.most),
        protocol.SPEAKERS: Count(1, min(scope.most, scope.most_speakers)),
        **({protocol.LOSS: Number()} if scope.simulated else {}),
    }
    if scope.normalise == "running":
        fields, perhaps = {**fields, **first}, (adapted,) if scope.one_by_one else ()
    elif scope.normalise == "speaker":  # of a private simulation there may be no lone recording that it could label
        fields, perhaps = {**fields, **known, **({} if scope.private else first)}, (first,) if scope.private else ()
    else:
        fields, perhaps = {**fields, **first, **adapted}, ()
    rules = (_adds_up, _all_or_each(scope.class_count), _strangers_add_up(scope))
    return Form(records={protocol.METRICS: _metrics(fields, *perhaps)}, rules=rules)


# evaluate.confidence: the chosen model, once; back come, of all validation speakers together, the losses at some fixed
# temperatures, and how many the model was right and wrong about by how sure it was; never in a private run


def _confidence_reply(scope: Scope) -> Form:
    counts = Several(Count(0, scope.most), protocol.BINS)
    fields: Fields = {
        protocol.EXAMPLES: Count(1, scope.most),
        protocol.LOSSES: Several(Number(), len(protocol.TEMPERATURES)),
        protocol.RIGHT: counts,
        protocol.WRONG: counts,
    }
    return Form(records={protocol.METRICS: _metrics(fields)}, rules=(_bins_add_up,))


# query.privacy: what the ledger says: what this run, and all runs, cost the site's people


def _privacy_request(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config({protocol.RUN: _RUN_NAME}, _LEDGER_TOLD, _AUDIT_TOLD)})


def _privacy_reply(_: Scope) -> Form:
    return Form(records={protocol.CONFIG: _config(_FIGURES)})


# What must hold between values


def _has_a_model(told: Told) -> str | None:
    return None if told[protocol.ARRAYS] else f"{protocol.ARRAYS}: there is no model"


def _one_sum(told: Told) -> str | None:
    names = told[protocol.ARRAYS].keys()
    return None if names and (CENTRE not in names or len(names) == 1) else f"{protocol.ARRAYS}: it is not one sum"


def _one_width(name: str) -> Callable[[Told], str | None]:
    def rule(told: Told) -> str | None:
        shapes = {np.shape(values)[-1:] for key, values in told.get(name, {}).items() if key != protocol.WEIGHT}
        return f"{name}: its arrays are of different lengths" if len(shapes) > 1 else None

    return rule


def _sums_of_features(told: Told) -> str | None:
    total, square = (told[protocol.ARRAYS][name] for name in ("total", "square"))
    frames = told[protocol.METRICS][protocol.FRAMES]
    if (square > frames * LARGEST**2).any():
        return f"arrays: square is of features larger than {LARGEST:g}"
    with np.errstate(over="ignore"):
        fits = square * frames * (1 + ROUNDING) >= np.square(total)
    return None if fits.all() else "arrays: square is less than any features' with this total"


def _weight_of_a_prior(told: Told) -> str | None:
    weight = float(told.get(protocol.SCALING, {}).get(protocol.WEIGHT, [1.0])[0])
    fits = protocol.LEAST_WEIGHT <= weight <= protocol.MOST_WEIGHT
    return None if fits else f"{protocol.SCALING}: its weight is {weight:g}"


_MODEL_SENT = (_has_a_model, _one_width(protocol.SCALING), _weight_of_a_prior)


def _table(metrics: dict[str, Any]) -> list[int]:
    """The counts of all that were scored: with all of a speaker known, or, where these are not told, of strangers."""
    counts: list[int] = metrics.get(protocol.CONFUSION) or metrics[protocol.after(protocol.AFTER[0])]
    return counts


def _adds_up(told: Told) -> str | None:
    metrics: dict[str, Any] = told[protocol.METRICS]
    counted, examples = sum(_table(metrics)), metrics[protocol.EXAMPLES]
    return None if counted == examples else f"metrics: the counts are of {counted} recordings, not of {examples}"


def _bins_add_up(told: Told) -> str | None:
    metrics: dict[str, Any] = told[protocol.METRICS]
    counted, examples = sum(metrics[protocol.RIGHT]) + sum(metrics[protocol.WRONG]), metrics[protocol.EXAMPLES]
    return None if counted == examples else f"metrics: the bins are of {counted} recordings, not of {examples}"


def _strangers_add_up(scope: Scope) -> Callable[[Told], str | None]:
    """Each condition is of the same recordings with the same labels, group by group, in each of its draws."""

    def of_labels(counts: list[int], times: int) -> list[int]:
        rows = range(0, len(counts), scope.class_count)
        return [sum(counts[row : row + scope.class_count]) * times for row in rows]

    def rule(told: Told) -> str | None:
        metrics: dict[str, Any] = told[protocol.METRICS]
        for heard in protocol.AFTER:
            times = protocol.DRAWS if scope.normalise == "running" and int(heard) else 1
            counts = metrics.get(protocol.after(heard))
            if counts is not None and of_labels(counts, 1) != of_labels(_table(metrics), times):
                return f"metrics: the counts after {heard} are not of the same recordings as the others"
        return None

    return rule


def _all_or_each(classes: int) -> Callable[[Told], str | None]:
    def rule(told: Told) -> str | None:
        metrics: dict[str, Any] = told[protocol.METRICS]
        groups, speakers = len(_table(metrics)) // classes**2, metrics[protocol.SPEAKERS]
        fits = groups in (1, speakers) and speakers <= metrics[protocol.EXAMPLES]
        return None if fits else f"metrics: there are counts of {groups} groups, of {speakers} speakers"

    return rule


# The eleven types: the request's form, and the reply's

_FORMS: dict[str, tuple[Callable[[Scope], Form], Callable[[Scope], Form]]] = {
    protocol.HELLO: (_hello_request, _hello_reply),
    protocol.STATISTICS: (_statistics_request, _statistics_reply),
    protocol.CLASSES_HELD: (counts_request, counts_reply),
    protocol.TRAIN: (_train_request, _train_reply),
    protocol.EVALUATE: (_evaluate_request, _evaluate_reply),
    protocol.EVALUATE_TEST: (_evaluate_request, _test_reply),
    protocol.EVALUATE_CONFIDENCE: (_evaluate_request, _confidence_reply),
    protocol.PRIVACY: (_privacy_request, _privacy_reply),
    protocol.KEYS: (masked_forms.keys_request, masked_forms.keys_reply),
    protocol.VOTE: (masked_forms.vote_request, masked_forms.vote_reply),
    protocol.UNMASK: (masked_forms.unmask_request, masked_forms.unmask_reply),
}
TYPES = tuple(_FORMS)
NOT_IN_PRIVATE = {
    protocol.STATISTICS: "sums of features",
    protocol.CLASSES_HELD: "class counts",
    protocol.EVALUATE: "scores of validation speakers",
    protocol.EVALUATE_TEST: "scores of held-out speakers",
    protocol.EVALUATE_CONFIDENCE: "how sure the model is of validation speakers",
}


def request(kind: str, scope: Scope) -> Form:
    """What the server sends in a message of a type."""
    form = _FORMS[kind][0](scope)
    masked = scope.secure and kind in masked_forms.MASKABLE
    return replace(form, records={**form.records, **masked_forms.asked()}) if masked else form


def reply(kind: str, scope: Scope, content: Content) -> Form:
    """What may leave a site; of a private round's two replies the one that ``content`` itself says that it is."""
    if kind == protocol.TRAIN and scope.at_sites and protocol.STOPPED in content.get(protocol.CONFIG, ()):
        return _stopped_reply(scope)
    if scope.secure and kind in masked_forms.SCORES and content.get(protocol.METRICS, {}).get(protocol.EXAMPLES) == 0:
        return Form(records={protocol.METRICS: _metrics({protocol.EXAMPLES: Count(0, 0)})})
    return _FORMS[kind][1](scope)


def reply_of_app(kind: str, scope: Scope, content: Content) -> Form:
    """A reply as the site's gate gets it."""
    form = reply(kind, scope, content)
    return replace(form, records={**form.records, protocol.HELD: HELD})


def reply_of_site(kind: str, scope: Scope, content: Content) -> Form:
    """A reply as the server gets it: in a deployment the gate has added how far the site's audit log is."""
    form = _masked(kind, scope, content) or reply(kind, scope, content)
    config = form.records.get(protocol.CONFIG, _config({}, needed=False))
    config = replace(config, perhaps=(*config.perhaps, AUDIT_HEAD))
    return replace(form, records={**form.records, protocol.CONFIG: config})


def _masked(kind: str, scope: Scope, content: Content) -> Form | None:
    """The form in which a reply leaves its node behind masks; None for one that leaves as the app made it."""
    stopped = kind == protocol.TRAIN and protocol.STOPPED in content.get(protocol.CONFIG, ())
    if not scope.secure or kind not in masked_forms.MASKABLE or stopped or scope.simulated:
        return None
    ledger = scope.at_sites and kind == protocol.TRAIN
    config = {protocol.CONFIG: _config(LEDGER_HEAD, _FIGURES)} if ledger else {}
    return Form(records=masked_forms.masked(scope.words) | config)


def read_reply(kind: str, scope: Scope, content: Content) -> Told:
    """The values of a site's reply, checked, as the server takes them.

    Raises:
        Misfit: it is not of its form; the first thing that is wrong, in a line.
    """
    return reply_of_site(kind, scope, content).read(content)

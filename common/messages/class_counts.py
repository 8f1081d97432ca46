"""``query.classes``: how often each class occurs among a site's training recordings, for weights that all sites share.

It is asked once, before round 1, where ``training.class_weights`` is ``pooled``; never in a private run. The reply is
whole numbers and nothing else, in the order of the run's classes, and only their sum over the sites is made use of: the
weights that are made of it go to the sites beside each round's model (``weights_sent``).
"""

from __future__ import annotations

import numpy as np

from common import protocol
from common.messages.fields import RECORDINGS, Count, Fields, Numbers, Several
from common.messages.forms import Form, RecordForm, Told
from common.messages.scope import Scope


def counts_request(_: Scope) -> Form:
    """Nothing but the question."""
    return Form(records={protocol.CONFIG: RecordForm(kind="ConfigRecord")})


def counts_reply(scope: Scope) -> Form:
    """The counts of all training recordings together."""
    counts = Several(Count(0, RECORDINGS), scope.class_count)
    fields: Fields = {protocol.EXAMPLES: Count(1, RECORDINGS), protocol.COUNTS: counts}
    return Form(records={protocol.METRICS: RecordForm(kind="MetricRecord", fields=fields)}, rules=(_of_all,))


def weights_sent() -> dict[str, RecordForm]:
    """The record beside a round's model; a site knows how many classes there are, and refuses other weights."""
    fields = {protocol.WEIGHTS: Numbers("float32", (None,))}
    return {protocol.CLASS_WEIGHTS: RecordForm(kind="ArrayRecord", fields=fields, needed=False)}


def no_weights(told: Told) -> str | None:
    """What is wrong with the weights that were sent; None where nothing is, or none were sent."""
    sent = told.get(protocol.CLASS_WEIGHTS, {}).get(protocol.WEIGHTS)
    fits = sent is None or (bool((sent >= 0).all()) and bool(np.any(sent > 0)))
    return None if fits else f"{protocol.CLASS_WEIGHTS}: a weight is below 0, or none is above it"


def _of_all(told: Told) -> str | None:
    counted, examples = sum(told[protocol.METRICS][protocol.COUNTS]), told[protocol.METRICS][protocol.EXAMPLES]
    return None if counted == examples else f"metrics: the counts are of {counted} recordings, not of {examples}"

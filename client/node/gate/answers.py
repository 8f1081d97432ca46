"""What may leave in answer to each type of message, by the schema and the site's policy; see
``client.node.gate.outbound``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.errors import FedserError
from common.messages import schema
from common.messages.fields import Misfit
from common.messages.forms import Told
from common.messages.scope import Scope, extra_records, forms_of
from common.utterance import EMOTIONS, emotion_name

_MOST_CLASSES = 1000

Record = ArrayRecord | ConfigRecord | MetricRecord
_MAKERS: dict[str, Callable[[Mapping[str, Any]], Record]] = {
    "ArrayRecord": lambda values: ArrayRecord({name: Array(values[name]) for name in sorted(values)}),
    "ConfigRecord": lambda values: ConfigRecord(dict(values)),
    "MetricRecord": lambda values: MetricRecord(dict(values)),
}


class Refused(FedserError):  # noqa: N818 - the gate's answer, not a fault of its own
    """Something would have left the site that may not; the reason is for the site's own log alone."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an app answered to a type of message, and what it was asked; the arrays of both not packed."""

    kind: str
    content: RecordDict
    asked: RecordDict
    site: str
    policy: Policy
    config: Config

    def made_anew(self) -> dict[str, Record]:
        """New records, of what may leave.

        Raises:
            Refused: the reply lacks something, or has something that may not leave.
        """
        if self.config.privacy.on and self.kind in schema.NOT_IN_PRIVATE:
            raise Refused(f"the run is private, {schema.NOT_IN_PRIVATE[self.kind]} may not leave")
        form = schema.reply_of_app(self.kind, self._scope(), self.content)
        try:
            values = form.read(self.content)
        except Misfit as misfit:
            raise Refused(f"the reply's {misfit}") from None
        self._check_enough(values.pop(protocol.HELD), "to train on")
        if self.kind == protocol.EVALUATE_TEST and values[protocol.METRICS][protocol.EXAMPLES]:
            self._check_enough({protocol.SPEAKERS: values[protocol.METRICS][protocol.SPEAKERS]}, "to score")
        if self.kind == protocol.TRAIN and not self.policy.outbound.allow_validation:
            for key in (protocol.CONFUSION, protocol.VALIDATION_EXAMPLES, protocol.VALIDATION_LOSS):  # behind masks too
                values[protocol.METRICS].pop(key, None)
        self._keep_what_was_spent(values)
        return {name: _MAKERS[form.records[name].kind](values[name]) for name in values}

    def _check_enough(self, held: Mapping[str, int], for_what: str) -> None:
        """Refuse to speak for too few, whatever was asked."""
        data = self.policy.data
        least = {protocol.RECORDINGS: data.min_recordings, protocol.SPEAKERS: data.min_speakers}
        for name, found in held.items():
            if found < (asked := least[name]):
                raise Refused(f"there are {found} {name} {for_what}, the policy asks for {asked} (data.min_{name})")

    def _scope(self) -> Scope:
        """What the site knows of the run, and of the model that the server sent."""
        sent = self.asked.get(protocol.ARRAYS)
        arrays = sent if isinstance(sent, ArrayRecord) else ArrayRecord()
        if self.kind == protocol.TRAIN and not arrays:
            raise Refused("the server sent no model to train")
        classes = {emotion_name(name) for name in self.config.data.classes} or EMOTIONS
        _, extra = extra_records(self.config)
        scoring = self.kind in (protocol.EVALUATE, protocol.EVALUATE_TEST, protocol.EVALUATE_CONFIDENCE)
        scoring |= self.config.federation.secure and self.kind == protocol.TRAIN and not self.config.privacy.on
        return Scope.of(
            self.config,
            site=self.site,
            classes=tuple(classes),
            class_count=_class_count(arrays, self.config.model.architecture.output_bias) if scoring else len(classes),
            model=forms_of(arrays),
            extra=extra,
            farewell=protocol.RUN in self.asked.get(protocol.CONFIG, ()),
            one_by_one=self.policy.outbound.allow_test_speakers,
        )

    def _keep_what_was_spent(self, values: Told) -> None:
        """Write the ledger's figures anew; what was spent is null where it is not reported."""
        config = values.get(protocol.CONFIG, {})
        if protocol.FIGURES in config:
            hidden = {} if self.policy.privacy.report_epsilon else dict.fromkeys(protocol.SPENT)
            config[protocol.FIGURES] = json.dumps(config[protocol.FIGURES] | hidden, sort_keys=True)


def _class_count(model: ArrayRecord, bias: str) -> int:
    """How many classes a model tells apart, by the array with a number for each."""
    shape = model[bias].shape if bias in model else ()
    if len(shape) != 1 or not 2 <= shape[0] <= _MOST_CLASSES:
        raise Refused("the server sent no model to score")
    return int(shape[0])

"""What may leave in answer to each type of message; see ``client.node.gate.outbound``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from client.node.gate import validators
from client.node.gate.arrays import Values, values_of
from client.node.gate.validators import Check, Refused
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.errors import FedserError
from common.utterance import EMOTIONS, emotion_name

_WIDEST = 100_000  # features of a frame
_MOST_CLASSES = 1000

Record = ArrayRecord | ConfigRecord | MetricRecord
Records = dict[str, Record]
_Record = TypeVar("_Record", ArrayRecord, ConfigRecord, MetricRecord)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an app answered, and what it was asked."""

    content: RecordDict
    asked: RecordDict
    site: str
    policy: Policy
    config: Config

    @property
    def private(self) -> bool:
        """Whether nothing but noisy updates may be made of the recordings."""
        return self.config.privacy.on

    @property
    def classes(self) -> Collection[str]:
        """The names of classes that may be told: the run's, or where it names none, those of all emotions."""
        return {emotion_name(name) for name in self.config.data.classes} or EMOTIONS

    @property
    def class_count(self) -> int:
        """How many classes the model that the server sent tells apart."""
        model, last = self.asked.get(protocol.ARRAYS), self.config.model.architecture.output_bias
        shape = model[last].shape if isinstance(model, ArrayRecord) and last in model else ()
        if len(shape) != 1 or not 2 <= shape[0] <= _MOST_CLASSES:
            raise Refused("the server sent no model to score")
        return int(shape[0])

    def record(self, name: str, kind: type[_Record]) -> _Record:
        """A record of the reply.

        Raises:
            Refused: it is missing, or of another kind.
        """
        record = self.content.get(name)
        if not isinstance(record, kind):
            raise Refused(f"the reply has no {kind.__name__} {name}")
        return record

    def told(self, keys: Mapping[str, Check], optional: Collection[str] = ()) -> dict[str, Any]:
        """The checked values of the reply's config."""
        record = self.record(protocol.CONFIG, ConfigRecord)
        return validators.taken(protocol.CONFIG, record, keys, optional=optional)

    def measured(self, keys: Mapping[str, Check]) -> dict[str, Any]:
        """The checked values of the reply's metrics."""
        return validators.taken(protocol.METRICS, self.record(protocol.METRICS, MetricRecord), keys)

    def check_enough(self) -> None:
        """Refuse to speak for too few, whatever was asked.

        Raises:
            Refused: there are fewer recordings or speakers than the policy asks for, or the app does not say how many.
        """
        data = self.policy.data
        least = {protocol.RECORDINGS: data.min_recordings, protocol.SPEAKERS: data.min_speakers}
        record = self.record(protocol.HELD, ConfigRecord)
        for name, found in validators.taken(protocol.HELD, record, dict.fromkeys(least, validators.count)).items():
            if found < (asked := least[name]):
                raise Refused(f"there are {found} {name} to train on, the policy asks for {asked} (data.min_{name})")


def _hello(reply: Reply) -> Records:
    numbers = (protocol.VALIDATION_EXAMPLES, protocol.TEST_EXAMPLES, protocol.VALIDATION_SPEAKERS)
    told = reply.told(
        {
            protocol.SITE: validators.just(reply.site),
            protocol.RELEASE: validators.release,
            protocol.CLASSES: validators.names_among(reply.classes),
            protocol.MISSING: validators.names_among(() if reply.private else reply.classes),
            protocol.LABELS: validators.digest_or_none,
            **dict.fromkeys((protocol.PROTOCOL, protocol.FEATURES), validators.count),
            **dict.fromkeys((protocol.EXAMPLES, protocol.SPEAKERS, *numbers), validators.count),
        }
    )
    return {protocol.CONFIG: ConfigRecord(told)}


def _statistics(reply: Reply) -> Records:
    _refuse_if_private(reply, "sums of features")
    metrics = reply.measured({protocol.FRAMES: validators.count})
    record = reply.record(protocol.ARRAYS, ArrayRecord)
    sums = validators.taken(protocol.ARRAYS, record, dict.fromkeys(("total", "square"), _sums))
    if sums["total"].shape != sums["square"].shape:
        raise Refused("the reply's sums are of different lengths")
    arrays = ArrayRecord({name: Array(values) for name, values in sums.items()})
    return {protocol.ARRAYS: arrays, protocol.METRICS: MetricRecord(metrics)}


def _train(reply: Reply) -> Records:
    records: Records = {}
    if reply.config.privacy.at_sites:
        ledger = {protocol.LEDGER_ENTRIES: validators.count, protocol.LEDGER_HASH: validators.digest}
        figures = validators.figures(reply.policy.privacy.report_epsilon)
        perhaps = {protocol.STOPPED: validators.just(True), protocol.FIGURES: figures}
        told = reply.told({**ledger, **perhaps}, optional=perhaps)
        records[protocol.CONFIG] = ConfigRecord(told)
        if protocol.STOPPED in told:
            return records
    more = {} if reply.private else dict.fromkeys((protocol.LOSS, protocol.SECONDS), validators.number)
    metrics = reply.measured({protocol.EXAMPLES: validators.count, **more})
    return {**records, protocol.ARRAYS: _weights(reply), protocol.METRICS: MetricRecord(metrics)}


def _validate(reply: Reply) -> Records:
    _refuse_if_private(reply, "scores of validation speakers")
    return _scores(reply, groups=1)


def _test(reply: Reply) -> Records:
    return _scores(reply, groups=None)


def _privacy(reply: Reply) -> Records:
    told = reply.told({protocol.FIGURES: validators.figures(reply.policy.privacy.report_epsilon)})
    return {protocol.CONFIG: ConfigRecord(told)}


ANSWERS: dict[str, Callable[[Reply], Records]] = {
    protocol.HELLO: _hello,
    protocol.STATISTICS: _statistics,
    protocol.TRAIN: _train,
    protocol.EVALUATE: _validate,
    protocol.EVALUATE_TEST: _test,
    protocol.PRIVACY: _privacy,
}


def _refuse_if_private(reply: Reply, what: str) -> None:
    if reply.private:
        raise Refused(f"the run is private, {what} may not leave")


def _scores(reply: Reply, groups: int | None) -> Records:
    """Confusion counts of so many groups; of any number, none of them empty, where it is None."""
    keys = {
        protocol.EXAMPLES: validators.count,
        protocol.LOSS: validators.number,
        protocol.CONFUSION: validators.counts,
    }
    metrics = reply.measured(keys)
    size, examples = len(metrics[protocol.CONFUSION]), metrics[protocol.EXAMPLES]
    cells = reply.class_count**2
    if size % cells or not 1 <= size // cells <= (groups or examples):
        raise Refused(f"the reply has {size} confusion counts, expected {cells} for each of {groups or 'the'} groups")
    if sum(metrics[protocol.CONFUSION]) != examples:
        raise Refused(f"the reply's confusion counts are not those of {examples} recordings")
    return {protocol.METRICS: MetricRecord(metrics)}


def _weights(reply: Reply) -> ArrayRecord:
    """The model, in the form and the order in which the server sent its own."""
    asked = reply.asked.get(protocol.ARRAYS)
    if not isinstance(asked, ArrayRecord):
        raise Refused("the server sent no model to train")
    keys = {name: _like(asked[name]) for name in sorted(asked)}
    trained = validators.taken(protocol.ARRAYS, reply.record(protocol.ARRAYS, ArrayRecord), keys)
    return ArrayRecord({name: Array(values) for name, values in trained.items()})


def _like(expected: Array) -> Check:
    """An array of the shape and type of another, all of it finite."""

    def check(array: Any) -> Values:
        values = _read(array)
        if (str(values.dtype), values.shape) != (expected.dtype, tuple(expected.shape)):
            found = f"{values.dtype}{list(values.shape)}"
            raise Refused(f"is {found}, expected {expected.dtype}{list(expected.shape)}")
        return values

    return check


def _sums(array: Any) -> Values:
    """A sum of each feature."""
    values = _read(array)
    if values.dtype != np.float64 or values.ndim != 1 or len(values) > _WIDEST:
        raise Refused(f"is {values.dtype}{list(values.shape)}, expected a float64 for each feature")
    return values


def _read(array: Array) -> Values:
    try:
        values = values_of(array)
    except FedserError as error:
        raise Refused(f"cannot be read: {error}") from None
    if not np.isfinite(values).all():
        raise Refused("holds numbers that are not finite")
    return values

"""Messages drawn from the schema, as Flower's own records, and what is wrong with a value of each kind."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import reject
from hypothesis import strategies as st

from common import protocol
from common.messages.fields import Confusion, Count, Field, Json, Maybe, Names, Number, Numbers, Several, Text, Truth
from common.messages.forms import Form, RecordForm

WIDTH = 3  # of arrays whose length is open
KINDS: dict[str, Any] = {"ArrayRecord": ArrayRecord, "ConfigRecord": ConfigRecord, "MetricRecord": MetricRecord}


def value_of(own: Field) -> st.SearchStrategy[Any]:
    """Any value that a declaration allows."""
    match own:
        case Count(least, most):
            return st.integers(least, most)
        case Number(least, most, endless):
            return st.floats(least, most) | st.just(math.inf if endless else least)
        case Truth(only):
            return st.booleans() if only is None else st.just(only)
        case Text(pattern):
            return st.from_regex(pattern, fullmatch=True)
        case Names(among):
            return st.lists(st.sampled_from(among), unique=True) if among else st.just([])
        case Confusion(classes, groups):
            group = st.lists(st.integers(0, 9), min_size=classes**2, max_size=classes**2).filter(any)
            return st.lists(group, min_size=1, max_size=min(groups, 3)).map(lambda tables: list(chain(*tables)))
        case Several() | Maybe():
            return _of_another(own)
        case Json(fields):
            return st.fixed_dictionaries({key: value_of(item) for key, item in fields.items()}).map(json.dumps)
        case Numbers(dtype, shape):
            sizes = tuple(WIDTH if length is None else length for length in shape)
            drawn = st.lists(st.integers(-9, 9), min_size=math.prod(sizes), max_size=math.prod(sizes))
            return drawn.map(lambda values: Array(np.array(values, dtype).reshape(sizes)))


def _of_another(own: Several | Maybe) -> st.SearchStrategy[Any]:
    if isinstance(own, Maybe):
        return st.none() | value_of(own.value)
    each = Count(own.each.least, 9) if isinstance(own.each, Count) else own.each
    return st.lists(value_of(each), min_size=own.length, max_size=own.length)


def wrong(own: Field, right: Any) -> Iterator[Any]:
    """Values that a declaration does not allow."""
    yield from ("/data/patient_0042.wav", b"patient_0042", ["patient_0042"])
    match own:
        case Count(least, most):
            yield from (least - 1, most + 1, float(least), math.nan, True, [least])
        case Number(least, most, endless):
            yield from (least - 1.0, most * 2.0, math.nan, -math.inf, True, [least])
            yield from () if endless else (math.inf,)
        case Truth(only):
            yield from (1, 0.0, "true", *(() if only is None else (not only,)))
        case Text():
            yield from (7, f"{right}\n/data/patient_0042.wav" if right else "no hash", f"{right}\n" if right else "\n")
        case Names():
            yield from (["anger", "anger"], [1], [True], "anger", 3)
        case Confusion():
            yield from (
                [],
                right[:-1],
                [*right, 0],
                [right[0] + 1, *right[1:]],
                [-1, *right[1:]],
                [float(x) for x in right],
            )
            yield from (right + [0] * len(right), 7)
        case Several() | Maybe():
            yield from _wrong_within(own, right)
        case Json(fields):
            yield from _wrong_objects(fields, right)
        case Numbers():
            yield from _wrong_arrays(right)


def _wrong_within(own: Several | Maybe, right: Any) -> Iterator[Any]:
    if isinstance(own, Maybe):
        yield from wrong(own.value, right)
        return
    yield from ([], right[:-1], [*right, right[0]], 7)
    yield from ([odd, *right[1:]] for odd in wrong(own.each, right[0]) if type(odd) is type(right[0]))
    if isinstance(own.each, Count):
        yield from ([right[0] + 1, *right[1:]], [float(count) for count in right])


def _wrong_objects(fields: Any, right: str) -> Iterator[Any]:
    told = json.loads(right)
    yield from ("", "[]", "3", "{", "[" * 10_000, json.dumps(list(told.items())), json.dumps({**told, "speaker": 42}))
    for key, own in fields.items():
        yield json.dumps({name: value for name, value in told.items() if name != key})
        for odd in wrong(own, told[key]):
            if not isinstance(odd, bytes):
                yield json.dumps({**told, key: odd})


def _wrong_arrays(right: Array) -> Iterator[Any]:
    values = right.numpy()
    yield from (
        Array(right.dtype, right.shape, right.stype, data) for data in (b"", right.data[:-1], right.data + b"x")
    )
    yield Array(right.dtype, right.shape, "patient_0042", right.data)
    yield from (Array(values[None]), Array(np.append(values.ravel(), 1).astype(values.dtype)))
    other = np.float32 if values.dtype == np.float64 else np.float64
    yield Array(values.astype(other))
    if values.dtype.kind == "f":
        yield from (Array(np.full_like(values, odd)) for odd in (math.nan, math.inf))


@st.composite
def message(draw: st.DrawFn, form: Form) -> RecordDict:
    """Any message of a form: its records, of what may be left out a part."""
    content = RecordDict()
    for name, own in form.records.items():
        if own.needed or draw(st.booleans()):
            groups = [own.fields, *(group for group in own.perhaps if draw(st.booleans()))]
            keys = {key: item for group in groups for key, item in group.items()}
            content[name] = KINDS[own.kind]({key: draw(value_of(item)) for key, item in keys.items()})
    if "square" in content.get(protocol.ARRAYS, {}):  # the rules between values that a draw would miss
        sums: Any = content[protocol.ARRAYS]
        sums["square"] = Array(np.square(sums["total"].numpy()))
    if protocol.WEIGHT in content.get(protocol.SCALING, {}):
        scaling: Any = content[protocol.SCALING]
        scaling[protocol.WEIGHT] = Array(np.array([draw(st.integers(1, 10**6))], np.float32))
    metrics: Any = content.get(protocol.METRICS, {})
    _count_classes(content, metrics)
    if protocol.RIGHT in metrics:
        metrics[protocol.RIGHT] = [metrics[protocol.RIGHT][0] + 1, *metrics[protocol.RIGHT][1:]]
        metrics[protocol.EXAMPLES] = sum(metrics[protocol.RIGHT]) + sum(metrics[protocol.WRONG])
    if tables := sorted(key for key in metrics if key.startswith(protocol.CONFUSION)):
        counts = metrics[tables[0]]
        metrics[protocol.EXAMPLES] = examples = sum(counts)
        if protocol.SPEAKERS in metrics:
            own = form.records[protocol.METRICS]
            field: Any = {key: item for group in (own.fields, *own.perhaps) for key, item in group.items()}[tables[0]]
            groups = len(counts) // field.classes**2
            metrics[protocol.SPEAKERS] = groups if groups > 1 else draw(st.integers(1, examples))
        for key in tables:
            times = protocol.DRAWS if key in (protocol.after("2"), protocol.after("8")) else 1  # by default it adapts
            metrics[key] = [count * times for count in counts]
    return content


def _count_classes(content: Any, metrics: Any) -> None:
    """Weights of classes are above 0, and counts of them come to the recordings that they are of."""
    if protocol.CLASS_WEIGHTS in content:
        pooled = content[protocol.CLASS_WEIGHTS]
        pooled[protocol.WEIGHTS] = Array(np.abs(pooled[protocol.WEIGHTS].numpy()) + 1)
    if protocol.COUNTS in metrics:
        metrics[protocol.COUNTS] = [metrics[protocol.COUNTS][0] + 1, *metrics[protocol.COUNTS][1:]]
        metrics[protocol.EXAMPLES] = sum(metrics[protocol.COUNTS])


@st.composite
def spoilt(draw: st.DrawFn, form: Form) -> RecordDict:
    """A message of a form with one thing wrong: a record or a key too few or too many, a wrong value or kind."""
    content = draw(message(form))
    name = draw(st.sampled_from(sorted(content)))
    own, record = form.records[name], content[name]
    how = draw(st.sampled_from(["record less", "record more", "another kind", "key less", "key more", "value"]))
    if how == "record less" and own.needed:
        del content[name]
    elif how == "record more":
        more: list[Any] = [ArrayRecord(), ConfigRecord({"x": 1}), MetricRecord({"x": 1})]
        content["patient_0042"] = draw(st.sampled_from(more))
    elif how == "another kind":
        content[name] = ConfigRecord({"x": 1}) if own.kind == "MetricRecord" else MetricRecord({"x": 1})
    elif how == "key less" and (key := draw(st.sampled_from([None, *sorted(_needed(own, record))]))):
        del record[key]
    elif how == "key more":
        _put(record, "patient_0042", Array(np.zeros(1)) if own.kind == "ArrayRecord" else 1)
    elif how == "value" and record:
        key = draw(st.sampled_from(sorted(record)))
        field = next(group[key] for group in (own.fields, *own.perhaps) if key in group)
        _put(record, key, draw(st.sampled_from(list(wrong(field, record[key])))))
    else:
        reject()
    return content


def _needed(own: RecordForm, record: Any) -> set[str]:
    """The keys without which a record is incomplete: those that it must have, and halves of what comes together."""
    halves = {key for group in own.perhaps if len(group) > 1 for key in group if key in record}
    return set(own.fields) | halves


def _put(record: Any, key: str, value: Any) -> None:
    try:
        record[key] = value
    except (TypeError, ValueError, OverflowError):
        reject()  # Flower's record takes no such thing

"""Three sites as the server's code sees them, one of which answers anything: changed values, objects, bytes, numbers.

What it sends is read as in a deployment, by Flower's own reader, from the bytes of the objects that a message is of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from hypothesis import strategies as st

from common import protocol
from common.config.settings import Config
from common.flower.packing import KEY, pack
from tests.client.node import gated

SITES = {1: "a", 2: "b", 3: "c"}
BAD = 2
FEATURES = 5
Content = Callable[[], RecordDict]
Spoil = Callable[[Message], Message]  # what becomes of an honest reply; it may raise, as a reader does


class ThreeSites:
    """A grid of ``SITES``, of which ``BAD`` answers what ``spoil`` makes of an honest reply.

    Args:
        config: of the run.
        spoil: see above.
    """

    def __init__(self, config: Config, spoil: Spoil) -> None:
        self._config, self._spoil = config, spoil
        self._asked: dict[str, Message] = {}

    def get_node_ids(self) -> list[int]:
        return list(SITES)

    def push_messages(self, sent: Iterable[Message]) -> Sequence[str]:
        self._asked = {f"{number}": message for number, message in enumerate(sent)}
        return list(self._asked)

    def pull_messages(self, ids: Iterable[str]) -> list[Message]:
        return [self._answer(self._asked.pop(number)) for number in ids if number in self._asked]

    def _answer(self, asked: Message) -> Message:
        node = asked.metadata.dst_node_id
        reply = Message(pack(honest(asked, SITES[node], self._config)), reply_to=asked)
        return self._spoil(reply) if node == BAD else reply


def honest(asked: Message, site: str, config: Config) -> RecordDict:
    """What a site answers as it should."""
    kind = asked.metadata.message_type
    if kind == protocol.HELLO and asked.content.config_records[protocol.CONFIG]:
        return RecordDict({protocol.CONFIG: ConfigRecord({protocol.SITE: site})})
    content = gated.content(kind, gated.PRIVATE if config.privacy.on else gated.PLAIN)
    if kind == protocol.HELLO:
        own: Any = {protocol.SITE: site, protocol.FEATURES: FEATURES, protocol.MISSING: []}
        content.config_records[protocol.CONFIG].update(own)
    return content


def objects(message: Message) -> tuple[str, dict[str, bytes]]:
    """A message as it lies at the SuperLink: its id, and its objects' bytes by theirs."""
    return message.object_id, {name: own.deflate() for name, own in get_all_nested_objects(message).items()}


def read(root: str, contents: dict[str, bytes]) -> Message:
    """What Flower's grid makes of them."""
    found: Any = inflate_object_from_contents(root, dict(contents))
    found.metadata.__dict__["_message_id"] = root
    message: Message = found
    return message


def chained(count: int) -> Message:
    """A reply of so many objects, each the only child of the next."""
    contents, child = {}, ""
    for _ in range(count):
        content = f"RecordDict {child} 0".encode() + b"\0"
        child = get_object_id(content)
        contents[child] = content
    return read(child, contents)


# Values that nobody expects

LONG = st.tuples(st.sampled_from(["a", "[", '{"a":', "\x1b", "1"]), st.sampled_from([5_000, 20_000]))
TEXTS = st.text(max_size=20) | st.sampled_from(["\x1b[2J", "\u202e", "é\0"]) | LONG.map(lambda own: own[0] * own[1])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from([2**63 - 1, -1, 0, 1e308, 5e-324])
SCALARS = NUMBERS | TEXTS | st.binary(max_size=20) | st.booleans()
VALUES = SCALARS | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20) | st.lists(TEXTS, max_size=4)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 10**6, 2**40, -1]), max_size=5).map(tuple)
KINDS = ["float32", "float64", "int64", "uint8", "bool", "O", "U5", "c16", "nonsense", ""]


def _head(dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """An array that says anything of itself, and holds something else."""
    kind, shape, data = draw(st.sampled_from(KINDS)), draw(SHAPES), draw(st.binary(max_size=40))
    bodies = [data, _head(draw(st.sampled_from(["<f4", "<f8", "|O", "|u1", "<U9", "??"])), draw(SHAPES), data)]
    fine = np.array(draw(st.lists(st.floats(width=32), max_size=6)), np.float32)
    made = [
        Array(dtype=kind, shape=shape, stype=draw(st.sampled_from(["numpy.ndarray", "x", ""])), data=body)
        for body in bodies
    ]
    return draw(st.sampled_from([*made, Array(fine), Array(np.full(FEATURES, 1e300)), Array(np.array(1.0))]))


RECORDS = st.one_of(
    st.dictionaries(TEXTS, arrays(), max_size=3).map(ArrayRecord),
    st.dictionaries(TEXTS, SCALARS, max_size=3).map(lambda values: _filled(ConfigRecord(), values)),
    st.dictionaries(TEXTS, NUMBERS, max_size=3).map(lambda values: _filled(MetricRecord(), values)),
    arrays().map(lambda array: ArrayRecord({KEY: array})),
)


def _filled(record: Any, values: dict[str, Any]) -> Any:
    for key, value in values.items():
        put(record, key, value)
    return record


def put(record: Any, key: str, value: Any) -> None:
    """Write a value into a record, where Flower lets one."""
    try:
        record[key] = value
    except (TypeError, ValueError, OverflowError):
        return


# What a site may do to its honest reply


WAYS = ("value", "value", "key", "less", "record", "gone")
CHANGE = st.tuples(st.sampled_from(WAYS), st.integers(0, 9), st.integers(0, 30), TEXTS, VALUES, arrays(), RECORDS)


@st.composite
def other_values(draw: st.DrawFn) -> Spoil:
    """Some values, keys or whole records are others."""
    changes = draw(st.lists(CHANGE, min_size=1, max_size=3))

    def spoil(reply: Message) -> Message:
        for way, record, key, name, value, array, other in changes:
            if not (names := sorted(reply.content)):
                break
            chosen = names[record % len(names)]
            own: Any = reply.content[chosen]
            keys = sorted(own)
            if way == "record":
                reply.content[chosen if key % 2 else name] = other
            elif way == "gone":
                del reply.content[chosen]
            elif way == "less" and keys:
                del own[keys[key % len(keys)]]
            elif keys or way == "key":
                place = name if way == "key" else keys[key % len(keys)]
                put(own, place, array if isinstance(own, ArrayRecord) else value)
        return read(*objects(reply))

    return spoil


@st.composite
def other_bytes(draw: st.DrawFn) -> Spoil:
    """One of its objects' bytes are others, shorter, or missing; or its head names other children."""
    place, at, data = draw(st.integers(0, 50)), draw(st.integers(0, 10**4)), draw(st.binary(min_size=1, max_size=8))
    way = draw(st.sampled_from(["bytes", "short", "missing", "root", "child", "type"]))

    def spoil(reply: Message) -> Message:
        root, contents = objects(reply)
        names = sorted(contents)
        chosen = names[place % len(names)]
        own = contents[chosen]
        cut = at % (len(own) + 1)
        contents[chosen] = {
            "bytes": own[:cut] + data + own[cut + len(data) :],
            "short": own[:cut],
            "child": own.replace(b" ", b" " + (chosen if at % 2 else names[0]).encode(), 1),
            "type": own.replace(own.split(b" ")[0], data.hex().encode() if at % 2 else b"ArrayChunk", 1),
        }.get(way, own)
        if way == "missing":
            del contents[chosen]
        return read(chosen if way == "root" else root, contents)

    return spoil


@st.composite
def other_numbers(draw: st.DrawFn) -> Spoil:
    """What it says of itself is another's: the sender, the message that it answers, the type."""
    number, text = st.sampled_from([0, 1, 3, 2**63]), TEXTS
    keys = {"_src_node_id": number, "_dst_node_id": number, "_run_id": number}
    told = draw(st.fixed_dictionaries({}, optional={**keys, "_reply_to_message_id": text, "_message_type": text}))

    def spoil(reply: Message) -> Message:
        reply.metadata.__dict__.update(told)
        return reply

    return spoil


def _failing(reply: Message, code: int, reason: str) -> Message:
    failed = Message(Error(code, reason), reply_to=reply)
    failed.metadata.__dict__.update(reply.metadata.__dict__)
    return failed


def _figures(reply: Message, text: str) -> Message:
    for record in reply.content.config_records.values():
        put(record, protocol.FIGURES, text)
    return reply


SPOILS: st.SearchStrategy[Spoil] = st.one_of(
    other_values(),
    other_bytes(),
    other_numbers(),
    st.sampled_from([1, 90, 1500]).map(lambda count: lambda _: chained(count)),
    st.tuples(st.integers(-3, 2**31 - 1), TEXTS).map(lambda told: lambda reply: _failing(reply, *told)),
    (TEXTS | st.sampled_from([json.dumps({"epsilon": 10**400}), "NaN", "{}"])).map(
        lambda text: lambda reply: _figures(reply, text)
    ),
)

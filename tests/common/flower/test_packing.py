from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from common.errors import FedserError
from common.flower.packing import KEY, is_packed, pack, unpack

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1

MODEL = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array(-0.5),
    "count": np.array([3], dtype=np.int64),
    "turned": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "none": np.zeros((0, 4), dtype=np.float32),
}


def content() -> RecordDict:
    arrays = ArrayRecord({name: Array(value) for name, value in MODEL.items()})
    scaling = ArrayRecord({"mean": Array(np.ones(3))})
    return RecordDict({"arrays": arrays, "scaling": scaling, "config": ConfigRecord({"round": 1})})


def test_what_is_packed_comes_back() -> None:
    packed = pack(content())
    assert is_packed(packed)
    assert not is_packed(content())
    assert [list(record) for record in packed.array_records.values()] == [[KEY], [KEY]]
    back = unpack(packed)
    assert dict(back["config"]) == {"round": 1}
    assert list(back.array_records["arrays"]) == sorted(MODEL)
    for name, value in MODEL.items():
        found = back.array_records["arrays"][name].numpy()
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found, value)
    assert back.array_records["scaling"]["mean"].numpy().tolist() == [1, 1, 1]


def test_packing_twice_or_unpacking_what_is_not_packed_changes_nothing() -> None:
    once = pack(content())
    assert pack(once).array_records["arrays"][KEY].data == once.array_records["arrays"][KEY].data
    assert list(unpack(content()).array_records["arrays"]) == list(MODEL)


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}rest"])
def test_bytes_that_are_none_are_told(data: bytes) -> None:
    record = ArrayRecord({KEY: Array(np.frombuffer(data, dtype=np.uint8))})
    with pytest.raises(FedserError, match="packed arrays cannot be read"):
        unpack(RecordDict({"arrays": record}))


def test_a_packed_message_has_a_fraction_of_the_objects() -> None:
    def objects(records: RecordDict) -> int:
        return len(get_all_nested_objects(Message(records, 1, "train")))

    many = ArrayRecord({f"layer {i}": Array(np.full(4, i)) for i in range(14)})
    whole = RecordDict({"arrays": many, "config": ConfigRecord()})
    assert objects(pack(whole)) <= 6
    assert objects(whole) >= 30

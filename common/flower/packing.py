"""A record's arrays as one array on their way between sites: fewer objects, each of which costs the server.

Flower sends every array as objects of its own, each with a request, a signature and a transaction at the SuperLink: a
message with a model of 18 arrays is 45 objects, and 9 with the arrays joined (LOG.md, "Deployment"). The joined form is
safetensors': names, types and shapes, then the numbers. Reading it runs nothing, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flwr.app import Array, ArrayRecord, RecordDict

from common.errors import FedserError

KEY = "safetensors"  # the one array of a packed record

Values = np.ndarray[Any, np.dtype[Any]]


def is_packed(content: RecordDict) -> bool:
    """Whether any of the records was made by ``pack``."""
    return any(_joined(record) for record in content.array_records.values())


def pack(content: RecordDict, known: dict[int, ArrayRecord] | None = None) -> RecordDict:
    """The same records, the arrays of each ``ArrayRecord`` joined.

    Args:
        content: of a message.
        known: what was made of records before, by ``id``: a model that goes to many sites is joined once.
    """
    made = {} if known is None else known

    def joined(record: ArrayRecord) -> ArrayRecord:
        if id(record) not in made:
            made[id(record)] = record if _joined(record) else _pack(record)
        return made[id(record)]

    return _each(content, joined)


def unpack(content: RecordDict, read: Callable[[Array], Values] = Array.numpy) -> RecordDict:
    """The records as they were before ``pack``; arrays come sorted by name.

    Args:
        content: of a message.
        read: an array's numbers; another than Flower's for arrays that nobody vouches for.

    Raises:
        FedserError: a packed record's bytes are not safetensors'.
    """
    return _each(content, lambda record: _unpack(record, read) if _joined(record) else record)


def _each(content: RecordDict, change: Callable[[ArrayRecord], ArrayRecord]) -> RecordDict:
    return RecordDict({n: change(r) if isinstance(r, ArrayRecord) else r for n, r in content.items()})


def _joined(record: Mapping[str, Array]) -> bool:
    return set(record) == {KEY}


def _pack(record: ArrayRecord) -> ArrayRecord:
    data = safetensors.numpy.save({name: np.asarray(array.numpy(), order="C") for name, array in record.items()})
    return ArrayRecord({KEY: Array(np.frombuffer(data, dtype=np.uint8))})


def _unpack(record: ArrayRecord, read: Callable[[Array], Values]) -> ArrayRecord:
    try:
        arrays = safetensors.numpy.load(read(record[KEY]).tobytes())
    except FedserError:
        raise
    except Exception as error:  # whatever bytes that were made by hand make of the reader
        raise FedserError(f"packed arrays cannot be read ({type(error).__name__})") from None
    return ArrayRecord({name: Array(arrays[name]) for name in sorted(arrays)})

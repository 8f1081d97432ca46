from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given
from hypothesis import strategies as st

from client.node.audit.model_hash import model_hash
from common.errors import FedserError
from common.messages.npy import values_of
from common.storage.fingerprint import fingerprint


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(7),
        np.zeros((0, 4)),
        np.array([True, False]),
    ],
)
def test_an_array_is_read_as_it_was(values: np.ndarray[Any, Any]) -> None:
    found = values_of(Array(values))
    assert (found.shape, found.dtype) == (values.shape, values.dtype)
    assert (found == values).all()
    assert found.flags.c_contiguous


def npy(values: np.ndarray[Any, Any], allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=allow_pickle)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, np.zeros(3))
    return buffer.getvalue()


def huge() -> bytes:
    """A header that promises a petabyte."""
    return npy(np.zeros(3)).replace(b"(3,)", b"(99999999999999,)").replace(b" " * 12, b"", 1)


GOOD = npy(np.zeros(3))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"patient_0042",
        GOOD + b"patient_0042",  # behind the end
        GOOD[:-1],
        zipped(),
        huge(),
        npy(np.array(["patient_0042"] * 3)),
        npy(np.array([{}, {}, {}], dtype=object), allow_pickle=True),
        npy(np.zeros(3, dtype=np.float32)),
        npy(np.zeros((3, 1))),
        GOOD.replace(b"'shape': (3,)", b"'shape':(-3,)"),
        GOOD.replace(b"}", b"#"),
    ],
)
def test_bytes_that_are_not_that_array_are_refused(data: bytes) -> None:
    assert values_of(Array("float64", (3,), "numpy.ndarray", GOOD)).shape == (3,)
    with pytest.raises(FedserError):
        values_of(Array("float64", (3,), "numpy.ndarray", data))


@given(st.integers(0, 127), st.binary(min_size=1, max_size=4))
def test_no_header_gets_more_out_of_the_reader(at: int, noise: bytes) -> None:
    try:
        values = values_of(Array("float64", (3,), "numpy.ndarray", GOOD[:at] + noise + GOOD[at + len(noise) :]))
    except FedserError:
        return
    assert (values.shape, str(values.dtype)) == ((3,), "float64")


def test_the_model_hash_is_the_servers_fingerprint() -> None:
    model: dict[str, np.ndarray[Any, Any]] = {"b": np.zeros(2, np.float32), "a": np.ones((2, 2)), "steps": np.array(3)}
    sent = {name: Array(values) for name, values in model.items()}
    assert model_hash(sent) == fingerprint(model)
    other = model | {"steps": np.array(4)}
    assert model_hash({name: Array(values) for name, values in other.items()}) != fingerprint(model)

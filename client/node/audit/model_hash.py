"""The fingerprint of a model that came in a message, for the site's audit log."""

from __future__ import annotations

from collections.abc import Mapping

from flwr.app import Array

from common.messages.npy import values_of
from common.storage.fingerprint import fingerprint


def model_hash(arrays: Mapping[str, Array]) -> str:
    """The ``common.storage.fingerprint`` of a model's arrays, as the server's own log has it.

    Raises:
        FedserError: as ``values_of``.
    """
    return fingerprint({name: values_of(array) for name, array in arrays.items()})

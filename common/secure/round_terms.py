"""What a round's masks are bound to: all that an update depends on beside the site's own recordings.

Two sites' masks cancel where both were told the same, and nowhere else. So a coordinator that sends two sites two
models, rates, totals, settings or rosters gets the sum of random words (Pasquini 2022 is what it could do else), and a
round that is asked again with anything changed does not use a mask twice.

Each site computes the terms of what it received itself. The coordinator computes them of what it sent, to say in one
line which site was told something else; it needs them for nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from common import protocol
from common.storage.fingerprint import fingerprint

# How far logs and ledgers are: the site's own, which each site is told another of, and the server's, which has grown
# when a round is asked again. No update depends on them.
HEADS = (
    *(protocol.LEDGER_ENTRIES, protocol.LEDGER_HASH, protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH),
    *(protocol.SERVER_LOG, protocol.SERVER_ENTRIES, protocol.SERVER_HASH),
)


@dataclass(frozen=True, kw_only=True)
class RoundTerms:
    """The terms of one round.

    Attributes:
        run: its name.
        number: the round's, over both passes.
        refit: whether it is of the second pass, in which sites train on their validation speakers too.
        bundle: SHA-256 of the app's code.
        settings: SHA-256 of the run's, as received.
        asked: SHA-256 of the message's, as received, without ``HEADS``.
        model: the fingerprint of the weights that came in.
        inbound: SHA-256 of all arrays that came in: weights, scaling, what the strategy sends beside them.
    """

    run: str
    number: int
    refit: bool
    bundle: str
    settings: str
    asked: str
    model: str
    inbound: str

    @classmethod
    def of(
        cls,
        *,
        run: str,
        number: int,
        refit: bool,
        bundle: str,
        settings: Mapping[str, Any],
        asked: Mapping[str, Any],
        arrays: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
    ) -> Self:
        """The terms of what was received.

        Args:
            run: its name.
            number: the round's.
            refit: see above.
            bundle: see above.
            settings: of the run.
            asked: of the message.
            arrays: by record, ``protocol.ARRAYS`` among them.

        Raises:
            TypeError: a setting is nothing that a message can hold.
        """
        inbound = {record: fingerprint(values) for record, values in arrays.items()}
        told = {key: value for key, value in asked.items() if key not in HEADS}
        return cls(
            run=run,
            number=number,
            refit=refit,
            bundle=bundle,
            settings=digest(settings),
            asked=digest(told),
            model=inbound[protocol.ARRAYS],
            inbound=digest(inbound),
        )

    def named(self, kind: str) -> Self:
        """The terms of something else than an update of the model: it is bound to what that is."""
        return dataclasses.replace(self, model=hashlib.sha256(joined(kind.encode(), self.model.encode())).hexdigest())

    def context(self, roster: str) -> bytes:
        """32 bytes that stand for the round and the roster: every key of the round is derived with them.

        Args:
            roster: its digest.
        """
        number, refit = str(self.number), "refit" if self.refit else "first"
        texts = (self.run, number, refit, self.bundle, self.settings, self.asked, self.model, self.inbound, roster)
        return hashlib.sha256(joined(b"fedser secure round 1", *(text.encode() for text in texts))).digest()


def digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings: 1, 1.0, true and "1" are four things, and the order of the keys is none."""
    text = json.dumps(dict(settings), sort_keys=True, separators=(",", ":"), default=_bytes)
    return hashlib.sha256(text.encode()).hexdigest()


def joined(*parts: bytes) -> bytes:
    """Texts one after the other, each behind its length: no two lists of texts come to the same."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(f"a setting is {value!r}, expected a number, a text, bytes or a list of such")

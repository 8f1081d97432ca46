"""Who adds up in a run: each site's name, keys and counts under its own signature, and what the counts come to.

The coordinator hands it on, and can't make it up: a site signs its entry with its registered key, by which the others
know it (``common.secure.pinned_keys``). A site's share of the sum is its own count over the total, so with another
count or total it would weigh what nobody agreed to; it refuses that roster.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import FederationError
from common.secure.pair_masks import KEY
from common.secure.round_terms import joined

LEAST = 3  # sites: of two each would see the other's update
_MOST = 10**9  # of a count


@dataclass(frozen=True, kw_only=True)
class RosterEntry:
    """What a site says of itself in a run.

    Attributes:
        site: its name.
        identity: its registered public key, ECDSA P-384 in OpenSSH's format.
        key: its X25519 key of the run, in hexadecimal digits.
        examples: the recordings that it trains on.
        validation: those that the second pass adds.
        signature: over all of this and the run's name, by the registered key, in hexadecimal digits.
    """

    site: str
    identity: str
    key: str
    examples: int
    validation: int
    signature: str = ""

    def weight(self, refit: bool) -> int:
        """The recordings that the site trains on in a pass."""
        return self.examples + (self.validation if refit else 0)

    def signed(self, run: str, private: ec.EllipticCurvePrivateKey) -> Self:
        """The same under the site's signature."""
        return dataclasses.replace(self, signature=sign(private, self._told(run)))

    def is_signed(self, run: str) -> bool:
        """Whether the registered key that the entry names signed it, for this run."""
        return is_signature(self.signature, self.identity, self._told(run))

    def _told(self, run: str) -> bytes:
        numbers = str(self.examples), str(self.validation)
        texts = (run, self.site, self.identity, self.key, *numbers)
        return joined(b"fedser roster entry 1", *(text.encode() for text in texts))


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The sites of a run, in the order of their names.

    Attributes:
        entries: of the sites.
        examples: what their counts come to, by the coordinator's word.
        validation: likewise.
    """

    entries: tuple[RosterEntry, ...]
    examples: int
    validation: int

    @classmethod
    def of(cls, entries: Iterable[RosterEntry]) -> Self:
        """The roster of some sites."""
        listed = tuple(sorted(entries, key=lambda entry: entry.site))
        examples, validation = (sum(getattr(entry, name) for entry in listed) for name in ("examples", "validation"))
        return cls(entries=listed, examples=examples, validation=validation)

    @classmethod
    def read(cls, text: str) -> Self:
        """The roster that a text holds, as ``text`` writes it.

        Raises:
            FederationError: it holds none.
        """
        try:
            table: Any = json.loads(text)
            entries = tuple(entry_of(row) for row in table.pop("entries"))
            return cls(entries=entries, **{name: _count(value) for name, value in table.items()})
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise FederationError(
                "the message's roster is none; expected sites with keys, counts and signatures"
            ) from None

    @cached_property
    def text(self) -> str:
        """The roster as messages have it."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that is signed, and of the totals; of no signature, for each time one signs it is another."""
        bare = [dataclasses.astuple(dataclasses.replace(entry, signature="")) for entry in self.entries]
        said = [bare, self.examples, self.validation]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def members(self) -> str:
        """SHA-256 of who is in it with which counts, whatever their keys of the run are: over runs, who adds up."""
        listed = [[entry.site, entry.identity, entry.examples, entry.validation] for entry in self.entries]
        return hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The names."""
        return tuple(entry.site for entry in self.entries)

    def entry(self, site: str) -> RosterEntry | None:
        """A site's entry, if it has one."""
        return next((entry for entry in self.entries if entry.site == site), None)

    def weight(self, sites: Iterable[str], refit: bool) -> int:
        """The recordings of some of its sites in a pass."""
        chosen = set(sites)
        return sum(entry.weight(refit) for entry in self.entries if entry.site in chosen)

    def fault(self, run: str) -> str | None:
        """What is wrong with it as it stands, in one line; None where nothing is.

        Args:
            run: that it is of.
        """
        return next(self._faults(run), None)

    def _faults(self, run: str) -> Iterator[str]:
        if not self.entries:
            yield "the roster names no site"
            return
        if list(self.sites) != sorted(self.sites):
            yield "the roster's sites are not in the order of their names"
        for what in ("site", "identity", "key"):
            name, times = Counter(getattr(entry, what) for entry in self.entries).most_common(1)[0]
            if times > 1:
                told = (
                    f"names {name}"
                    if what == "site"
                    else f"has one {'registered' if what == 'identity' else 'run'} key"
                )
                yield f"the roster {told} {times} times, expected each once"
        yield from filter(None, (_fault(entry, run) for entry in self.entries))
        for what in ("examples", "validation"):
            found, said = sum(getattr(entry, what) for entry in self.entries), getattr(self, what)
            if found != said:
                yield f"the roster says {said} {what} in all, its sites' counts come to {found}"


def _fault(entry: RosterEntry, run: str) -> str | None:
    """What is wrong with one entry."""
    if not 1 <= entry.examples <= _MOST or not 0 <= entry.validation <= _MOST:
        return f"{entry.site} has {entry.examples} and {entry.validation} recordings in the roster, expected 1 or more"
    if len(entry.key) != 2 * KEY:
        return f"{entry.site}'s key of the run has {len(entry.key)} digits, expected {2 * KEY}"
    if not entry.is_signed(run):
        return f"{entry.site}'s entry in the roster is not signed for this run by the key that it names"
    return None


def sign(private: ec.EllipticCurvePrivateKey, told: bytes) -> str:
    """A signature (ECDSA with SHA-384) in hexadecimal digits."""
    return private.sign(told, ec.ECDSA(hashes.SHA384())).hex()


def is_signature(signature: str, identity: str, told: bytes) -> bool:
    """Whether a registered key signed something.

    Args:
        signature: in hexadecimal digits.
        identity: the public key, ECDSA P-384 in OpenSSH's format.
        told: what was signed.
    """
    try:
        key = serialization.load_ssh_public_key(identity.encode())
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            return False
        key.verify(bytes.fromhex(signature), told, ec.ECDSA(hashes.SHA384()))
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def entry_of(row: Any) -> RosterEntry:
    """What a site says of itself, as JSON has it.

    Raises:
        TypeError, ValueError: it is none.
    """
    fields = {"site": str, "identity": str, "key": str, "examples": int, "validation": int, "signature": str}
    if not isinstance(row, dict) or {name: type(value) for name, value in row.items()} != fields:
        raise TypeError("no entry")
    bytes.fromhex(row["key"])
    "".join((row["site"], row["identity"])).encode()  # fails for what is no text in any encoding
    return RosterEntry(**row)


def _count(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("no count")
    return value

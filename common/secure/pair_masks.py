"""Masks that vanish in a sum: one for each pair of sites, added by one and taken off by the other, and one of its own.

How. In each run a site has a new X25519 key, which its registered key signs. Two sites agree on a secret that the
coordinator does not know; HKDF (RFC 5869, SHA-256) makes of it, of the round's terms and of the two names a seed, and
AES-256 in counter mode makes of that a word for each word of the update. The site adds a mask of its own as well, of a
seed drawn for the round, and hands the seed out in shares (``common.secure.secret_shares``). This is the double mask of
Bonawitz et al. 2017 ("Practical Secure Aggregation for Privacy-Preserving Machine Learning"), all sites being each
other's neighbours, for 3 to 50 of them; of a site that dropped out the others tell the round's seeds instead of shares
of its key, so that no other round falls with it.

What is hidden. Whoever holds what the coordinator receives, an honest coordinator or who steals its disk, sees random
words, and of each round one sum, of more than two thirds of its roster and at least ``least_sites`` sites; of one site
it learns what that sum tells. Within a round a lying coordinator gets no more: what it tells sites differently makes
noise of the sum, and two lists of sites open none. That rests on AES, X25519, HKDF, P-384 and the sites' random
numbers; on fewer than n/3 of a roster's sites telling the coordinator what they know, of which each counts as known in
the sum; and on registered keys that the sites compared among themselves, for a coordinator whose own keys they took
for their peers' would be all of them. A site's disk holds its run's key until the run ends: who steals that too can
take off its masks of the run; and a disk that is put back as it was forgets what it may not do again.

What is not. The sum itself: that is what noise is for; sums of features and class counts, which have none, differ
between two runs with other sites by one's, and nobody need lie for it. Who takes part, counts of recordings and
settings: public. And
a coordinator that lies over two rounds, or runs: it can open both with nearly the same model, once without a site, and
subtract. Nodes refuse the very same model, not one that differs in a digit, and no rule of a node can; only noise
bounds what such a coordinator learns. Nor is a sum checked: one site of bad will spoils a round, or moves the mean as
far as its words reach.

The parts are known ones. How they are put together here was designed for this project, and nobody has reviewed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import FederationError
from common.secure.fixed_point import Words
from common.secure.round_terms import joined

Source = Callable[[int], bytes]  # of so many random bytes; the operating system's anywhere but in tests

KEY = 32  # bytes of a key, public or private, and of a derived one
_ZEROS = bytes(16)


class RunKey:
    """A site's key of one run.

    Args:
        private: its 32 bytes, which stay at the site.
    """

    def __init__(self, private: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private)
        self.private = private
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, public: bytes) -> bytes:
        """The secret that this site and another have; with its own public key one that it alone has.

        Args:
            public: the other's key.

        Raises:
            FederationError: it is none, or one with which every secret would be the same.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise FederationError(
                "a key of the roster is no usable X25519 key, expected 32 bytes of a point of full order; "
                "have that site make its key of the run anew"
            ) from None


def new_key(source: Source = os.urandom) -> RunKey:
    """A new key."""
    return RunKey(source(KEY))


def derive(secret: bytes, *told: bytes) -> bytes:
    """A key of 32 bytes for one purpose.

    Args:
        secret: what is known to few.
        told: what it is for, and all that it is bound to.
    """
    return HKDF(hashes.SHA256(), KEY, None, joined(*told)).derive(secret)


def pair_seed(secret: bytes, context: bytes, one: str, other: str) -> bytes:
    """The seed of the mask between two sites in a round; the same for both.

    Args:
        secret: that they agreed on.
        context: of the round's terms.
        one: a site's name.
        other: the other's.
    """
    return derive(secret, b"fedser pair mask", context, *sorted((one.encode(), other.encode())))


def self_seed(drawn: bytes) -> bytes:
    """The seed of a site's own mask, of the bytes that it drew for the round and hands out in shares."""
    return derive(drawn, b"fedser self mask")


def mask_of(seed: bytes, count: int) -> Words:
    """``(count,)`` words that nobody can tell from random ones without the seed; a seed makes one mask only."""
    stream = Cipher(algorithms.AES(seed), modes.CTR(_ZEROS)).encryptor().update(bytes(4 * count))
    return np.frombuffer(stream, dtype="<u4").astype(np.uint32, copy=False)


def mask(words: Words, site: str, own: bytes, pairs: Mapping[str, bytes]) -> Words:
    """A site's words behind all of its masks.

    Args:
        words: ``(entries,)``; they stay as they are.
        site: its name.
        own: the seed of its own mask.
        pairs: the seed with each of its peers.
    """
    masked = words + mask_of(own, len(words))
    add_pair_masks(masked, site, pairs.items())
    return masked


def add_pair_masks(words: Words, site: str, pairs: Iterable[tuple[str, bytes]]) -> None:
    """Add to words, in place, what a site adds for each of some peers.

    The one whose name comes first adds what the other takes off. So to take off a sum what is left of a site's masks
    with those that dropped out is to add what these would have added.
    """
    for peer, seed in pairs:
        if site < peer:
            words += mask_of(seed, len(words))
        else:
            words -= mask_of(seed, len(words))

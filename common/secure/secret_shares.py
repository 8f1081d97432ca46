"""What a site drew for its own mask, in shares of which any t of n give it back and fewer tell nothing of it.

Shamir's scheme (1979) over GF(2^128), as pycryptodome has it. It keeps secrets of 16 bytes, drawn evenly, in any
number of shares; coefficients are the operating system's random bytes. It does not notice a share that is wrong: then
another secret comes out, which shows against ``commitment``. t is floor(2n/3) + 1: two sets of t share more than n/3
sites, each of which chooses once a round, so that with fewer than n/3 sites of bad will no round is opened twice.
n//2 + 1 would not do: of five sites one such could help to open two sums.

Shares go by way of the coordinator, sealed for the site that they are for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import FederationError
from common.secure.pair_masks import Source, derive

SECRET = 16  # bytes of a secret and of each share
_NONCE = 12


def threshold(sites: int) -> int:
    """How many of a roster's sites it takes to open its sum."""
    return 2 * sites // 3 + 1


def split(secret: bytes, sites: int) -> list[bytes]:
    """A share for each site, in the order of the roster.

    Args:
        secret: 16 bytes.
        sites: how many; at least 3, for which the threshold is all of them.
    """
    return [share for _, share in Shamir.split(threshold(sites), sites, secret, ssss=False)]


def combine(shares: Mapping[int, bytes], sites: int) -> bytes:
    """The secret, of at least ``threshold`` shares; of those that are too many the last are not looked at.

    Args:
        shares: by the place of their site in the roster, from 0.
        sites: of the roster.

    Raises:
        FederationError: they are too few.
    """
    least = threshold(sites)
    if len(shares) < least:
        raise FederationError(
            f"there are {len(shares)} shares of a mask, expected {least} of {sites}; wait for more sites"
        )
    chosen = [(place + 1, shares[place]) for place in sorted(shares)[:least]]  # index 0 would be the secret itself
    combined: bytes = Shamir.combine(chosen, ssss=False)
    return combined


def commitment(secret: bytes) -> str:
    """By which a secret that was put together is known to be the one that was split; it tells nothing of it."""
    return hashlib.sha256(b"fedser self mask's commitment" + secret).hexdigest()


def seal(share: bytes, secret: bytes, context: bytes, site: str, peer: str, source: Source = os.urandom) -> bytes:
    """A share for one site's eyes (AES-256-GCM), bound to the round and to both names.

    Args:
        share: 16 bytes.
        secret: that the two agreed on.
        context: of the round's terms.
        site: whose secret it is a share of.
        peer: whom it is for.
        source: of the nonce.
    """
    nonce = source(_NONCE)
    return nonce + AESGCM(_key(secret, context, site, peer)).encrypt(nonce, share, None)


def unseal(sealed: bytes, secret: bytes, context: bytes, site: str, peer: str) -> bytes:
    """The share; arguments as for ``seal``.

    Raises:
        FederationError: it is not what that site sealed for this one in this round.
    """
    try:
        share = AESGCM(_key(secret, context, site, peer)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except (InvalidTag, ValueError):
        share = b""
    if len(share) != SECRET:
        raise FederationError(
            f"the share of {site}'s mask is not what {site} sealed for {peer} in this round; "
            "it was changed on its way, or is another round's"
        )
    return share


def _key(secret: bytes, context: bytes, site: str, peer: str) -> bytes:
    return derive(secret, b"fedser sealed share", context, site.encode(), peer.encode())

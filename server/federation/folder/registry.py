"""Which sites there are and with which keys they may come in: ``sites.json``, the coordinator's wish.

The server carries it out at Flower's SuperLink (``changes``), which knows a site by its public key. Flower takes a key
once: what was unregistered never comes back, so a site that was revoked, or lost its key, makes a new one.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common import edited_text
from common.deployment.site_kit import openssh
from common.errors import FederationError, UsageError
from common.messages.fields import RECORDINGS
from common.secure.roster import LEAST
from common.storage import atomic
from common.validate import in_range
from server.federation.folder.coordinator_folder import check_site

P384 = "ecdsa-sha2-nistp384"  # as OpenSSH calls the keys that ``fedser site keygen`` makes


@dataclass(frozen=True, kw_only=True)
class RegisteredSite:
    """What the coordinator knows of a site.

    Attributes:
        public_key: in OpenSSH's format without a comment; None until the site has sent it.
        revoked: the key doesn't get in any more.
        former: keys that it had before, which no site can have again.
        recordings: that it is agreed to hold, in training, validation and test together; None where nothing is.
        speakers: likewise.
    """

    public_key: str | None = None
    revoked: bool = False
    former: tuple[str, ...] = ()
    recordings: int | None = None
    speakers: int | None = None

    def __post_init__(self) -> None:
        if (self.recordings is None) != (self.speakers is None):
            raise UsageError("--recordings and --speakers go together: both are agreed with a site, or neither")
        if self.recordings is not None and self.speakers is not None:
            in_range("--recordings", self.recordings, 1, RECORDINGS)
            in_range("--speakers", self.speakers, 1, self.recordings)

    @property
    def admitted(self) -> bool:
        """Whether it may come in."""
        return self.public_key is not None and not self.revoked


@dataclass(frozen=True, kw_only=True)
class LinkedNode:
    """A node that the SuperLink lets in, as its control API reports it.

    Attributes:
        key: its public key, as in the registry.
        online: it has sent a sign of life that is not overdue.
        seen: when it last did, or was last known to.
    """

    key: str
    online: bool
    seen: datetime | None


Registry = Mapping[str, RegisteredSite]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a SuperLink must be told, so that it knows the registry's keys and no others.

    Attributes:
        register: public keys by the names of their sites.
        unregister: ids of nodes.
    """

    register: Mapping[str, str]
    unregister: tuple[int, ...]


def read(path: Path) -> dict[str, RegisteredSite]:
    """Read ``sites.json``.

    Raises:
        FederationError: it cannot be read, or is not such a file.
    """
    try:
        table: Any = json.loads(edited_text.read(path))
        return {name: _site(name, entry) for name, entry in table.items()}
    except OSError as error:
        raise FederationError(f"{path} cannot be read: {error.strerror}; fedser federation init makes it") from None
    except (ValueError, AttributeError, KeyError, TypeError, UsageError) as error:
        raise FederationError(f"{path} is not a list of sites ({error}); put the file back as it was") from None


def write(path: Path, registry: Registry) -> None:
    """Write ``sites.json``, over the older one: a container has this very file mounted, and would keep seeing it.

    Raises:
        FederationError: for want of space or rights.
    """
    text = json.dumps({name: dataclasses.asdict(site) for name, site in sorted(registry.items())}, indent=2) + "\n"
    if not path.exists():
        atomic.write(path, text, durable=True)
        return
    try:
        with path.open("r+b") as file:
            file.write(text.encode())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FederationError(f"{path} cannot be written: {error.strerror}") from None


def with_key(registry: Registry, name: str, key: str) -> dict[str, RegisteredSite]:
    """The registry after a site sent its key; the site may be new, or replace the key that it had.

    What is agreed of how much it holds stays.

    Raises:
        UsageError: the key is another site's, or one that was revoked or replaced.
    """
    check_site(name)
    for other, site in registry.items():
        if key in site.former or (site.revoked and key == site.public_key):
            raise UsageError(
                f"this key was {other}'s and was revoked or replaced; let the site make a new one: fedser site keygen"
            )
        if other != name and key == site.public_key:
            raise UsageError(f"this key is {other}'s already; each site makes a key of its own")
    before = registry.get(name, RegisteredSite())
    former = before.former
    if before.public_key and before.public_key != key:
        former += (before.public_key,)
    return {**registry, name: dataclasses.replace(before, public_key=key, revoked=False, former=former)}


def with_agreement(
    registry: Registry, name: str, recordings: int | None, speakers: int | None
) -> dict[str, RegisteredSite]:
    """The registry after it was agreed how much a site holds; what was agreed before no longer counts.

    Raises:
        UsageError: one of the two is missing, or too large; or there are more speakers than recordings.
    """
    return {**registry, name: dataclasses.replace(registry[name], recordings=recordings, speakers=speakers)}


def without(registry: Registry, name: str) -> dict[str, RegisteredSite]:
    """The registry after a site's key was revoked.

    Raises:
        UsageError: there is no such site.
    """
    if name not in registry:
        raise UsageError(f"no site is called {name!r}; there are {', '.join(sorted(registry)) or 'none yet'}")
    return {**registry, name: dataclasses.replace(registry[name], revoked=True)}


def admitted_keys(registry: Registry) -> dict[str, str]:
    """The public keys of the sites that may come in, by name in order: of those that can add up in secure sums.

    Raises:
        FederationError: they are fewer than a secure sum is of.
    """
    keys = {name: str(site.public_key) for name, site in sorted(registry.items()) if site.admitted}
    if len(keys) < LEAST:
        raise FederationError(
            f"{len(keys)} sites have a key that is let in, a secure sum is of {LEAST} or more; let more in with: "
            "fedser federation add-site"
        )
    if others := [name for name, key in keys.items() if not key.startswith(f"{P384} ")]:
        raise FederationError(
            f"the keys of {', '.join(others)} are not on the curve P-384, by which sites sign in secure sums; let them "
            "make new ones: fedser site keygen"
        )
    return keys


def changes(registry: Registry, nodes: Mapping[int, LinkedNode]) -> Changes:
    """What makes a SuperLink know the registry's keys and no others.

    Args:
        registry: the wish.
        nodes: those that the SuperLink lets in, by id.
    """
    wanted = {name: str(site.public_key) for name, site in registry.items() if site.admitted}
    let_in = {node.key for node in nodes.values()}
    return Changes(
        register={name: key for name, key in wanted.items() if key not in let_in},
        unregister=tuple(number for number, node in nodes.items() if node.key not in wanted.values()),
    )


def read_public_key(path: Path) -> str:
    """Read a site's public key, an ECDSA key on a NIST curve in OpenSSH's format, as Flower asks for.

    Returns:
        Its type and its base64 text, without the comment.

    Raises:
        UsageError: it is something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--public-key {path}: {error.strerror}") from None
    if b"PRIVATE KEY" in content:
        raise UsageError(f"{path} is a private key, which stays at its site; the public one is called {path.name}.pub")
    try:
        key = serialization.load_ssh_public_key(edited_text.decoded(content).strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} is not a public key in OpenSSH's format; fedser site keygen makes one") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UsageError(f"{path} is not an ECDSA key, which Flower asks for; fedser site keygen makes one")
    return openssh(key)


def fingerprint(key: str) -> str:
    """A public key's fingerprint as ``ssh-keygen -l`` shows it, for people to compare."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def names(text: Iterable[str]) -> list[str]:
    """Sites' names as given in a command.

    Raises:
        UsageError: one is not a site's name, or comes twice.
    """
    found: list[str] = []
    for name in text:
        check_site(name)
        if name in found:
            raise UsageError(f"the site {name} is named twice; each site needs a name of its own")
        found.append(name)
    return found


def _site(name: str, entry: Mapping[str, Any]) -> RegisteredSite:
    key, revoked, former = entry["public_key"], entry["revoked"], entry.get("former", [])
    if key is not None and not isinstance(key, str):
        raise TypeError(f"{name} has the public key {str(key)[:50]}, expected a text, or null before it sent one")
    if not isinstance(revoked, bool):
        raise TypeError(f"{name} has revoked = {str(revoked)[:50]}, expected true or false")
    if not isinstance(former, list) or not all(isinstance(old, str) for old in former):
        raise TypeError(f"{name} has former keys that are no list of texts")
    agreed = {held: entry.get(held) for held in ("recordings", "speakers")}
    for held, count in agreed.items():
        if count is not None and type(count) is not int:
            raise TypeError(f"{name} has {held} = {str(count)[:50]}, expected a whole number, or null for no agreement")
    return RegisteredSite(public_key=key, revoked=revoked, former=tuple(former), **agreed)

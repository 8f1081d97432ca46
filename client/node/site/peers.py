"""The keys with which a site adds up in secure sums, as its people look at them: before they pin them, and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.node.policy.document import Policy
from client.node.site import kit as kits
from client.node.site.kit import Kit
from common import edited_text
from common.deployment.site_kit import PUBLIC_KEY
from common.errors import UsageError
from common.secure import pinned_keys


@dataclass(frozen=True, kw_only=True)
class PeersSeen:
    """A file of keys.

    Attributes:
        file: where it lies.
        pinned: whether the kit's policy names just this file; None where no kit was looked at.
        digest: to be read out, all of it.
        sites: the keys, by name.
        fault: why this site can't add up with them; None where nothing speaks against it.
    """

    file: str
    pinned: bool | None
    digest: str
    sites: Mapping[str, str]
    fault: str | None


def look_at(file: Path | None, folder: Path | None) -> PeersSeen:
    """Read a file of keys, and hold it against the site's own key.

    Args:
        file: it; None for the one that the kit's policy names.
        folder: the kit's; None for none.

    Raises:
        UsageError: neither is given, the policy names no file, or something is none of its kind.
    """
    if file is None and folder is None:
        raise UsageError("give a file such as roster.toml, or --kit KIT for the one that its policy names")
    kit = kits.read(folder) if folder else None
    named = Policy.read(kit.policy).aggregation.peers if kit else ""
    if not (file or named):
        raise UsageError(
            f"{kit and kit.policy} names no peers (aggregation.peers); give the file that you mean to name"
        )
    path = file or Path(named)
    keys = pinned_keys.read(path)
    return PeersSeen(
        file=str(path),
        pinned=bool(named) and path.resolve() == Path(named).resolve() if kit else None,
        digest=pinned_keys.spoken(keys),
        sites=keys,
        fault=_fault(kit, keys) if kit else None,
    )


def render(seen: PeersSeen) -> Iterator[str]:
    """What is seen, a line each."""
    yield f"{seen.file}: {len(seen.sites)} sites, {', '.join(sorted(seen.sites))}"
    yield seen.digest
    yield "each site reads this to the others by telephone; all of it is the same, or one of you was sent other keys"
    if seen.pinned is not None:
        yield "the policy names this file" if seen.pinned else "the policy does not name this file (aggregation.peers)"
    if seen.fault:
        yield f"NOT TO BE USED: {seen.fault}"


def _fault(kit: Kit, keys: Mapping[str, str]) -> str | None:
    """Whether the file has this site with the key that lies in its kit."""
    path = kit.folder / PUBLIC_KEY
    own = " ".join(edited_text.read(path).split()[:2]) if path.exists() else ""
    if kit.name not in keys:
        return f"it does not name this site, {kit.name}"
    return f"it has another key of {kit.name} than {path}" if own and keys[kit.name] != own else None

"""Whether the code that is installed here is what the policy allows: the bundle of its files, built anew and compared.

A policy holds a bundle's hash alone, of which no file can be told. Which files differ is known by the list that the kit
came with; where there is none, only that some do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from client.node.policy.document import Policy
from common.deployment.site_kit import LISTING
from common.errors import FederationError, UsageError
from common.flower import bundle
from common.flower.bundle import SourceFile

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<path>\S.*)")


@dataclass(frozen=True, kw_only=True)
class CodeCheck:
    """The bundle of some source, and how it stands to a policy.

    Attributes:
        source: the project's folder.
        bundle: the SHA-256 of the bundle that its files make.
        allowed: whether the policy allows just that.
        hashes: those that it allows.
        files: of which the bundle is made.
        changed: those that are others in the kit's list.
        missing: that are in the kit's list, and not in the bundle.
        added: that are in the bundle, and not in the kit's list.
        why: what is known of the difference, in a line; empty where there is none.
    """

    source: str
    bundle: str
    allowed: bool
    hashes: tuple[str, ...]
    files: tuple[SourceFile, ...]
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    why: str = ""


def check_code(policy: Path, source: Path = bundle.ROOT) -> CodeCheck:
    """Build the bundle of some source, and hold it against a policy, and against the list beside that where it differs.

    Args:
        policy: a ``policy.toml``.
        source: the project's folder.

    Raises:
        UsageError: the policy, or the list, is broken.
        FederationError: the source lacks files of the bundle.
    """
    hashes = Policy.read(policy).bundle.hashes
    files, digest = tuple(bundle.sources(source)), bundle.digest(bundle.build(source))
    if digest in hashes:
        return CodeCheck(source=str(source), bundle=digest, allowed=True, hashes=hashes, files=files)
    found, listing = {file.path: file.sha256 for file in files}, policy.with_name(LISTING)
    listed = read_listing(listing) if listing.is_file() else None
    known = found if listed is None else listed
    changed = tuple(path for path in found if path in known and known[path] != found[path])
    missing, added = tuple(sorted(known.keys() - found.keys())), tuple(sorted(found.keys() - known.keys()))
    return CodeCheck(
        source=str(source),
        bundle=digest,
        allowed=False,
        hashes=hashes,
        files=files,
        changed=changed,
        missing=missing,
        added=added,
        why=_why(hashes, listing if listed is not None else None, len(changed) + len(missing) + len(added)),
    )


def installed_code(policy: Policy) -> tuple[str | None, bool]:
    """The bundle of the code that is installed here, None where files of it are not, and whether that is allowed."""
    try:
        digest = bundle.digest(bundle.build())
    except FederationError:
        return None, False
    return digest, digest in policy.bundle.hashes


def read_listing(path: Path) -> dict[str, str]:
    """The SHA-256 by path, of a list as ``sha256sum`` writes it.

    Raises:
        UsageError: a line is none of such a list, which is named.
    """
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not (match := _LINE.fullmatch(line)):
            raise UsageError(f"{path}: line {number} is none that sha256sum writes; take the kit's own {LISTING}")
        found[match["path"]] = match["sha256"]
    return found


def render(check: CodeCheck) -> Iterator[str]:
    """The files with their lines, what is wrong with them, and the verdict, a line each."""
    width = len(f"{max(file.lines for file in check.files):,}")
    for file in check.files:
        said = "  CHANGED" if file.path in check.changed else "  ADDED" if file.path in check.added else ""
        yield f"{file.lines:>{width},}  {file.path}{said}"
    yield from (f"{'-':>{width}}  {path}  MISSING" for path in check.missing)
    lines = sum(file.lines for file in check.files)
    yield f"{len(check.files)} files, {lines:,} lines, in {check.source}"
    yield f"their bundle is {check.bundle}"
    if check.allowed:
        yield "the policy allows it"
        return
    yield from (f"the policy allows {digest}" for digest in check.hashes)
    yield f"THE POLICY DOES NOT ALLOW IT: {check.why}"


def _why(hashes: tuple[str, ...], listing: Path | None, differing: int) -> str:
    if not hashes:
        return "the policy allows no bundle (bundle.hashes)"
    if listing is None:
        return f"which files differ cannot be known without the kit's {LISTING} beside the policy"
    if differing:
        return f"{differing} files are not those of {listing.name}"
    return (
        f"every file is that of {listing.name}: the policy was changed since, or the bundle was built by another "
        f"Flower than {version('flwr')}, which is here"
    )

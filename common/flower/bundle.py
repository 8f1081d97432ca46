"""The app that is sent to every site: Flower's bundle of this installation, byte for byte what ``flwr build`` makes.

``bundle.toml`` beside this file is its project file and lists its files: what the two apps reach, and nothing else.
They are stored in the order of their names and with a fixed date, so that the same code is the same bytes on every
machine; a site's policy names them by their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from common.errors import FederationError

ROOT = Path(__file__).parents[2]
PROJECT = Path("server/federation/folder/bundle.toml")


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of which the bundle is made.

    Attributes:
        path: below the project's folder; of the bundle's project file the one that it has there.
        sha256: of its bytes.
        lines: how many it has, to be read.
    """

    path: str
    sha256: str
    lines: int


def build(root: Path = ROOT) -> bytes:
    """Build the bundle from an installation's files.

    Args:
        root: the project's folder.

    Raises:
        FederationError: it is no such folder, or Flower refuses it.
    """
    from flwr.cli.build import build_fab_from_files  # a second, and few commands need it

    try:
        return build_fab_from_files({"pyproject.toml": root / PROJECT, **{name: root / name for name in files(root)}})[
            0
        ]
    except (OSError, KeyError, ValueError) as error:
        raise _incomplete(root, error) from None


def _incomplete(root: Path, error: Exception) -> FederationError:
    return FederationError(f"{root} is not an installation of fedser that can be sent to sites: {error}")


def files(root: Path = ROOT) -> list[str]:
    """The code in the bundle, by paths relative to the project's folder."""
    project = tomllib.loads((root / PROJECT).read_text(encoding="utf-8"))
    listed: list[str] = project["tool"]["flwr"]["app"]["fab-include"]
    return listed


def sources(root: Path = ROOT) -> list[SourceFile]:
    """All files of which the bundle is made, in the order of their paths.

    Raises:
        FederationError: as ``build``.
    """
    try:
        return [_source(root, name) for name in sorted([*files(root), PROJECT.as_posix()])]
    except (OSError, KeyError, ValueError) as error:
        raise _incomplete(root, error) from None


def _source(root: Path, name: str) -> SourceFile:
    content = (root / name).read_bytes()
    return SourceFile(path=name, sha256=hashlib.sha256(content).hexdigest(), lines=len(content.splitlines()))


def listed(sources: Iterable[SourceFile]) -> str:
    """The files as ``sha256sum --check`` reads them, started in the project's folder."""
    return "".join(f"{source.sha256}  {source.path}\n" for source in sources)


def unpack(to: Path) -> Path:
    """Write the bundle's files into a folder, from which ``flwr run`` can start the app.

    Returns:
        The folder.
    """
    with zipfile.ZipFile(io.BytesIO(build())) as archive:
        archive.extractall(to)
    return to


def digest(bundle: bytes) -> str:
    """A bundle's SHA-256, in hexadecimal, as policies name it."""
    return hashlib.sha256(bundle).hexdigest()

"""The app that is sent to every site: Flower's bundle of this installation, byte for byte what ``flwr build`` makes.

Its files are stored in the order of their names, uncompressed and with a fixed date, so that the same code is the same
bytes on every machine; a site's policy names them by their SHA-256.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from common.errors import FederationError

ROOT = Path(__file__).parents[3]


def build(root: Path = ROOT) -> bytes:
    """Build the bundle from an installation's files.

    Args:
        root: the project's folder.

    Raises:
        FederationError: it is no such folder, or Flower refuses it.
    """
    from flwr.cli.build import build_fab_from_files  # seconds, and only who submits or sends kits needs it

    project = root / "pyproject.toml"
    try:
        include = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["fab-include"]
        # Flower would look at every file below the root, those of the virtual environment too.
        paths = {path for pattern in include for path in root.glob(pattern) if path.is_file() and not path.is_symlink()}
        paths |= {project, *(path for path in [root / ".gitignore"] if path.is_file())}
        return build_fab_from_files({path.relative_to(root).as_posix(): path for path in paths})[0]
    except (OSError, KeyError, ValueError) as error:
        raise FederationError(f"{root} is not an installation of fedser that can be sent to sites: {error}") from None


def digest(bundle: bytes) -> str:
    """A bundle's SHA-256, in hexadecimal, as policies name it."""
    return hashlib.sha256(bundle).hexdigest()

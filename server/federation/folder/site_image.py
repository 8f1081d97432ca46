"""The ID of the sites' image and of what it is made of, by which a site knows that it loaded what was built."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = "SHA256SUMS"
WHEELHOUSE = Path(__file__).parents[3] / "docker" / "wheelhouse"
SECONDS = 10.0  # that the engine may take
UNKNOWN = "not on this machine; compare its ID with the sites by telephone once docker/build.sh has built it"


def wheels() -> str:
    """The SHA-256 of the list of wheels that the images are made of, which ``docker/wheelhouse.sh`` writes.

    It lies in the images, where this may run, or in the project; empty where the packages came from an index.
    """
    for place in (Path(sys.prefix), WHEELHOUSE):
        with contextlib.suppress(OSError):
            return hashlib.sha256((place / LIST).read_bytes()).hexdigest()
    return ""


def identity() -> str:
    """The image's ID, as this machine's Docker says it; empty where there is no Docker, or no such image."""
    if (docker := shutil.which("docker")) is None:
        return ""
    name = os.environ.get("FEDSER_SITE_IMAGE", f"fedser-site:{importlib.metadata.version('fedser')}")
    try:
        said = subprocess.run(
            [docker, "image", "inspect", "--format", "{{.Id}}", name],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()

"""The ID of the sites' image, by which a site knows that it loaded the one that the coordinator built."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess

SECONDS = 10.0  # that the engine may take
UNKNOWN = "not on this machine; compare its ID with the sites by telephone once docker/build.sh has built it"


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

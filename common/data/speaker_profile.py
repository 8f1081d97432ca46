"""What a model has heard of one speaker, kept for the next time: a JSON file that only its owner may read.

It holds sums over rows of features and no sound; they still tell a voice from others, and so are personal data. They
are exact: JSON has the shortest digits that give the same float64 again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.config.settings import FeatureConfig
from common.data.normalise import Scaling, Sums
from common.errors import UsageError
from common.storage import atomic
from common.storage.fingerprint import fingerprint

FORMAT = 1
_LARGEST = 1 << 24  # bytes: thousands of times a profile's
_COUNTS = ("frames", "recordings", "matrices")


def nothing_heard(features: int) -> Sums:
    """Of a speaker of whom so far nothing was heard."""
    none = torch.zeros(features, dtype=torch.float64)
    return Sums(frames=0, total=none, square=none)


def heard_too(before: Sums, further: Sums) -> Sums:
    """Both together."""
    return Sums(
        frames=before.frames + further.frames,
        total=before.total + further.total,
        square=before.square + further.square,
        recordings=before.recordings + further.recordings,
        matrices=before.matrices + further.matrices,
    )


def fitting(features: FeatureConfig, prior: Scaling) -> str:
    """The models that a profile is of: those with the same features and the same prior. 64 hexadecimal digits."""
    settings = json.dumps(asdict(features), sort_keys=True)
    return hashlib.sha256(f"{settings}\0{fingerprint(prior.arrays())}".encode()).hexdigest()


def keep_profile(path: Path, heard: Sums, model: str) -> None:
    """Write a profile, in place of what was there, with mode 600.

    Args:
        path: of the file; its folder is made where it does not exist.
        heard: of the speaker.
        model: as of ``fitting``.

    Raises:
        FedserError: for want of space or rights.
    """
    counts = {name: getattr(heard, name) for name in _COUNTS}
    sums = {"total": heard.total.tolist(), "square": heard.square.tolist()}
    content = {"format": FORMAT, "about": "one speaker's sums: personal data", "model": model, **counts, **sums}
    atomic.write(path, json.dumps(content, indent=1) + "\n", private=True)


def read_profile(path: Path, model: str, nothing: Sums, say: Callable[[str], None]) -> Sums:
    """What was heard of a speaker so far.

    Args:
        path: of the file.
        model: as of ``fitting``.
        nothing: what was heard where there is no such file; as wide as the model's features.
        say: called with one line where others may read the file.

    Raises:
        UsageError: it cannot be read, is broken, or of another model or version.
    """
    try:
        with path.open("rb") as file:
            content, mode = file.read(_LARGEST), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        profile = json.loads(content)
        if profile["format"] != FORMAT:
            raise UsageError(f"--profile {path}: made by another version of fedser; delete it to begin anew")
        if profile["model"] != model:
            raise UsageError(f"--profile {path}: it is of another model; give each model a file of its own")
        heard = _sums(profile, len(nothing.total))
    except FileNotFoundError:
        return nothing
    except OSError as error:
        raise UsageError(f"--profile {path} cannot be read: {(error.strerror or 'unknown').lower()}") from None
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError):
        found = "not a profile that fedser wrote, or broken"
        raise UsageError(f"--profile {path}: {found}; put a copy back, or delete it to begin anew") from None
    if mode & 0o077:
        say(f"others may open this profile (mode {mode:o}), and it is personal data; it is written again with mode 600")
    return heard


def _sums(profile: Mapping[str, Any], features: int) -> Sums:
    """Raises: KeyError, TypeError or ValueError where they cannot be sums."""
    frames, recordings, matrices = (profile[name] for name in _COUNTS)
    if any(type(count) is not int or not 0 <= count < 1 << 53 for count in (frames, recordings, matrices)):
        raise ValueError("no counts")
    total, square = _row(profile["total"], features), _row(profile["square"], features)
    if (square < 0).any():
        raise ValueError("no squares")
    return Sums(frames=frames, total=total, square=square, recordings=recordings, matrices=matrices)


def _row(values: list[float], features: int) -> Tensor:
    if len(values) != features or not all(type(value) is float and math.isfinite(value) for value in values):
        raise ValueError("no sums")
    return torch.tensor(values, dtype=torch.float64)

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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.config.settings import FeatureConfig
from common.data.normalise import Scaling, Sums
from common.errors import UsageError
from common.messages.schema import LARGEST, ROUNDING
from common.storage import atomic
from common.storage.fingerprint import fingerprint

FORMAT = 1
_MOST_BYTES = 1 << 24  # bytes: thousands of times a profile's


def fitting(features: FeatureConfig, prior: Scaling) -> str:
    """The models that a profile is of: those with the same features and the same prior. 64 hexadecimal digits."""
    anywhere = replace(features, encoder=replace(features.encoder, path=""))
    settings = json.dumps(asdict(anywhere), sort_keys=True)
    return hashlib.sha256(f"{settings}\0{fingerprint(prior.arrays())}".encode()).hexdigest()


def keep_profile(path: Path, heard: Sums, model: str) -> None:
    """Write a profile, in place of what was there, with mode 600.

    Args:
        path: of the file, or of a link to it, which stays; its folder is made where it does not exist.
        heard: of the speaker; of the counts the frames alone are kept, for nothing else needs them.
        model: as of ``fitting``.

    Raises:
        UsageError: no profile can hold the sums.
        FedserError: for want of space or rights.
    """
    if not _of_features(heard):
        raise UsageError(f"--profile {path}: features larger than {LARGEST:g} were heard; scale these matrices first")
    sums = {"frames": heard.frames, "total": heard.total.tolist(), "square": heard.square.tolist()}
    content = {"format": FORMAT, "about": "one speaker's sums: personal data", "model": model, **sums}
    atomic.write(Path(os.path.realpath(path)), json.dumps(content, indent=1) + "\n", private=True)


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
            content, mode = file.read(_MOST_BYTES), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
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
    frames = profile["frames"]
    if type(frames) is not int or not 0 <= frames < 1 << 53:
        raise ValueError("no count")
    sums = Sums(frames=frames, total=_row(profile["total"], features), square=_row(profile["square"], features))
    if not _of_features(sums):
        raise ValueError("no features' sums")
    return sums


def _of_features(sums: Sums) -> bool:
    """Whether features can have such sums, by the bounds that a site's sums are held to; of no frames, zeros alone."""
    large = sums.square > sums.frames * LARGEST**2
    fits = sums.square * sums.frames * (1 + ROUNDING) >= sums.total.square()
    return bool((fits & ~large).all())


def _row(values: list[float], features: int) -> Tensor:
    if len(values) != features or not all(type(value) is float and math.isfinite(value) for value in values):
        raise ValueError("no sums")
    return torch.tensor(values, dtype=torch.float64)

"""Random numbers that depend on names alone, so that any round of any site can be replayed by itself.

Nothing here is secret: a privacy mechanism's noise and its sample come from the operating system instead.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed_of(*names: object) -> int:
    """A 63-bit seed for a purpose, e.g. ``seed_of(config.seed, round, site, "batches")``."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(*names: object) -> torch.Generator:
    """A torch generator for a purpose."""
    return torch.Generator().manual_seed(seed_of(*names))


def numpy_generator(*names: object) -> np.random.Generator:
    """A numpy generator for a purpose."""
    return np.random.default_rng(seed_of(*names))

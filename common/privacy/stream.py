"""The secret randomness of a privacy mechanism: a cryptographic stream, keyed by the operating system.

torch's and numpy's generators are not cryptographic: who sees enough of their output knows the rest, and could subtract
the noise. Here both the noise and which recordings are drawn come from AES-256 in counter mode.

What is left: a Gaussian number in floating point is not an exact Gaussian (Mironov 2012), and which float came out can
tell something of the sum it was added to. Each number here is a sum of four (Holohan & Braghin 2021), which makes that
attack impractical but is no proof; the report says so.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import numpy.typing as npt
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_SUMMED = 4


class SecretStream:
    """An endless stream of random numbers that nobody can predict or replay.

    Args:
        insecure: a seed, for tests and debugging alone: whoever knows it can subtract the noise, and no guarantee of
            privacy holds. None takes the key from the operating system.
    """

    def __init__(self, insecure: int | None = None) -> None:
        key = os.urandom(32) if insecure is None else hashlib.sha256(f"insecure {insecure}".encode()).digest()
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """``(count,)`` random 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype=np.uint64)

    def sample(self, units: int, rate: float) -> torch.Tensor:
        """A Poisson sample: the indices of those of ``units`` that are drawn, each by itself with probability ``rate``.

        Empty where none is drawn. The probability is exact to 2^-53.
        """
        drawn = self._uniform(units) < rate
        return torch.from_numpy(np.flatnonzero(drawn))

    def normal(self, count: int) -> torch.Tensor:
        """``(count,)`` float64 numbers of a standard normal distribution (Box & Muller 1958, in sums of four)."""
        half = (count + 1) // 2
        uniform = torch.from_numpy(self._uniform(2 * _SUMMED * half)).view(2, _SUMMED, half)
        radius = (-2.0 * torch.log1p(-uniform[0])).sqrt_()
        angle = uniform[1].mul_(2.0 * torch.pi)
        pair = torch.cat([(radius * angle.cos()).sum(0), (radius * angle.sin()).sum(0)])
        numbers: torch.Tensor = pair[:count] / _SUMMED**0.5
        return numbers

    def seed(self) -> int:
        """A seed for what is random but no part of the mechanism: masks, copies, dropout."""
        return int(self.words(1)[0] >> 1)

    def _uniform(self, count: int) -> npt.NDArray[np.float64]:
        """Numbers in [0, 1), multiples of 2^-53."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

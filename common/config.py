"""Every setting of a run, with its default: frozen, keyword-only dataclasses.

``Config`` is what ``simulate --config FILE.toml`` reads (a table a section), what ``result.json`` and a model carry,
and, flattened to ``section.key``, what Flower's run config carries to every node.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import UsageError
from common.validate import in_range

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What is computed from a signal, each descriptor switchable; see ``common.features`` for the columns' order.

    Attributes:
        sampling_rate: Hz; recordings at other rates are resampled.
        windows: the analysis windows in ms; with more than one, each descriptor comes once a window.
        hop: the step between frames in ms.
        mfcc: cepstral coefficients, 0 for none.
        log_mel: log-mel bands as features, 0 for none.
        deltas: 0 for none, 1 for Δ, 2 for Δ and ΔΔ, of MFCC, log-mel and log-energy.
        energy: log-energy.
        zero_crossing: zero-crossing rate.
        pitch: F0 (log Hz above the reference, 0 where unvoiced) and voicing.
        spectral: centroid, roll-off and flux.
        stack: how many frames are joined into one; the frame rate falls by the same factor.
    """

    sampling_rate: int = 16000
    windows: tuple[int, ...] = (25,)
    hop: int = 10
    mfcc: int = 40
    log_mel: int = 0
    deltas: int = 2
    energy: bool = True
    zero_crossing: bool = True
    pitch: bool = True
    spectral: bool = True
    stack: int = 1

    def __post_init__(self) -> None:
        in_range("features.sampling_rate", self.sampling_rate, 4000, 96000)
        if not self.windows:
            raise UsageError("features.windows is empty, expected at least one window in ms, e.g. 25")
        for window in self.windows:
            in_range("features.windows", window, 5, 200)
        in_range("features.hop", self.hop, 1, 100)
        in_range("features.mfcc", self.mfcc, 0, 128)
        in_range("features.log_mel", self.log_mel, 0, 256)
        in_range("features.deltas", self.deltas, 0, 2)
        in_range("features.stack", self.stack, 1, 100)
        if not (self.mfcc or self.log_mel or self.energy or self.zero_crossing or self.pitch or self.spectral):
            raise UsageError("features: every descriptor is switched off, expected at least one")

"""What a service keeps of a segment where it is monitored: its scores, and how far its speech lies from training's."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from common.errors import FedserError
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import Stretch
from recogniser.listening.recording_result import Segment
from recogniser.monitoring.segment_log import SegmentLog

_LOG = logging.getLogger(__name__)


class KeptScores:
    """The log of a service's segments.

    Args:
        folder: where it lies.
        model: that listens.

    Raises:
        UsageError: the folder holds another model's scores.
        FedserError: for want of space or rights.
    """

    def __init__(self, folder: Path, model: ExportedModel) -> None:
        self._model = model
        self._log = SegmentLog(
            folder=folder, model=model.said.sha256, classes=model.said.classes, held_out=model.held_out
        )

    def keep(self, stretch: Stretch, segment: Segment) -> str:
        """Keep a segment's scores; returns its id, empty where there is no room: a stream goes on without."""
        try:
            return self._log.add(segment.probabilities, self._drift(stretch))
        except FedserError as error:
            _LOG.error("scores are not kept: %s", error)
            return ""

    def _drift(self, stretch: Stretch) -> float:
        """The mean distance of its speech rows' features from those of training, in deviations."""
        layout, prior = self._model.layout, self._model.prior
        rows = layout.speech(layout.rows(stretch.window.frames))
        return float(np.abs((rows - prior.mean) / prior.deviation).mean())

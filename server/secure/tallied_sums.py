"""Sums over the sites of what is no update, behind masks: of their features, and of how sure a model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord

from common import protocol
from common.data.normalise import Sums
from common.errors import FederationError
from common.learning.confidence import Confidence
from common.secure.tallies import Numbers, layout_of_tally, numbers_told
from server.messages.rejections import Refused
from server.secure.secure_sums import SecureSums


def sums_behind_masks(secure: SecureSums, features: int, refused: Refused) -> Sums:
    """The sums of the training sites' features, for the scaling; each site's weigh what they come to.

    Args:
        secure: the run's sums.
        features: of a frame.
        refused: the sites whose words are not taken are added, with the reason.

    Raises:
        FederationError: the sum can't be opened, or is of no frame.
    """
    told, weight = _told(secure, protocol.STATISTICS, 0, {protocol.CONFIG: ConfigRecord()}, refused, features=features)
    [frames], [matrices] = told[protocol.FRAMES], told[protocol.MATRICES]
    if frames < 1:
        raise FederationError(f"the sums of features are of {frames:g} frames, expected 1 or more")
    total, square = (torch.tensor(told[name], dtype=torch.float64) for name in ("total", "square"))
    return Sums(frames=round(frames), total=total, square=square, recordings=weight, matrices=round(matrices))


def confidence_behind_masks(
    secure: SecureSums, content: Mapping[str, Any], classes: int, refused: Refused
) -> Confidence | None:
    """How sure a model is of the validation speakers; None where there are none, or the sum can't be opened.

    Args:
        secure: the run's sums.
        content: of the request: the model and its scaling.
        classes: that the model tells apart.
        refused: as above.
    """
    number = secure.config.most_rounds + 2
    layout = layout_of_tally(protocol.EVALUATE_CONFIDENCE, features=0, classes=classes)
    opened = secure.try_gather(protocol.EVALUATE_CONFIDENCE, number, content, layout, refused)
    if opened is None:
        return None
    told = numbers_told(opened.mean(layout)[1])
    [examples] = told[protocol.EXAMPLES]
    losses, right, wrong = (np.array(told[key]) for key in (protocol.LOSSES, protocol.RIGHT, protocol.WRONG))
    return Confidence(recordings=round(examples), losses=losses, right=right, wrong=wrong) if examples else None


def classes_behind_masks(secure: SecureSums, classes: int, refused: Refused) -> list[float]:
    """How often each class occurs among all sites' training recordings.

    Args:
        secure: the run's sums.
        classes: of the run.
        refused: as above.

    Raises:
        FederationError: the sum can't be opened.
    """
    number, asked = secure.config.most_rounds + 4, {protocol.CONFIG: ConfigRecord()}
    told, _ = _told(secure, protocol.CLASSES_HELD, number, asked, refused, classes=classes)
    return told[protocol.COUNTS]


def held_out_behind_masks(
    secure: SecureSums, content: Mapping[str, Any], classes: int, refused: Refused
) -> tuple[Numbers, tuple[str, ...]]:
    """The counts of the held-out speakers that sites hold, all together; and whose are in them.

    Args:
        secure: the run's sums.
        content: of the request: the model and its scaling.
        classes: that the model tells apart.
        refused: as above.

    Raises:
        FederationError: the sum can't be opened.
    """
    number, kind = secure.config.most_rounds + 3, protocol.EVALUATE_TEST
    layout = layout_of_tally(kind, features=0, classes=classes)
    opened = secure.try_gather(kind, number, content, layout, refused)
    return ({}, ()) if opened is None else (numbers_told(opened.mean(layout)[1]), opened.sites)


def _told(
    secure: SecureSums,
    kind: str,
    number: int,
    content: Mapping[str, Any],
    refused: Refused,
    *,
    features: int = 0,
    classes: int = 0,
) -> tuple[Numbers, int]:
    """What the sites told together, and the recordings that they train on."""
    layout = layout_of_tally(kind, features=features, classes=classes)
    opened = secure.gather(kind, number, content, layout, refused)
    return numbers_told(opened.mean(layout)[1]), opened.weight

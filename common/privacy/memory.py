"""What the step of a private run may take in memory, by its settings alone.

Whether a step fits into a machine must not depend on who was drawn: a server that chose its settings so that only long
recordings do not fit would read by the failures how long they are. So the bound is of the longest recordings that the
settings let in, ``privacy.max_seconds``, a physical batch of them at once. It is of one step at the device; what all
recordings of a site take beside it is the site's own affair.
"""

from __future__ import annotations

import math

from common.config.settings import Config
from common.features.front_end import dimension, most_rows
from common.models.contours import COSINES, Columns
from common.utterance import EMOTIONS

_FLOAT = 4  # bytes
# How often each is in memory at once, forward and backward, counted in ``per_sample`` and rounded up
_INPUT, _PROJECTED, _GATED, _ATTENDED, _POOLED = 5, 8, 40, 4, 8
_GRADIENTS, _PARAMETERS = 3, 8
_EXTRACTED = 8
_BLOCK_SECONDS = 30  # that an encoder reads at once
_LAYER_WEIGHTS, _ENCODED = 14, 16  # of a transformer's layer, 12 width² and its convolutions; its frames at once


def most_bytes(config: Config) -> int:
    """An upper bound on the memory of a noisy step, and of computing one recording's features.

    Args:
        config: of a run whose sites add the noise.
    """
    features, privacy = config.features, config.privacy
    width, frames = dimension(features), most_rows(features, privacy.max_seconds) or 0
    at_once = max(privacy.max_physical_batch, privacy.multiplicity if privacy.protects.single else 1)
    read = frames * width * _EXTRACTED + int(privacy.max_seconds * features.sampling_rate) * _EXTRACTED
    parameters = _parameters(config, config.features.encoder.components or width)
    rows = at_once if privacy.protects.single else 1
    gradients = parameters * (rows * _GRADIENTS + _PARAMETERS)
    step = gradients + at_once * frames * _of_a_frame(config, config.features.encoder.components or width)
    return _FLOAT * (read + _encoding(config) + step)


def _encoding(config: Config) -> int:
    """Numbers in memory while an encoder reads a block of sound: its weights, its layers' frames, its attention."""
    encoder = config.features.encoder
    if not encoder.on:
        return 0
    frames, heads = math.ceil(1000 * _BLOCK_SECONDS / encoder.frame_ms), math.ceil(encoder.width / 32)
    weights = _LAYER_WEIGHTS * encoder.layers * encoder.width**2
    return weights + frames * encoder.width * (encoder.layers + _ENCODED) + heads * frames**2


def _of_a_frame(config: Config, width: int) -> int:
    """Numbers in memory for each frame of a batch."""
    model = config.model
    if model.architecture.figures_alone:
        return _INPUT * width
    states = 2 * model.hidden
    layers = model.layers * (_GATED * model.hidden + 2 * max(model.projection, states))
    read = _PROJECTED * model.projection + layers + _ATTENDED * model.attention + _POOLED * model.hidden
    return _INPUT * width + read


def _parameters(config: Config, width: int) -> int:
    """Those of a model of these sizes, with as many classes as there may be where the settings name none."""
    model, classes = config.model, len(config.data.classes) or len(EMOTIONS)
    seen = _figures(config, width)
    if model.architecture.figures_alone:
        return classes * (seen + 1) + seen
    states, layers = 2 * model.hidden, 0
    for layer in range(model.layers):
        layers += 8 * model.hidden * ((states if layer else model.projection) + model.hidden + 2)
    pooled = model.attention * (states + 2) + 1
    return model.projection * (width + 3) + layers + pooled + classes * (2 * states + seen + 1)


def _figures(config: Config, width: int) -> int:
    """How many figures of an utterance the classifier sees beside what the model reads."""
    if config.model.statistics != "contours":
        return {"means": 2 * width, "rows": width}.get(config.model.statistics, 0)
    columns = Columns.of(width, config.features)
    own, statics = len(columns.contours), len(columns.statics)
    return own * (own - 1) // 2 + statics + COSINES * own + 1

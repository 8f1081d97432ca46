"""What the step of a private run may take in memory, by its settings alone.

Whether a step fits into a machine must not depend on who was drawn: a server that chose its settings so that only long
recordings do not fit would read by the failures how long they are. So the bound is of the longest recordings that the
settings let in, ``privacy.max_seconds``, a physical batch of them at once. It is of one step at the device; what all
recordings of a site take beside it is the site's own affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from common.config.settings import Config
from common.features.front_end import dimension, most_rows
from common.models.architectures import build_model
from common.models.crnn3d import BANDS, CHANNELS, planes
from common.utterance import EMOTIONS

_FLOAT = 4  # bytes
# How often each is in memory at once, forward and backward, counted in ``per_sample`` and rounded up
_INPUT, _PROJECTED, _GATED, _ATTENDED, _POOLED = 5, 8, 40, 4, 4
_CONVOLVED, _UNFOLDED, _LOOKED, _INNER, _SCORES = 12, 2, 24, 4, 3
_GRADIENTS, _PARAMETERS = 3, 8
_EXTRACTED = 8
_SAMPLES_CONVOLVED = 3 * 20 * 3200 * 512  # of 20 s, 3,200 frames a second of 512 channels, three times at once
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
    seen = features.encoder.components or width
    parameters = _parameters(config, seen)
    rows = at_once if privacy.protects.single else 1
    gradients = parameters * (rows * _GRADIENTS + _PARAMETERS)
    of_a_frame = _INPUT * seen + _READ[config.model.architecture.name](config, seen, frames)
    return _FLOAT * (read + _encoding(config) + gradients + at_once * frames * of_a_frame)


def _encoding(config: Config) -> int:
    """Numbers in memory while an encoder reads a block of sound: its weights, its layers' frames, its attention."""
    encoder = config.features.encoder
    if not encoder.on:
        return 0
    frames, heads = math.ceil(1000 * _BLOCK_SECONDS / encoder.frame_ms), math.ceil(encoder.width / 32)
    # Which family it is the settings do not say: wav2vec 2.0's convolves the samples themselves.
    weights = _SAMPLES_CONVOLVED + _LAYER_WEIGHTS * encoder.layers * encoder.width**2
    return weights + frames * encoder.width * (encoder.layers + _ENCODED) + heads * frames**2


def _parameters(config: Config, width: int) -> int:
    """Those of the run's model, with as many classes as there may be where the settings name none."""
    classes = len(config.data.classes) or len(EMOTIONS)
    with torch.device("meta"):  # sizes alone: nothing is drawn, and nothing taken of memory
        model = build_model(width, classes, config)
    return sum(parameter.numel() for parameter in model.parameters())


def _nothing(_config: Config, _width: int, _frames: int) -> int:
    """Numbers in memory for each frame of a batch, beside those that come in; so the others."""
    return 0


def _bilstm(config: Config, _width: int, _frames: int) -> int:
    model = config.model
    layers = model.layers * (_GATED * model.hidden + 2 * max(model.projection, 2 * model.hidden))
    return _PROJECTED * model.projection + layers + _pooled(config, 2 * model.hidden)


def _lstm(config: Config, _width: int, _frames: int) -> int:
    model = config.model
    layers = model.layers * (_GATED // 2 * model.hidden + 2 * max(model.projection, model.hidden))
    return _PROJECTED * model.projection + layers + _pooled(config, model.hidden)


def _transformer(config: Config, _width: int, frames: int) -> int:
    model = config.model
    block = _looked(config, model.projection, frames) + _INNER * model.hidden
    return _PROJECTED * model.projection + model.layers * block + _pooled(config, model.projection)


def _convolutional(config: Config, _width: int, _frames: int) -> int:
    model = config.model
    widest = max(model.projection, model.hidden)
    layer = _CONVOLVED * widest + _UNFOLDED * model.kernel * widest
    return _PROJECTED * model.projection + model.layers * layer + _pooled(config, model.hidden)


def _image(config: Config, width: int, frames: int) -> int:
    """Of the image there are half as many bands in the second convolution; what the two see is not there at once."""
    model, (_, where) = config.model, planes(width, config.features)
    colours, bands = where.shape
    halved = (bands + 1) // 2
    seen = BANDS * model.kernel * max(colours * bands, CHANNELS * halved)
    looked = _looked(config, 2 * model.hidden, frames)
    convolved = _CONVOLVED * CHANNELS * (bands + halved)
    return convolved + _UNFOLDED * seen + looked + _bilstm(config, width, frames)


def _looked(config: Config, width: int, frames: int) -> int:
    """Of self-attention, which compares each frame with all."""
    return _LOOKED * width + _SCORES * config.model.heads * frames


def _pooled(config: Config, width: int) -> int:
    return _ATTENDED * config.model.attention + _POOLED * width


_READ: dict[str, Callable[[Config, int, int], int]] = {
    "bilstm": _bilstm,
    "lstm": _lstm,
    "transformer": _transformer,
    "cnn1d": _convolutional,
    "crnn3d": _image,
    "dscnn": _convolutional,
    "linear": _nothing,
}

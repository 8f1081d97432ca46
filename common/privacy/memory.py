"""What the step of a private run may take in memory, by its settings alone.

Whether a step fits into a machine must not depend on who was drawn: a server that chose its settings so that only long
recordings do not fit would read by the failures how long they are. So the bound is of the longest recordings that the
settings let in, ``privacy.max_seconds``, a physical batch of them at once. It is of one step at the device; what all
recordings of a site take beside it is the site's own affair.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from common.config.settings import Config
from common.features.extractor import dimension, most_frames
from common.models.architectures import build_model
from common.models.crnn3d import BANDS, CHANNELS, planes
from common.utterance import EMOTIONS

_FLOAT = 4  # bytes
# How often each is in memory at once, forward and backward, counted in ``per_sample`` and rounded up
_INPUT, _PROJECTED, _GATED, _ATTENDED, _POOLED = 5, 8, 40, 4, 4
_CONVOLVED, _UNFOLDED, _LOOKED, _INNER, _SCORES = 12, 2, 24, 4, 3
_GRADIENTS, _PARAMETERS = 3, 8
_EXTRACTED = 8


def most_bytes(config: Config) -> int:
    """An upper bound on the memory of a noisy step, and of computing one recording's features.

    Args:
        config: of a run whose sites add the noise.
    """
    features, privacy = config.features, config.privacy
    width, frames = dimension(features), most_frames(features, privacy.max_seconds) or 0
    at_once = max(privacy.max_physical_batch, privacy.multiplicity if privacy.protects.single else 1)
    read = frames * width * _EXTRACTED + int(privacy.max_seconds * features.sampling_rate) * _EXTRACTED
    parameters = _parameters(config, width)
    rows = at_once if privacy.protects.single else 1
    gradients = parameters * (rows * _GRADIENTS + _PARAMETERS)
    of_a_frame = _INPUT * width + _READ[config.model.architecture.name](config, width, frames)
    return _FLOAT * (read + gradients + at_once * frames * of_a_frame)


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
    "transformer": _transformer,
    "cnn1d": _convolutional,
    "crnn3d": _image,
    "dscnn": _convolutional,
    "linear": _nothing,
}

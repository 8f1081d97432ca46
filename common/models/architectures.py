"""From a run's settings to its model: the one place that knows which class each kind of model is."""

from __future__ import annotations

from common.config.settings import Config
from common.models.bilstm_attention import AttentiveBiLSTM, AttentiveLSTM
from common.models.cnn1d import Convolutional
from common.models.crnn3d import ConvolutionalRecurrent
from common.models.dscnn import SeparableConvolutional
from common.models.linear import LinearModel
from common.models.model import EmotionModel
from common.models.transformer import Transformer

_CLASSES: tuple[type[EmotionModel], ...] = (
    AttentiveBiLSTM,
    AttentiveLSTM,
    Convolutional,
    ConvolutionalRecurrent,
    LinearModel,
    SeparableConvolutional,
    Transformer,
)
_MODELS = {model.kind.name: model for model in _CLASSES}


def build_model(features: int, classes: int, config: Config, *, precomputed: bool = False) -> EmotionModel:
    """The model of a run, its weights drawn from torch's global generator.

    Args:
        features: of a frame, as ``common.features.extractor.dimension`` counts them.
        classes: how many emotions.
        config: of the run.
        precomputed: whether batches will hold the statistics that ``statistics.of`` made, in place of frames.
    """
    features = config.features.encoder.components or features  # a scaling that has them brings a row to so many
    return _MODELS[config.model.architecture.name](features, classes, config, precomputed=precomputed)

"""The kinds of models: what each is called, and which of its arrays tells what.

A site's gate, the server and the report know a model by its arrays or its settings alone, so nothing here needs torch.
A kind's layers are in a file of its own, which says by ``EmotionModel.kind`` which of these it is; the class that a
run's settings make is found by ``common.models.architectures``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CENTRE = "statistics.centre"  # where a model of any kind sees contours, the array with their centre


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What may be known of a kind of model without the model.

    Attributes:
        name: as ``model.kind`` takes it.
        title: in a report.
        output_bias: the array with one number a class.
        first_layer: what the names of the arrays begin with that the frames, or the figures made of them, meet first.
        figures_alone: it sees nothing of an utterance but the figures that ``model.statistics`` names, which are the
            same in every epoch.
        deepest: the most that ``model.layers`` may be.
        brings: settings that go with it where nobody chose others, by flat name.
    """

    name: str
    title: str
    output_bias: str
    first_layer: str
    figures_alone: bool = False
    deepest: int = 8
    brings: Mapping[str, Any] = field(default_factory=dict, hash=False)


BILSTM = Kind(
    name="bilstm",
    title="BiLSTM with attention",
    output_bias="classifier.bias",
    first_layer="projection.",
    deepest=2,
)
LSTM = Kind(
    name="lstm",
    title="LSTM with attention",
    output_bias="classifier.bias",
    first_layer="projection.",
    deepest=2,
)
TRANSFORMER = Kind(
    name="transformer",
    title="Transformer",
    output_bias="classifier.bias",
    first_layer="projection.",
    brings={"model.layers": 2, "privacy.max_physical_batch": 16},
)
CNN1D = Kind(
    name="cnn1d",
    title="convolution over time",
    output_bias="classifier.bias",
    first_layer="projection.",
    brings={"model.layers": 3},
)
CRNN3D = Kind(
    name="crnn3d",
    title="convolution over levels, Δ and ΔΔ with a BiLSTM and self-attention",
    output_bias="classifier.bias",
    first_layer="convolutions.0.",
    deepest=2,
    brings={
        "features.mfcc": 0,
        "features.log_mel": 40,
        "features.deltas": 2,
        "model.hidden": 64,
        "model.dropout": 0.3,
        "privacy.max_physical_batch": 16,
    },
)
DSCNN = Kind(
    name="dscnn",
    title="depthwise separable convolution over time",
    output_bias="classifier.bias",
    first_layer="projection.",
    brings={"model.layers": 3},
)
LINEAR = Kind(
    name="linear",
    title="linear model",
    output_bias="classifier.bias",
    first_layer="classifier.",
    figures_alone=True,
    brings={"model.statistics": "means"},
)
KINDS = {kind.name: kind for kind in (BILSTM, LSTM, TRANSFORMER, CNN1D, CRNN3D, DSCNN, LINEAR)}


def kind_of(name: str, hidden: int) -> Kind:
    """The kind that ``model.kind`` and ``model.hidden`` make: whatever the name, 0 hidden units are a linear model.

    Before kinds had names that 0 was what told them apart, and models and results of then still say it so.
    """
    return KINDS[name] if hidden else LINEAR

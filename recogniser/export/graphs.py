"""A saved model's graphs: from sound to frames, from a window's frames to probabilities, and either all the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from recogniser.export.front_constants import columns as names_of
from recogniser.export.front_constants import front_constants, takes_sound
from recogniser.graph.layers import Weights
from recogniser.graph.network import Architecture, probabilities
from recogniser.graph.node_builder import NodeBuilder, Value, count, floats_of, whole_numbers_of
from recogniser.graph.sound_frames import sound_frames
from recogniser.graph.utterance_figures import ContourColumns
from recogniser.graph.window_rows import bridged, scaled, scaled_by_itself, stacked

if TYPE_CHECKING:
    from common.learning.saved_model import SavedModel

SOUND, FEATURES = "sound", "features"
MODEL, FRONT, WINDOW = "model.onnx", "front.onnx", "window.onnx"
NETWORK = "network"  # the stage of a graph whose weights were learnt
Graphs = Mapping[str, onnx.ModelProto]  # by the file's name


def graphs(saved: SavedModel, given: str) -> dict[str, onnx.ModelProto]:
    """All graphs of a model.

    Args:
        saved: the model.
        given: ``sound`` or ``features``: what ``model.onnx`` takes. Of a model that takes features alone there is
            nothing but ``model.onnx``.
    """
    own = _Parts.of(saved)
    whole = _from_sound(own) if given == SOUND else _from_features(own)
    if not takes_sound(saved):
        return {MODEL: whole}
    return {MODEL: whole, FRONT: _front(own), WINDOW: _window(own)}


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A saved model without torch."""

    saved: SavedModel
    weights: Weights
    architecture: Architecture

    @classmethod
    def of(cls, saved: SavedModel) -> _Parts:
        weights = {name: tensor.numpy() for name, tensor in saved.model.state_dict().items()}
        return cls(saved=saved, weights=weights, architecture=_architecture(saved))

    @property
    def stack(self) -> int:
        return self.saved.config.features.stack

    @property
    def dimension(self) -> int:
        return len(self.saved.scaling.mean)

    @property
    def columns(self) -> list[str]:
        return names_of(self.saved.config.features)

    def answer(self, builder: NodeBuilder, rows: Value, lengths: Value) -> dict[Value, onnx.ValueInfoProto]:
        """From scaled rows to the graph's output."""
        builder.stage = NETWORK
        found = probabilities(builder, self.architecture, rows, lengths, self.weights)
        return {found: floats_of("probabilities", "batch", len(self.saved.classes))}

    def frames(self, builder: NodeBuilder) -> Value:
        """From the sound to its frames."""
        builder.stage = "front"
        return sound_frames(builder, "sound", front_constants(self.saved.config.features))

    def rows(self, builder: NodeBuilder, frames: Value, lengths: Value) -> tuple[Value, Value]:
        """From frames to rows and how many there are."""
        builder.stage = "rows"
        if self.saved.config.features.pitch:
            frames = bridged(builder, frames, lengths, self.columns.index("f0"), len(self.columns))
        return stacked(builder, frames, lengths, self.stack, len(self.columns))

    def adapted(self) -> list[onnx.ValueInfoProto]:
        """The inputs by which rows are scaled."""
        return [floats_of(name, "batch", self.dimension) for name in ("mean", "deviation")]


def _architecture(saved: SavedModel) -> Architecture:
    from common.models.contours import Contours
    from common.models.crnn3d import ConvolutionalRecurrent

    own, model, components = saved.config.model, saved.model, saved.scaling.components
    looked, image = model.statistics, model if isinstance(model, ConvolutionalRecurrent) else None
    columns = ContourColumns(**vars(looked.columns)) if isinstance(looked, Contours) else None
    return Architecture(
        kind=own.architecture.name,
        temperature=saved.temperature,
        heads=own.heads,
        statistics=own.statistics,
        columns=columns,
        stack=image.stack if image else 1,
        planes=image.planes.numpy() if image else None,
        mixed=model.mix.each if model.mix is not None else 0,
        components=None if components is None else components.numpy(),
    )


def _front(own: _Parts) -> onnx.ModelProto:
    builder = NodeBuilder()
    frames = own.frames(builder)
    return builder.model(
        [floats_of("sound", "batch", "samples")], {frames: floats_of("frames", "batch", "time", len(own.columns))}
    )


def _window(own: _Parts) -> onnx.ModelProto:
    builder = NodeBuilder()
    rows, lengths = own.rows(builder, "frames", "lengths")
    found = own.answer(builder, scaled(builder, rows, "mean", "deviation"), lengths)
    frames, whole = floats_of("frames", "batch", "time", len(own.columns)), whole_numbers_of("lengths", "batch")
    return builder.model([frames, whole, *own.adapted()], found)


def _from_features(own: _Parts) -> onnx.ModelProto:
    builder = NodeBuilder()
    found = own.answer(builder, scaled(builder, "features", "mean", "deviation"), "lengths")
    features, whole = floats_of("features", "batch", "rows", own.dimension), whole_numbers_of("lengths", "batch")
    return builder.model([features, whole, *own.adapted()], found)


def _from_sound(own: _Parts) -> onnx.ModelProto:
    """As ``fedser predict`` has it of a lone recording."""
    from common.data.strangers import lone_mode

    builder, saved = NodeBuilder(), own.saved
    frames = own.frames(builder)
    lengths = builder.op("Expand", count(builder, frames, 1), count(builder, frames, 0))
    rows, lengths = own.rows(builder, frames, lengths)
    if lone_mode(saved.config) == "utterance":
        rows = scaled_by_itself(builder, rows)
    else:
        rows = scaled(builder, rows, saved.scaling.mean.numpy(), saved.scaling.deviation.numpy())
    return builder.model([floats_of("sound", "batch", "samples")], own.answer(builder, rows, lengths))

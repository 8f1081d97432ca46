"""What every public encoder does, whatever file it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

SAMPLING_RATE = 16000  # of all speech encoders that are read


class PublicEncoder(Protocol):
    """A frozen speech encoder.

    Attributes:
        kind: ``whisper``, ``wav2vec2``, ``hubert``, ``wavlm`` or ``onnx``.
        layers: how many outputs it has, 1 to this; an ONNX file has 1.
        width: features of a frame.
        frame_seconds: from one frame to the next.
        settings: what it took of the files beside its weights, which changes what it gives; by file and name.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def layers(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def frame_seconds(self) -> float: ...  # noqa: D102
    @property
    def settings(self) -> Mapping[str, Mapping[str, Any]]: ...  # noqa: D102

    def frames(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """The outputs of layers 1 to ``upto``; no layer above is computed, nor its weights read.

        Layer i is ``hidden_states[i]`` of transformers (whose 0 is the embedding); the last one is its
        ``last_hidden_state``, after the final layer norm where the encoder has one.

        Args:
            signal: ``(samples,)``, float32, 16 kHz; at least one frame comes of the shortest, which is filled up
                with zeros.
            upto: 1 to ``layers``.

        Returns:
            ``(upto, frames, width)``, float32.

        Raises:
            UsageError: there is no such layer, or the weights cannot be read.
        """
        ...

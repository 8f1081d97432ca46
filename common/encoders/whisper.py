"""The encoder of OpenAI's Whisper: log-mel levels, two convolutions, positions, layers of attention.

A forward pass of our own, for ``transformers`` is tens of MB with tokenizers and a client of its hub, takes seconds to
import, computes all layers, and refuses a Whisper's sound that isn't padded to 30 s. It is compared with it in the
tests.

Source: Radford et al., Robust speech recognition via large-scale weak supervision, 2022; the names of the weights are
those of ``transformers``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from common.encoders.blocks import Blocks
from common.encoders.hub_config import HubConfig
from common.encoders.log_mel import HOP, WINDOW, log_mel
from common.encoders.public_encoder import SAMPLING_RATE
from common.encoders.transformer_layers import attended, linear, linear_shapes, norm_shapes, normed
from common.encoders.weights_file import Shapes, WeightsFile
from common.validate import in_range

_FRAME = 2 * HOP  # samples: the second convolution takes every other
_BLOCK = 1500  # frames, 30 s, the length that Whisper was trained with


class WhisperEncoder:
    """A Whisper's encoder in Hugging Face's layout; the decoder may lie beside it.

    A sound is not padded to 30 s, as Whisper's own program does: it costs time and brings nothing. Frames come every
    20 ms, half of ``samples // 160`` rounded up. A longer sound goes in blocks of 30 s, each with its own loudest band.

    Args:
        config: its settings.
        path: of its weights.

    Raises:
        UsageError: settings and weights aren't those of a Whisper's encoder.
    """

    kind = "whisper"
    frame_seconds = _FRAME / SAMPLING_RATE

    def __init__(self, config: HubConfig, path: Path) -> None:
        self.layers = config.whole("encoder_layers", 1, 256)
        self.width = config.whole("d_model", 1, 1 << 14)
        self._heads = config.part("encoder_attention_heads", self.width)
        self._bands = config.whole("num_mel_bins", 1, 128, 80)
        self._positions = config.whole("max_source_positions", 1, 1 << 16, _BLOCK)
        config.word("activation_function", ("gelu",), "gelu")
        self._weights = WeightsFile(path, ("model.encoder.", "encoder.", ""), "conv1.weight")
        self._weights.check(self._shapes(config.whole("encoder_ffn_dim", 1, 1 << 16)))
        self._blocks = Blocks(samples=_FRAME, frames=1, units=min(_BLOCK, self._positions))
        self.settings = {config.path.name: config.used}

    def frames(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """As ``PublicEncoder.frames``; the last layer's output is after the final layer norm."""
        in_range("the encoder's layer", upto, 1, self.layers)
        with torch.no_grad():
            return self._blocks.encode(signal, lambda block: self._encode(block, upto))

    def _encode(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """A block of at most 30 s."""
        signal = functional.pad(signal, (0, max(0, WINDOW - len(signal))))
        x = self._convolved(self._convolved(log_mel(signal, self._bands), "conv1", 1), "conv2", 2).T
        x = x + self._weights["embed_positions.weight"][: len(x)]
        outputs = []
        for number in range(upto):
            x = self._layer(x, f"layers.{number}")
            outputs.append(x if number + 1 < self.layers else normed(x, self._weights, "layer_norm"))
        return torch.stack(outputs)

    def _convolved(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.gelu(functional.conv1d(x[None], weight, bias, stride=stride, padding=1))[0]

    def _layer(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weights = self._weights
        x = x + attended(normed(x, weights, f"{name}.self_attn_layer_norm"), weights, f"{name}.self_attn", self._heads)
        inner = functional.gelu(linear(normed(x, weights, f"{name}.final_layer_norm"), weights, f"{name}.fc1"))
        return x + linear(inner, weights, f"{name}.fc2")

    def _shapes(self, inner: int) -> Shapes:
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "conv1.weight": (width, self._bands, 3),
            "conv1.bias": (width,),
            "conv2.weight": (width, width, 3),
            "conv2.bias": (width,),
            "embed_positions.weight": (self._positions, width),
            **norm_shapes("layer_norm", width),
        }
        for number in range(self.layers):
            name = f"layers.{number}"
            for part in "qkv":
                shapes |= linear_shapes(f"{name}.self_attn.{part}_proj", width, width, bias=part != "k")
            shapes |= linear_shapes(f"{name}.self_attn.out_proj", width, width)
            shapes |= norm_shapes(f"{name}.self_attn_layer_norm", width) | norm_shapes(
                f"{name}.final_layer_norm", width
            )
            shapes |= linear_shapes(f"{name}.fc1", width, inner) | linear_shapes(f"{name}.fc2", inner, width)
        return shapes

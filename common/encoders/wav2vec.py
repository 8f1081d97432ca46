"""wav2vec 2.0, HuBERT and WavLM: convolutions over the samples, positions by a convolution, layers of attention.

A forward pass of our own, as for Whisper and for the same reasons, compared with ``transformers`` in the tests.

Sources: Baevski et al., wav2vec 2.0, 2020; Hsu et al., HuBERT, 2021; Chen et al., WavLM, 2022; the names of the weights
are those of ``transformers``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from common.encoders.blocks import Blocks
from common.encoders.gated_positions import GatedPositions
from common.encoders.hub_config import HubConfig
from common.encoders.position_convolution import PositionConvolution
from common.encoders.public_encoder import SAMPLING_RATE
from common.encoders.transformer_layers import attended, linear, linear_shapes, norm_shapes, normed
from common.encoders.waveform_features import WaveformFeatures
from common.encoders.weights_file import Shapes, WeightsFile
from common.errors import UsageError
from common.validate import in_range

_BLOCK = 20  # seconds; the first convolution's output is some 10 MB for each
_SILENCE = 1e-7  # variance that is added, so that silence can be scaled
_PROBE = "feature_projection.projection.weight"


class Wav2vecEncoder:
    """An encoder of this family in Hugging Face's layout; heads may lie beside it.

    Frames come every 20 ms, where all samples that they are made of are there: with the published convolutions
    ``(samples - 400) // 320 + 1``. A longer sound goes in blocks of 20 s.

    Args:
        config: its settings.
        path: of its weights.

    Raises:
        UsageError: settings and weights aren't those of such an encoder.
    """

    def __init__(self, config: HubConfig, path: Path) -> None:
        self.kind = config.word("model_type", ("wav2vec2", "hubert", "wavlm"))
        self.layers = config.whole("num_hidden_layers", 1, 256)
        self.width = config.whole("hidden_size", 1, 1 << 14)
        self._heads = config.part("num_attention_heads", self.width)
        self._epsilon = config.small("layer_norm_eps", 1e-5)
        self._norm_first = config.flag("do_stable_layer_norm", False)
        self._project_normed = config.flag("feat_proj_layer_norm", True) or self.kind != "hubert"
        config.word("hidden_act", ("gelu",), "gelu")
        for part in ("adapter_attn_dim", "conv_pos_batch_norm"):
            config.refuse(part)
        self._features = WaveformFeatures.of(config)
        self._weights = WeightsFile(path, (f"{self.kind}.", ""), _PROBE)
        kernel = config.whole("num_conv_pos_embeddings", 1, 1 << 12, 128)
        groups = config.part("num_conv_pos_embedding_groups", self.width, 16)
        self._positions = PositionConvolution(self._weights, self.width, kernel, groups)
        gates = GatedPositions(config, self._weights, self.layers, self.width, self._heads)
        self._gates = gates if self.kind == "wavlm" else None
        self._weights.check(self._shapes(config.whole("intermediate_size", 1, 1 << 16)))
        beside = path.with_name("preprocessor_config.json")
        self._scaled = _scales_sounds(beside)
        self.settings = {config.path.name: config.used, beside.name: {"do_normalize": self._scaled}}
        hop = self._features.hop
        self._blocks = Blocks(samples=hop, frames=1, units=_BLOCK * SAMPLING_RATE // hop)
        self.frame_seconds = hop / SAMPLING_RATE

    def frames(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """As ``PublicEncoder.frames``; the last layer's output is after the final layer norm where it is norm-first."""
        in_range("the encoder's layer", upto, 1, self.layers)
        with torch.no_grad():
            if self._scaled and len(signal):
                signal = (signal - signal.mean()) / (signal.var(correction=0) + _SILENCE).sqrt()
            return self._blocks.encode(signal, lambda block: self._encode(block, upto))

    def _encode(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """A block of at most 20 s."""
        signal = functional.pad(signal, (0, max(0, self._features.field - len(signal))))
        x = self._features.frames(signal, self._weights)
        if self._project_normed:
            x = self._normed(x, "feature_projection.layer_norm")
        x = linear(x, self._weights, "feature_projection.projection")
        x = x + self._positions(x)
        if not self._norm_first:
            x = self._normed(x, "encoder.layer_norm")
        bias = self._gates.by_distance(len(x)) if self._gates else None
        outputs = []
        for number in range(upto):
            x = self._layer(x, f"encoder.layers.{number}", bias)
            outputs.append(x)
        if upto == self.layers and self._norm_first:
            outputs[-1] = self._normed(x, "encoder.layer_norm")
        return torch.stack(outputs)

    def _layer(self, x: torch.Tensor, name: str, bias: torch.Tensor | None) -> torch.Tensor:
        if self._norm_first:
            x = x + self._attended(self._normed(x, f"{name}.layer_norm"), f"{name}.attention", bias)
            return x + self._inner(self._normed(x, f"{name}.final_layer_norm"), f"{name}.feed_forward")
        x = self._normed(x + self._attended(x, f"{name}.attention", bias), f"{name}.layer_norm")
        return self._normed(x + self._inner(x, f"{name}.feed_forward"), f"{name}.final_layer_norm")

    def _attended(self, x: torch.Tensor, name: str, bias: torch.Tensor | None) -> torch.Tensor:
        if self._gates and bias is not None:
            bias = self._gates.gated(bias, x, name)
        return attended(x, self._weights, name, self._heads, bias)

    def _inner(self, x: torch.Tensor, name: str) -> torch.Tensor:
        inner = functional.gelu(linear(x, self._weights, f"{name}.intermediate_dense"))
        return linear(inner, self._weights, f"{name}.output_dense")

    def _normed(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return normed(x, self._weights, name, self._epsilon)

    def _shapes(self, inner: int) -> Shapes:
        width, channels = self.width, self._features.channels[-1]
        shapes = {**self._features.shapes, **self._positions.shapes, **norm_shapes("encoder.layer_norm", width)}
        shapes |= linear_shapes("feature_projection.projection", channels, width)
        if self._project_normed:
            shapes |= norm_shapes("feature_projection.layer_norm", channels)
        for number in range(self.layers):
            name = f"encoder.layers.{number}"
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                shapes |= linear_shapes(f"{name}.attention.{part}", width, width)
            shapes |= norm_shapes(f"{name}.layer_norm", width) | norm_shapes(f"{name}.final_layer_norm", width)
            shapes |= linear_shapes(f"{name}.feed_forward.intermediate_dense", width, inner)
            shapes |= linear_shapes(f"{name}.feed_forward.output_dense", inner, width)
        return shapes | dict(self._gates.shapes if self._gates else {})


def _scales_sounds(path: Path) -> bool:
    """Whether an encoder wants each sound at mean 0 and variance 1; without a word on it, as it was trained, no."""
    if not path.exists():
        return False
    config = HubConfig.read(path)
    if config.whole("sampling_rate", 1, 1 << 20, SAMPLING_RATE) != SAMPLING_RATE:
        raise UsageError(f"{path}: sampling_rate is {config.values['sampling_rate']}, expected {SAMPLING_RATE} Hz")
    return config.flag("do_normalize", True)

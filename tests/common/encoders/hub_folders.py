"""Small random encoders in Hugging Face's layout, made by transformers itself."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.audio import torchaudio

os.environ["HF_HUB_OFFLINE"] = "1"  # before its first import

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16, 16, 16, 16, 16, 16, 16],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
    "num_mel_bins": 80,
}


def transformers() -> Any:
    torchaudio.load()  # which it imports, and which needs help beside a CPU-only torch
    return importlib.import_module("transformers")


def a_model(name: str, **settings: Any) -> Any:
    """A model of transformers whose every weight is random, norms and biases too, so that each of them counts."""
    library = transformers()
    torch.manual_seed(4)
    made = getattr(library, f"{name}Model")(getattr(library, f"{name}Config")(**settings)).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return made


def a_sound(samples: int, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy((0.1 * random.standard_normal(samples) + 0.02).astype(np.float32))


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def whisper(folder: Path, positions: int = 1500, **more: Any) -> tuple[Path, Any]:
    model = a_model("Whisper", **WHISPER, max_source_positions=positions, **more)
    return save(model, folder), model.encoder

"""Models of any settings that are sure of what they say, for tests of what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from common.config.settings import Config
from common.features.extractor import extract
from common.features.front_end import dimension
from common.learning.saved_model import save
from common.models.architectures import build_model
from recogniser.export.trial_sounds import trial_sounds

CLASSES = ("anger", "happiness", "neutral", "sadness")
SMALL = {"model.projection": 8, "model.hidden": 6, "model.attention": 4, "model.kernel": 3, "model.heads": 2}


def save_model(folder: Path, **more: Any) -> Path:
    """Write a small model with the scaling of made-up speech; what is given is by flat name with ``__`` for the dot."""
    own = {name.replace("__", "."): value for name, value in more.items()}
    config = Config().with_values({**SMALL, "data.normalise": "running", **own})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(dimension(config.features), len(CLASSES), config)
        for parameter in model.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        model.classifier.weight.data.mul_(8.0)  # or it would say nearly the same of everything
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    path = folder / "model.safetensors"
    save(path, arrays, _scaling(config), config, CLASSES, temperature=1.3)
    return path


def _scaling(config: Config) -> dict[str, npt.NDArray[np.float32]]:
    """Of made-up speech; of an encoder's rows, which need no encoder to be made up, anything."""
    if config.features.encoder.on:
        width, kept = dimension(config.features), config.features.encoder.components
        whole = np.linspace(-1, 1, width, dtype=np.float32)
        components = {"components": np.eye(kept, width, k=1, dtype=np.float32)} if kept else {}
        return {"mean": whole, "deviation": whole + 2, **components}
    [[sound]] = trial_sounds(config.features.sampling_rate, ((1, 2.0),))
    rows = extract(torch.from_numpy(sound), config.features)
    weight = np.array([300], dtype=np.float32)
    return {"mean": rows.mean(0).numpy(), "deviation": rows.std(0).clamp_min(1e-3).numpy(), "weight": weight}

"""A model of the default size that has learnt nothing: how long it takes does not depend on what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from common.config.settings import Config
from common.features.extractor import extract
from common.features.front_end import dimension
from common.learning.saved_model import save
from common.models.architectures import build_model
from recogniser.export.exporting import export
from recogniser.export.trial_sounds import trial_sounds
from simulations.hearing.made_up_sound import CLASSES, RATE


def write_model(folder: Path) -> Path:
    """Export a model with the default settings that adapts as it hears; returns the export's folder."""
    config = Config().with_values({"data.normalise": "running"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(dimension(config.features), len(CLASSES), config)
    [[sound]] = trial_sounds(RATE, ((1, 4.0),))
    rows = extract(torch.from_numpy(sound), config.features)
    scaling = {"mean": rows.mean(0).numpy(), "deviation": rows.std(0).clamp_min(1e-3).numpy()}
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    weight = {"weight": np.array([300], dtype=np.float32)}
    save(folder / "run" / "model.safetensors", arrays, {**scaling, **weight}, config, CLASSES)
    export(folder / "run", folder / "export")
    return folder / "export"

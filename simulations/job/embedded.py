"""The embedded made-up speech: a corpus for who has none, and a public scaling for who has no public recordings.

Nobody's voice is in it, so the mean and deviation of its features tell of nobody, and a private run may be scaled by
them. LOG.md, "The private recipe", says how that compares with a scaling by a public corpus.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import torch

from common.config.settings import Config, flatten
from common.data.extraction import extract_all
from common.data.normalise import Sums
from common.data.resident import listing
from common.features.cache import FeatureCache, default_directory
from common.learning import saved_model
from common.models.architectures import build_model
from common.progress import Display
from common.seeds import seed_of
from simulations.synthesis.corpus import synthesize


def provide_embedded(config: Config, display: Display) -> Config:
    """Write what the user left to fedser, and set it: the root of ``--corpus synthetic``, the model of ``public``."""
    if config.data.corpus == "synthetic" and not config.data.root:
        config = config.with_values({"data.root": str(provide_corpus(display))})
    if config.data.normalise == "public" and not config.data.public:
        config = config.with_values({"data.public": str(provide_scaling(config, display))})
    return config


def provide_corpus(display: Display) -> Path:
    """Write the made-up corpus if it is missing, and return its folder."""
    root = default_directory() / f"synthetic-{importlib.metadata.version('fedser')}"
    step = display.step("made-up speech", 400)
    return synthesize(root, progress=step.update)


def provide_scaling(config: Config, display: Display) -> Path:
    """Write an untrained model that carries the scaling, once for each choice of settings; return its folder.

    Args:
        config: of the run, whose features are scaled.
        display: for the progress of the first time.
    """
    root = provide_corpus(display)
    own = {"data.corpus": "synthetic", "data.root": str(root), "data.normalise": "global", "augment.copies": 0}
    settings = Config(features=config.features).with_values(own)
    # All settings, not the features alone: the next version of fedser may know others.
    name = hashlib.sha256(json.dumps(flatten(settings), sort_keys=True).encode()).hexdigest()[:16]
    folder = default_directory() / f"{root.name}-scaling-{name}"
    if not (folder / "model.safetensors").exists():
        _save(folder / "model.safetensors", settings, display)
    return folder


def _save(path: Path, settings: Config, display: Display) -> None:
    selection = listing(settings.data)
    step = display.step("made-up speech's features", len(selection.utterances))
    cache = FeatureCache(default_directory())
    recordings, _ = extract_all(selection.utterances, settings.features, settings.augment, cache, progress=step.update)
    scaling = Sums.of(recordings).scaling()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("untrained"))
        model = build_model(len(scaling.mean), len(selection.classes), settings)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    figures = {"mean": scaling.mean.numpy(), "deviation": scaling.deviation.numpy()}
    path.parent.mkdir(parents=True, exist_ok=True)
    saved_model.save(path, arrays, figures, settings, tuple(selection.classes), synthetic=True)

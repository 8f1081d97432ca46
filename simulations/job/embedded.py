"""The embedded made-up speech: a corpus for who has none, and a public scaling for who has no public recordings.

Nobody's voice is in it, so the mean and deviation of its features tell of nobody, and a private run may be scaled by
them. LOG.md, "The private recipe", says how that compares with a scaling by a public corpus.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from common.config.settings import PATHS, Config, FeatureConfig, flatten
from common.data.extraction import Recording, extract_all
from common.data.normalise import Scaling, Sums
from common.data.resident import listing
from common.errors import CorpusError, UsageError
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
    needed = config.data.normalise == "public" or config.features.encoder.components
    if needed and not config.data.public:
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
    settings = scaling_settings(config.features, {"data.corpus": "synthetic", "data.root": str(root)})
    # All settings, not the features alone: the next version of fedser may know others.
    anywhere = flatten(settings) | {"encoder.path": ""}
    name = hashlib.sha256(json.dumps(anywhere, sort_keys=True).encode()).hexdigest()[:16]
    folder = default_directory() / f"{root.name}-scaling-{name}"
    if not (folder / "model.safetensors").exists():
        write_scaling(folder / "model.safetensors", settings, display)
    return folder


def scaling_settings(features: FeatureConfig, corpus: Mapping[str, Any]) -> Config:
    """The settings of a model that carries a scaling and nothing else.

    Args:
        features: whose scaling it is.
        corpus: the settings of the public recordings.
    """
    mode = {"data.normalise": "public" if features.encoder.components else "global", "augment.copies": 0}
    return dataclasses.replace(Config().with_values({**corpus, **mode}), features=features)


def write_scaling(path: Path, settings: Config, display: Display) -> None:
    """Write an untrained model with the scaling of public recordings.

    Args:
        path: of its file; its folder is made where it does not exist.
        settings: as of ``scaling_settings``.
        display: of the progress.

    Raises:
        CorpusError: there is no such corpus, or nothing of it can be used.
        UsageError: it has too few recordings for so many components.
    """
    selection = listing(settings.data)
    step = display.step("public speech's features", len(selection.utterances))
    cache = FeatureCache(default_directory())
    recordings, _ = extract_all(selection.utterances, settings.features, settings.augment, cache, progress=step.update)
    if not recordings:
        raise CorpusError(f"--root {settings.data.root}: none of its recordings can be used")
    scaling = public_scaling(recordings, settings.features.encoder.components)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("untrained"))
        model = build_model(len(scaling.mean), len(selection.classes), settings)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    public = settings.with_values(dict.fromkeys(PATHS, ""))
    classes, synthetic = tuple(selection.classes), selection.synthetic
    saved_model.save(path, arrays, scaling.arrays(), public, classes, synthetic=synthetic)


def public_scaling(recordings: Sequence[Recording], kept: int) -> Scaling:
    """The scaling of public recordings, and their first principal components.

    The components are as long as to bring a public recording to a length of about 2, as contours have
    (``common.privacy.centre``).

    Args:
        recordings: of one row each where components are asked for.
        kept: how many components; 0 for none.

    Raises:
        UsageError: there are too few recordings for so many, or their rows are not as wide.
    """
    scaling = Sums.of(recordings).scaling()
    if not kept:
        return scaling
    rows = torch.cat([scaling(recording.versions[0]) for recording in recordings]).double()
    if kept > (most := min(len(rows) - 1, rows.shape[1])):
        of = f"{len(rows)} public recordings of {rows.shape[1]} numbers each"
        raise UsageError(f"encoder.components is {kept}, {of} have {most} at most")
    _, _, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    first = directions[:kept]
    length = (rows @ first.T).norm(dim=1).mean()
    return dataclasses.replace(scaling, components=(2 * first / length).float())

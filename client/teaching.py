"""Soft targets: what a teacher's model takes a simulated site's own recordings for (Hinton, Vinyals & Dean 2015).

A teacher is another run's model, of any kind and with features and a normalisation of its own. Its answer for each
version of a recording is computed once; a window or a masked copy of the version has the whole one's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from common.config.settings import Config
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.strangers import normalise_known
from common.errors import UsageError
from common.learning.saved_model import SavedModel
from common.learning.training import device

Targets = Mapping[str, Tensor]  # by an utterance's name, the probabilities ``(versions, classes)``


def encoder_of(config: Config, path: Path) -> Path | None:
    """The place of the encoder that a teacher has in front, as its run's result has it; None where it has none.

    Args:
        config: the teacher's.
        path: of its model, in a fold of its run.

    Raises:
        UsageError: the run does not say.
    """
    if not config.features.encoder.on:
        return None
    result = path.parents[2] / "result.json"
    try:
        return Path(json.loads(result.read_text(encoding="utf-8"))["config"]["encoder.path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"--teacher: {result} does not say where the encoder lies that the teacher listens through; choose a run "
            "that has ended"
        ) from None


@torch.no_grad()
def soft_targets(teacher: SavedModel, recordings: Sequence[Recording], temperature: float) -> Targets:
    """The teacher's probabilities for each version of each recording.

    Args:
        teacher: in evaluation mode. The temperature that its confidence was calibrated with plays no part.
        recordings: all that a site has of their speakers, with the teacher's features, not normalised.
        temperature: by which the logits are divided.

    Raises:
        UsageError: the recordings have other features than the teacher, or its normalisation cannot work on them.
    """
    width = len(teacher.scaling.mean)
    for recording in recordings:
        if recording.versions[0].shape[1] != width:
            raise UsageError(
                f"--teacher has {width} features a frame, {recording.utterance.path.name} has "
                f"{recording.versions[0].shape[1]}; choose a teacher of the same features"
            )
    ready = normalise_known(recordings, teacher.config, teacher.scaling)
    each = SpeechDataset([replace(own, versions=(v,)) for own in ready for v in own.versions], teacher.classes)
    where = device()
    model, found = teacher.model.to(where).eval(), torch.zeros(len(each), len(teacher.classes))
    for batch in each.in_order():
        step = batch.to(where)
        found[batch.index] = torch.softmax(model(*step.given).float() / temperature, dim=1).cpu()
    parts = torch.split(found, [len(own.versions) for own in ready])
    return {own.utterance.name: part for own, part in zip(ready, parts, strict=True)}

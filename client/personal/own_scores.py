"""What a site's own model is worth, beside the run's, on recordings that neither was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from client.personal.comparison import Comparison
from client.personal.personal_model import PersonalModel, arrays_of
from client.site import Site
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.strangers import normalise_known
from common.learning.confidence import outputs
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model


def compare(
    site: Site, saved: SavedModel, own: PersonalModel, recordings: Sequence[Recording], heard: Sequence[Recording] = ()
) -> Comparison | None:
    """Both models on some recordings, with all of their speakers known, as a run's held-out speakers are scored.

    Args:
        site: whose model it is.
        saved: the run's.
        own: the site's.
        recordings: not normalised; without any there is nothing to compare.
        heard: other recordings of the same speakers, by which these are scaled too, and which are not scored.
    """
    held = [recording for recording in recordings if recording.versions]
    if not held:
        return None
    known = [recording for recording in heard if recording.versions]
    ready = normalise_known([*known, *held], site.config, saved.scaling)[len(known) :]
    model, found = build_model(site.features, len(site.classes), site.config), []
    for arrays in (arrays_of(saved), own.arrays):
        model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        found.append(outputs(model, SpeechDataset(ready, site.classes)))
    (before, labels), (after, _) = found
    return Comparison.of(before, after, labels)

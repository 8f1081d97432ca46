"""Held-out recordings as a model gets them of a stranger: after none of the others, after 2, after 8, after all.

``0`` is what ``fedser predict`` has of a lone recording, ``all`` what a transductive figure counts on. Where the
normalisation does not adapt to a speaker, all four are the same. By ``speaker`` alone there is nothing between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from common import protocol
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.heard import Heard
from common.data.normalise import Scaling, normalise

ALL = "all"
AFTER = {**{name: int(name) for name in protocol.AFTER}, ALL: None}  # others of the speaker that were heard
FIRST = protocol.AFTER[0]

Condition = tuple[tuple[str, ...], list[Recording]]  # whose counts they are for, and the recordings, normalised


def lone_mode(config: Config) -> str:
    """How a recording is normalised that has no others of its speaker beside it.

    By itself, where the model was trained so, or where its training was private and no scaling is known; else by the
    scaling of the training speakers, or of public data.
    """
    mode, public = config.data.normalise, config.data.normalise == "public" or config.features.encoder.components
    return "utterance" if mode == "utterance" or (config.privacy.on and not public) else "global"


def normalise_known(recordings: Sequence[Recording], config: Config, scaling: Scaling | None) -> list[Recording]:
    """Normalise recordings that are all of their speakers', none of which is a stranger any more.

    Raises:
        UsageError: the mode cannot work on these recordings, or there is no scaling for it.
    """
    if config.data.normalise == "running" and scaling is not None:
        return Heard(recordings, scaling, config.features, seed=config.seed).after(None)
    return normalise(recordings, config.data.normalise, scaling)


def conditions(recordings: Sequence[Recording], config: Config, scaling: Scaling | None) -> Iterator[Condition]:
    """Held-out recordings under each condition, one at a time, for they are large; the last is for ``all``.

    Args:
        recordings: all of their speakers', not normalised; altered copies are left out.
        config: of the run.
        scaling: that came with the model.

    Raises:
        UsageError: the mode cannot work on these recordings.
    """
    own = [replace(recording, versions=recording.versions[:1]) for recording in recordings]
    mode = config.data.normalise
    if mode == "running" and scaling is not None:
        speakers = Heard(own, scaling, config.features, seed=config.seed)
        for name, heard in AFTER.items():
            for draw in range(protocol.DRAWS if heard else 1):
                yield (name,), speakers.after(heard, draw)
        return
    if mode == "speaker" and not _single_frames(own, lone_mode(config)):
        yield (FIRST,), normalise(own, lone_mode(config), scaling)
    yield (ALL,) if mode == "speaker" else tuple(AFTER), normalise(own, mode, scaling)


def _single_frames(recordings: Sequence[Recording], mode: str) -> bool:
    """Whether nothing would be left of any, so that nobody can predict a lone one."""
    return mode == "utterance" and all(len(recording.versions[0]) == 1 for recording in recordings)

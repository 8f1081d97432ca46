"""Recordings made ready one unit at a time, so that what one holds decides nothing for the others.

A private run may not fail, or go another way, for the content of a single unit: that would tell of it, at no ε. So a
unit that cannot be used keeps its place, which counts and is drawn like any other, and holds nothing: each of its
recordings stays in the list and has no version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from common.config.units import Unit
from common.data.extraction import Recording

log = logging.getLogger("fedser.data")

Prepare = Callable[[list[Recording]], list[Recording]]


def emptied(recording: Recording) -> Recording:
    """A recording's place, with nothing in it."""
    return replace(recording, versions=())


def prepare_alone(
    recordings: Sequence[Recording], unit: Unit, classes: Collection[str], width: int, prepare: Prepare
) -> list[Recording]:
    """Make recordings ready, each unit by itself.

    Args:
        recordings: all of a site's; some may be empty already.
        unit: whose recordings are prepared together.
        classes: those that the run tells apart; a recording with another label is emptied.
        width: features of a frame; likewise.
        prepare: makes as many of some recordings, in their order; where it raises, that unit is emptied.

    Returns:
        As many, in the same order. One that comes out without a frame, or with a number that is not finite, is empty.
    """
    fit = [r if r.utterance.emotion in classes and _is_table(r, width) else emptied(r) for r in recordings]
    made = list(map(emptied, fit))
    for places in unit.groups([r.utterance for r in fit]):
        whole = [place for place in places if fit[place].versions]
        for place, ready in zip(whole, _prepared([fit[place] for place in whole], prepare), strict=True):
            made[place] = ready
    if empty := sum(not r.versions for r in made):
        log.warning("%d of %d recordings cannot be used; their places are kept, and add nothing", empty, len(made))
    return made


def _prepared(own: list[Recording], prepare: Prepare) -> list[Recording]:
    """One unit's recordings, ready or empty."""
    try:
        ready = prepare(own) if own else []
    except Exception:
        log.exception("a unit cannot be prepared; its place is kept, and adds nothing")
        return list(map(emptied, own))
    return [r if all(len(v) and v.isfinite().all() for v in r.versions) else emptied(r) for r in ready]


def _is_table(recording: Recording, width: int) -> bool:
    return all(version.ndim == 2 and version.shape[1] == width for version in recording.versions)

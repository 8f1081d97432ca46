"""What is to be made: one recording of the list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One recording to be made.

    Attributes:
        path: where it goes, against the corpus's root, with ``/``.
        emotion: a name in ``emotion.EFFECTS``.
        speaker: counted from 0.
        take: which of the speaker's recordings, counted from 0.
        gender: ``female`` or ``male``.
        strength: of the emotion's effects, 1 for the usual.
    """

    path: str
    emotion: str
    speaker: int
    take: int
    gender: str
    strength: float = 1.0

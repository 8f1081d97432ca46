"""Recordings of training speakers that nobody trains on: what a model makes of people whom it knows, said anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from common.seeds import numpy_generator
from common.utterance import Utterance

FIFTH = 5  # one recording of so many


def keep_out(utterances: Sequence[Utterance], speakers: Collection[str], seed: int, site: str) -> list[Utterance]:
    """A fifth of each speaker's recordings, in their order; of fewer than five none.

    What is drawn depends on the seed, the site and the speaker alone, not on whose recordings stand beside.

    Args:
        utterances: all that can be used.
        speakers: who trains at the site.
        seed: of the run.
        site: its name.
    """
    drawn: list[Utterance] = []
    for speaker in sorted(speakers):
        own = [u for u in utterances if u.speaker == speaker]
        order = numpy_generator(seed, site, speaker, "kept out").permutation(len(own))
        drawn += [own[place] for place in sorted(order[: len(own) // FIFTH])]
    return drawn

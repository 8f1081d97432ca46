"""Ids of speakers that are spelled alike, such as ``s4``, ``S04`` and ``s4.0``: one person, or several?

Taken for several, one person would be in train and in test; taken for one, two would be one unit. Nobody can tell by
looking, so who runs it says (``data.speaker_ids``). Only the ids are looked at, never what their recordings hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from common.errors import CorpusError
from common.spelling import near, near_equal, written
from common.utterance import Utterance

Groups = tuple[tuple[str, ...], ...]
_SHOWN = 3


def merge(utterances: Sequence[Utterance]) -> list[Utterance]:
    """The utterances, each group of ids that are spelled alike under its first, in the order of their characters."""
    first = {speaker: group[0] for group in near_equal(u.speaker for u in utterances) for speaker in group}
    return [dataclasses.replace(u, speaker=first.get(u.speaker, u.speaker)) for u in utterances]


def refuse_unsaid(groups: Groups) -> None:
    """Refuse ids that are spelled alike, of which nobody said whether they are one person.

    Raises:
        CorpusError: there are such; some are named.
    """
    if groups:
        some = "; ".join(", ".join(map(repr, group)) for group in groups[:_SHOWN])
        more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
        raise CorpusError(
            f"speakers are spelled alike: {some}{more}; one person may not train and be tested: say --speaker-ids "
            "merge if those are one person each, distinct if they are several (at a site: speaker_ids in site.toml), "
            "or mend the ids"
        )


def without(utterances: Sequence[Utterance], speakers: Collection[str], *, distinct: bool) -> list[Utterance]:
    """The utterances of all others.

    Args:
        utterances: of a corpus.
        speakers: to leave out, by id.
        distinct: take an id for what it is; else whoever is spelled alike is left out too, for it may be the same.
    """
    spelled = written if distinct else near
    out = {spelled(speaker) for speaker in speakers}
    return [u for u in utterances if spelled(u.speaker) not in out]

"""Which rows of a list are one content, the same bytes and the same stretch of them, and which stretches overlap.

Copies in another encoding, at another rate or with other metadata have other bytes, and are not found.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence

from common.config.units import Unit
from common.errors import CorpusError
from common.utterance import Utterance

_SLACK = 1e-9  # seconds by which the decimals of two times that were meant to be one may differ
Span = tuple[float, float]


def span(utterance: Utterance) -> Span:
    """Where an utterance begins and ends in its file, in seconds; a whole file ends at infinity."""
    return utterance.start or 0.0, math.inf if utterance.end is None else utterance.end


def content_of(utterance: Utterance, digest: str) -> tuple[Hashable, Span]:
    """What tells a content from others: its file's bytes, and the stretch of them.

    Args:
        utterance: the row.
        digest: as ``common.curation.probe.digest_of``; a file without one is known by its path.
    """
    sha256, _, _, *rest = digest.split(" ") if digest else ("", "", "", real_path(utterance))
    return (sha256, *rest), span(utterance)


def real_path(utterance: Utterance) -> str:
    """The path of the file, whatever links lead to it."""
    try:
        return os.path.realpath(utterance.path)
    except ValueError:  # a NUL character
        return str(utterance.path)


def same_content(items: Sequence[tuple[Hashable, Span]], *, joined: bool) -> list[list[int]]:
    """The places of those that are one content, in the order of the first.

    Args:
        items: a file and a stretch of it each.
        joined: whether stretches of one file that overlap are one content too; those of the same bytes under two names
            may, for which of them says something of the other cannot be told from a list.
    """
    by_file: dict[Hashable, list[int]] = {}
    for place, (file, _) in enumerate(items):
        by_file.setdefault(file, []).append(place)
    spans = [own for _, own in items]
    return sorted(group for places in by_file.values() for group in _groups(places, spans, joined=joined))


def _groups(places: Sequence[int], spans: Sequence[Span], *, joined: bool) -> Iterator[list[int]]:
    group: list[int] = []
    end = -math.inf
    for place in sorted(places, key=lambda place: (spans[place], place)):
        if group and (spans[place] == spans[group[-1]] or (joined and _within(spans[place], end))):
            group.append(place)
        else:
            if group:
                yield sorted(group)
            group, end = [place], -math.inf
        end = max(end, spans[place][1])
    yield sorted(group)


def _within(later: Span, end: float) -> bool:
    """Whether a stretch begins before another ends."""
    return later[0] < end - _SLACK


def overlaps(files: Mapping[Hashable, Sequence[Utterance]]) -> Iterator[tuple[Utterance, Utterance]]:
    """Of each file every stretch that overlaps another one, with that other; the same stretch again is none.

    Args:
        files: the utterances of each.
    """
    for own in files.values():
        furthest: Utterance | None = None
        for later in sorted(own, key=span):
            if furthest is not None and span(later) != span(furthest) and _within(span(later), span(furthest)[1]):
                yield later, furthest
            if furthest is None or span(later)[1] > span(furthest)[1]:
                furthest = later


def refuse_overlaps(unit: Unit, utterances: Sequence[Utterance]) -> None:
    """Refuse a list in which two units have a part of one file: what is said there would be in both.

    A list's times are public, as the number of its units is, so that this refusal tells nothing of what is said.

    Args:
        unit: of privacy.
        utterances: of those who train, at one site.

    Raises:
        CorpusError: stretches of one file overlap, and are two units'; the first is named.
    """
    mixed = {real_path(utterance) for utterance in utterances if utterance.channel is None}  # all channels' mean
    files: dict[Hashable, list[Utterance]] = {}
    for utterance in utterances:
        path = real_path(utterance)
        files.setdefault((path, None if path in mixed else utterance.channel), []).append(utterance)
    found = [pair for pair in overlaps(files) if unit.owner is None or unit.owner(pair[0]) != unit.owner(pair[1])]
    if found:
        later, other = found[0]
        raise CorpusError(
            f"{later.path}: {seconds(later)} overlaps {seconds(other)} of the same file, and {len(found)} stretches in "
            f"all overlap another {unit.noun}'s, so that one sound would be several {unit.nouns}: list stretches that "
            "do not overlap, or take a larger --privacy-unit"
        )


def seconds(utterance: Utterance) -> str:
    """The stretch in words, ``0 to 2.5 s``."""
    start, end = span(utterance)
    return f"{start:g} to {end:g} s" if end < math.inf else f"{start:g} s to the end"

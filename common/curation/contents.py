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


def sounds_of(rows: Sequence[tuple[Utterance, str]], owners: Sequence[Hashable]) -> list[tuple[Hashable, Span]]:
    """What tells each row's content from others: its owner, its file's bytes with the channel, and the stretch of them.

    Channels of a file are sounds of their own, unless a row of the same owner has the mean of all: that is in each.

    Args:
        rows: each with its digest, as ``common.curation.probe.digest_of``; a file without one is known by its path.
        owners: whose each row is; others' rows change nothing of theirs.
    """
    files = [(owner, digest.split(" ")[0] or real_path(row)) for owner, (row, digest) in zip(owners, rows, strict=True)]
    mixed = {file for file, (row, _) in zip(files, rows, strict=True) if row.channel is None}
    channels = [None if file in mixed else row.channel for file, (row, _) in zip(files, rows, strict=True)]
    return [((*file, channel), span(row)) for file, channel, (row, _) in zip(files, channels, rows, strict=True)]


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


def overlaps(files: Mapping[Hashable, Sequence[Utterance]]) -> list[tuple[Utterance, Utterance]]:
    """Of each file every stretch that overlaps another one, with that other; the same row again is none.

    Two channels don't overlap, and the mean of all overlaps each.

    Args:
        files: the utterances of each.
    """
    found: dict[int, tuple[Utterance, Utterance]] = {}
    for own in files.values():
        for channel in {utterance.channel for utterance in own}:
            for pair in _overlaps([utterance for utterance in own if utterance.channel in (None, channel)]):
                found.setdefault(id(pair[0]), pair)
    return sorted(found.values(), key=lambda pair: (pair[0].path.as_posix(), span(pair[0])))


def _overlaps(own: Sequence[Utterance]) -> Iterator[tuple[Utterance, Utterance]]:
    furthest: Utterance | None = None
    for later in sorted(own, key=span):
        if furthest is not None and not _is_same(later, furthest) and _within(span(later), span(furthest)[1]):
            yield later, furthest
        if furthest is None or span(later)[1] > span(furthest)[1]:
            furthest = later


def _is_same(one: Utterance, other: Utterance) -> bool:
    return (span(one), one.channel) == (span(other), other.channel)


def refuse_overlaps(unit: Unit, utterances: Sequence[Utterance]) -> None:
    """Refuse a list in which two units have a part of one file: what is said there would be in both.

    A list's times are public, as the number of its units is, so that this refusal tells nothing of what is said.

    Args:
        unit: of privacy.
        utterances: of those who train, at one site.

    Raises:
        CorpusError: stretches of one file overlap, and are two units'; the first is named.
    """
    files: dict[Hashable, list[Utterance]] = {}
    for utterance in utterances:
        files.setdefault(real_path(utterance), []).append(utterance)
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

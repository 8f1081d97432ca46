"""A recording's prosody in numbers: of all of it, of each speaker, of each minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recogniser.prosody.analysed_channel import AnalysedChannel, Part, analyse
from recogniser.prosody.level_and_pitch import LevelAndPitch
from recogniser.prosody.phrasing import Stretch
from recogniser.prosody.prosody_measures import measure

NOTE = "descriptive, no diagnosis"  # wherever these numbers are shown
MINUTE = 60.0


def describe(channels: Mapping[int | None, LevelAndPitch], stretches: Sequence[Stretch]) -> dict[str, Any]:
    """The prosody of a recording, as the result's JSON has it.

    Args:
        channels: the frames of each channel that was heard; None is the mixture of all.
        stretches: who speaks when, such as the segments.

    Returns:
        ``note``, ``recording``, ``speakers`` (each with ``channel`` and ``speaker``) and ``minutes`` (each with
        ``start`` and ``end``), whose measures are those of ``measure``.
    """
    heard: list[tuple[int | None, list[str | None], AnalysedChannel]] = []
    for channel, kept in channels.items():
        own = [each for each in stretches if each.channel == channel]
        names = sorted({each.speaker for each in own}, key=lambda name: (name is not None, name or ""))
        heard.append((channel, names, analyse(kept, own, names)))
    parts = [Part(of=each, start=0, end=len(each.owners)) for _, _, each in heard]
    return {
        "note": NOTE,
        "recording": measure(parts),
        "speakers": [
            {"channel": channel, "speaker": name, **measure([_whole(each, owner)])}
            for channel, names, each in heard
            for owner, name in enumerate(names)
        ],
        "minutes": list(_minutes(parts)),
    }


def _whole(channel: AnalysedChannel, owner: int) -> Part:
    return Part(of=channel, start=0, end=len(channel.owners), owner=owner)


def _minutes(parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    hop, last = parts[0].of.hop, max(part.end for part in parts)
    frames = round(MINUTE / hop)
    for start in range(0, last, frames):
        end = min(start + frames, last)
        bounds = {"start": round(start * hop, 3), "end": round(end * hop, 3)}
        yield bounds | measure([part.between(start, end) for part in parts])

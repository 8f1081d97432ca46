from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest

from common.config.units import UNITS
from common.curation.contents import refuse_overlaps, same_content, sounds_of
from common.errors import CorpusError
from common.utterance import Utterance


def row(path: Path | str, start: float | None = None, end: float | None = None, speaker: str = "a") -> Utterance:
    return Utterance(path=Path(path), emotion="anger", speaker=speaker, corpus="manifest", start=start, end=end)


@pytest.mark.parametrize(
    ("stretches", "alone", "joined"),
    [
        ([(None, None), (0.0, None), (None, None)], [[0, 1, 2]], [[0, 1, 2]]),  # three ways to say a whole file
        ([(0.0, 1.0), (1.0, 2.0), (0.0, 1.0)], [[0, 2], [1]], [[0, 2], [1]]),  # what touches does not overlap
        ([(0.0, 0.5), (0.45, 1.0), (0.9, 1.5), (2.0, 3.0)], [[0], [1], [2], [3]], [[0, 1, 2], [3]]),  # a chain
        ([(5.0, 6.0), (0.0, 9.0), (1.0, 2.0)], [[0], [1], [2]], [[0, 1, 2]]),  # one holds the others
        ([(0.0, 0.1 + 0.2), (0.3, 0.6)], [[0], [1]], [[0], [1]]),  # but for the decimals they touch
    ],
)
def test_a_content_is_the_same_stretch_of_the_same_bytes(
    stretches: list[tuple[float | None, float | None]], alone: list[list[int]], joined: list[list[int]]
) -> None:
    rows = [(row("a.wav", *own), f"ff {own[0]} {own[1]}") for own in stretches]
    items = sounds_of(rows, [""] * len(rows))
    assert same_content(items, joined=False) == alone
    assert same_content(items, joined=True) == joined


def test_other_bytes_are_another_content_and_a_file_that_cannot_be_read_is_its_path(tmp_path: Path) -> None:
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    found = [("a.wav", "ff None None"), ("b.wav", "fe None None"), ("a.wav", ""), ("b.wav", ""), ("c.wav", "")]
    items = sounds_of([(row(tmp_path / name), digest) for name, digest in found], [""] * len(found))
    assert same_content(items, joined=True) == [[0], [1], [2, 3], [4]]


WINDOWS = [(k / 20, k / 20 + 0.5) for k in range(10)]


@pytest.mark.parametrize(
    ("unit", "rows", "found"),
    [
        ("utterance", [row("a.wav", *own) for own in WINDOWS], "0.05 to 0.55 s overlaps 0 to 0.5 s .* 9 stretches"),
        ("utterance", [row("a.wav"), row("a.wav", 2.0, 3.0)], "2 to 3 s overlaps 0 s to the end of the same"),
        ("utterance", [row("a.wav", 0.0, 1.0), row("a.wav", 1.0, 2.0), row("b.wav", 0.5, 1.5)], None),
        ("utterance", [row("a.wav", 0.0, 1.0), row("a.wav", 0.0, 1.0)], None),  # one content twice
        ("speaker", [row("a.wav", *own) for own in WINDOWS], None),  # all in one person's part
        ("speaker", [row("a.wav", 0.0, 1.0), row("a.wav", 0.9, 1.5, "b")], "0.9 to 1.5 s overlaps 0 to 1 s"),
        ("speaker", [row("a.wav", 0.0, 9.0), row("a.wav", 1.0, 3.0, "b"), row("a.wav", 2.0, 3.0)], "1 to 3 s overlaps"),
        ("site", [row("a.wav", 0.0, 1.0), row("a.wav", 0.9, 1.5, "b")], None),
    ],
)
def test_a_sound_that_would_be_in_two_units_is_refused(unit: str, rows: list[Utterance], found: str | None) -> None:
    for order in (rows, rows[::-1]):
        if found is None:
            refuse_overlaps(UNITS[unit], order)
            continue
        with pytest.raises(CorpusError, match=found) as refused:
            refuse_overlaps(UNITS[unit], order)
        assert "\n" not in str(refused.value)


def test_a_link_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="overlaps"):
        refuse_overlaps(UNITS["utterance"], [row(tmp_path / "a.wav", 0.0, 1.0), row(tmp_path / "b.wav", 0.5, 1.5)])


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        ([(0, 0, 2), (1, 1, 3)], False),
        ([(0, 0, 2), (0, 1, 3)], True),
        ([(None, 0, 2), (1, 1, 3)], True),
        ([(None, 0, 2), (0, 0, 2)], True),  # the same stretch, in the mean and alone
        ([(0, 0, 2), (1, 0, 2), (None, 0, 2)], True),
        ([(0, 0, 2), (1, 0, 2), (None, 5, 6)], False),
        ([(0, 0, 2), (1, 1, 3), (None, 5, 6)], False),
    ],
)
def test_two_channels_are_two_sounds_and_their_mean_is_in_both(
    rows: list[tuple[int | None, float, float]], refused: bool
) -> None:
    found = [dataclasses.replace(row("x.wav", start, end), channel=channel) for channel, start, end in rows]
    for order in (found, found[::-1]):
        with pytest.raises(CorpusError, match="overlaps") if refused else contextlib.nullcontext():
            refuse_overlaps(UNITS["utterance"], order)


def test_a_copy_of_which_a_channel_is_taken_is_the_same_sound_as_the_whole() -> None:
    channels = (None, 0, 1)
    rows = [dataclasses.replace(row(f"{n}.wav"), channel=channel) for n, channel in enumerate(channels)]
    assert same_content(sounds_of([(own, "ff None None") for own in rows], [""] * 3), joined=True) == [[0, 1, 2]]
    assert same_content(sounds_of([(own, "ff None None") for own in rows[1:]], [""] * 2), joined=True) == [[0], [1]]
    assert same_content(sounds_of([(own, "") for own in rows[1:]], [""] * 2), joined=True) == [[0], [1]]

"""What one unit holds decides nothing for another: with any list, one unit more, less or otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.settings import AugmentConfig, FeatureConfig
from common.config.units import UNITS
from common.curation.probe import digest_of
from common.data.extraction import Found, extract_each
from common.data.places import Places, count_units, take_places
from common.features.cache import FeatureCache
from common.features.extractor import dimension
from common.utterance import Utterance

CONTENTS, COPIES = 6, 3
ODD, BROKEN = 4, 5  # contents of another width, and of no matrix at all
Contribution = tuple[str, str, tuple[bytes, ...]]
Drawn = list[tuple[int, int, str, str, str | None]]  # content, copy, speaker, label, mark


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each content under three names, and twenty more, so that most of any list have three features."""
    folder = tmp_path_factory.mktemp("contents")
    for content in range(CONTENTS):
        for copy in range(COPIES):
            path = folder / f"{copy}-{content}.npy"
            np.save(path, np.full((2 + content, 2 if content == ODD else 3), float(content), np.float32))
            if content == BROKEN:
                path.write_bytes(b"no matrix")
    for number in range(20):
        np.save(folder / f"other-{number}.npy", np.full((2, 3), 100.0 + number, np.float32))
    return folder


def row(folder: Path, name: str, speaker: str, emotion: str = "anger", split: str | None = None) -> Utterance:
    return Utterance(path=folder / name, emotion=emotion, speaker=speaker, corpus="manifest", split=split)


def others(folder: Path) -> list[Utterance]:
    return [row(folder, f"other-{number}.npy", f"o{number % 3}") for number in range(20)]


def each(folder: Path, utterances: Sequence[Utterance]) -> Sequence[Found]:
    return extract_each(utterances, FeatureConfig(), AugmentConfig(), FeatureCache(folder / "cache"), workers=0)


def places(folder: Path, unit: str, rows: Sequence[Utterance]) -> Places:
    listed = sorted(rows, key=lambda item: item.path.as_posix())
    return take_places(UNITS[unit], listed, lambda own: each(folder, own), FeatureConfig())


def name_of(unit: str, utterance: Utterance) -> str:
    """Whose it is: of a recording the content, of a person the name."""
    return utterance.path.stem.rpartition("-")[2] if unit == "utterance" else utterance.speaker


def contributions(found: Places, unit: str) -> dict[str, list[Contribution]]:
    """By unit what it adds; of one that is listed and adds nothing, nothing."""
    told: dict[str, list[Contribution]] = {}
    for item in found.recordings:
        key = name_of(unit, item.utterance)
        key = (
            f"other {item.utterance.path.stem}" if unit == "utterance" and "other" in item.utterance.path.stem else key
        )
        own = told.setdefault(key, [])
        if item.versions:
            made = tuple(version.numpy().tobytes() for version in item.versions)
            own.append((item.utterance.path.name, item.utterance.emotion, made))
    return told


ROWS = st.lists(
    st.tuples(
        st.integers(0, CONTENTS - 1),
        st.integers(0, COPIES - 1),
        st.sampled_from("abc"),
        st.sampled_from(["anger", "sadness"]),
        st.sampled_from([None, None, "train", "test"]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@settings(max_examples=60, deadline=None)
@given(rows=ROWS, more=ROWS.filter(bool))
def test_one_units_rows_change_nothing_of_what_others_contribute(
    folder: Path, unit: str, rows: Drawn, more: Drawn
) -> None:
    def made(some: Drawn) -> list[Utterance]:
        marks = unit == "utterance"  # a marked person is held out before, and whole
        return [row(folder, f"{k}-{c}.npy", s, e, mark if marks else None) for c, k, s, e, mark in some]

    world, changes = [*others(folder), *made(rows)], made(more)
    one = name_of(unit, changes[0])
    changes = [item for item in changes if name_of(unit, item) == one]
    without = [item for item in world if name_of(unit, item) != one or "other" in item.path.stem]
    before = contributions(places(folder, unit, world), unit)
    for neighbour in (without, [*without, *changes], [*world, *changes]):
        after = contributions(places(folder, unit, neighbour), unit)
        before.pop(one, None)
        after.pop(one, None)
        assert list(after.items()) == list(before.items())  # in the same order too: each has the place that it had


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_how_many_units_there_are_hangs_on_the_list_and_not_on_what_can_be_used(
    folder: Path, unit: str, rows: Drawn
) -> None:
    world = sorted(
        [*others(folder), *(row(folder, f"{k}-{c}.npy", s, e) for c, k, s, e, _ in rows)],
        key=lambda item: item.path.as_posix(),
    )
    found = places(folder, unit, world)
    listed = {item.speaker for item in world} if unit == "speaker" else {item.path.stem[2:] for item in world}
    assert UNITS[unit].count([item.utterance for item in found.recordings]) == len(listed)
    assert count_units(UNITS[unit], world, [digest_of(item) for item in world]) == len(listed)
    assert found.speakers == len({item.speaker for item in world})


def used(found: Places) -> list[str]:
    return [item.utterance.path.name for item in found.recordings if item.versions]


def test_a_recording_is_its_content(folder: Path) -> None:
    twice = [row(folder, f"{copy}-0.npy", "a") for copy in range(COPIES)]
    found = places(folder, "utterance", [*others(folder), *twice, twice[0]])
    assert len(found.recordings) == 21
    assert used(found)[0] == "0-0.npy"  # the first by path
    assert [(item.kind, Path(item.name).name) for item in found.unused] == [
        ("duplicate", "0-0.npy"),
        ("duplicate", "1-0.npy"),
        ("duplicate", "2-0.npy"),
    ]


def test_a_content_under_two_labels_keeps_its_place_and_contributes_nothing(folder: Path) -> None:
    doubtful = [row(folder, "0-0.npy", "a"), row(folder, "1-0.npy", "a", "sadness")]
    found = places(folder, "utterance", [*others(folder), *doubtful])
    assert len(found.recordings) == 21
    assert len(used(found)) == 20
    assert {item.kind for item in found.unused} == {"duplicate-label"}


def test_what_is_broken_or_of_another_width_keeps_its_place(folder: Path) -> None:
    bad = [row(folder, f"0-{content}.npy", "a") for content in (ODD, BROKEN)]
    for unit, count in (("utterance", 22), ("speaker", 4)):
        found = places(folder, unit, [*others(folder), *bad])
        assert UNITS[unit].count([item.utterance for item in found.recordings]) == count
        assert len(used(found)) == 20
        assert found.width == 3


def test_copies_within_a_person_change_nothing(folder: Path) -> None:
    own = [row(folder, f"0-{content}.npy", "a") for content in range(3)]
    copies = [row(folder, f"{copy}-{content}.npy", "a") for copy in (1, 2) for content in range(3)]
    once, often = (places(folder, "speaker", [*others(folder), *some]) for some in (own, [*own, *copies]))
    assert contributions(once, "speaker") == contributions(often, "speaker")


def test_the_bytes_of_two_people_are_each_ones(folder: Path) -> None:
    rows = [row(folder, "0-0.npy", "a"), row(folder, "1-0.npy", "b", "sadness")]
    found = places(folder, "speaker", [*others(folder), *rows])
    assert {"0-0.npy", "1-0.npy"} < set(used(found))


def test_sound_has_the_width_of_the_settings_whatever_can_be_read(folder: Path) -> None:
    rows = [dataclasses.replace(item, path=item.path.with_suffix(".wav")) for item in others(folder)]
    found = take_places(UNITS["utterance"], rows, lambda own: each(folder, own), FeatureConfig(mfcc=4, deltas=0))
    assert (len(found.recordings), len(used(found))) == (20, 0)
    assert found.width == dimension(FeatureConfig(mfcc=4, deltas=0))

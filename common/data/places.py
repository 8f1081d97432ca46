"""The places of a private run's units at one site: each unit is cleaned by looking at it alone, and keeps its place.

Of an ``utterance`` the unit is a content: rows of the same bytes and the same stretch are one, of which the first by
path trains, and nothing where their labels differ. Of a ``speaker`` it is all that the list has of that person, in
which a content trains once. A unit of which nothing can be used is counted and drawn as the others are, and contributes
nothing; so what a unit contributes, and how many units there are, is the same whatever the others say.

Public, beside the numbers of units, recordings and speakers: how many features a frame has. Of sound the settings tell;
of matrices it is what most of the list have, and others contribute nothing. What crosses units, such as bytes under two
speakers, is what ``fedser corpus check`` lists, before a run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from common.config.settings import FeatureConfig
from common.config.units import Unit
from common.curation.contents import refuse_overlaps, same_content, sounds_of
from common.curation.contents import span as span_of
from common.curation.problems import usual_width
from common.data.extraction import Found, Recording, Skipped
from common.features.front_end import dimension
from common.splits.folds import TEST
from common.utterance import Utterance

Row = tuple[Utterance, Found]


@dataclass(frozen=True, kw_only=True)
class Places:
    """A site's units; how many they, their contents and the speakers are is public, whatever can be used of them.

    Attributes:
        recordings: a content each, in the order of the list, by its first row; without a version where nothing of it
            can be used.
        speakers: people of whom a recording is listed to train on.
        width: features of a frame.
        unused: the rows that contribute nothing, for the site's own log.
    """

    recordings: list[Recording]
    speakers: int
    width: int
    unused: list[Skipped]


@dataclass(frozen=True, eq=False)
class _Content:
    """The rows of one content in one unit, by path."""

    unit: Hashable
    rows: list[Row]

    @property
    def held_out(self) -> bool:
        """Whether it is not listed to train on."""
        return all(row.split == TEST for row, _ in self.rows)

    def fault(self, width: int) -> tuple[str, str] | None:
        """Why nothing of it trains, as a kind and a detail; None where the first row does."""
        first = self.rows[0][1]
        if isinstance(first, Skipped):
            return first.kind, first.detail
        if len({row.emotion for row, _ in self.rows}) > 1:
            return "duplicate-label", "the same bytes under two labels"
        if any(row.split == TEST for row, _ in self.rows):
            return "duplicate", "the same bytes are held out"
        if (found := first.versions[0].shape[1]) != width:
            return "mixed", f"{found} features, the site's have {width}"
        return None

    def recording(self, width: int) -> Recording:
        """What trains of it: its first row's, or its place alone."""
        row, found = self.rows[0]
        return Recording(utterance=row, versions=()) if isinstance(found, Skipped) or self.fault(width) else found

    def unused(self, width: int) -> list[Skipped]:
        """Its rows that contribute nothing."""
        fault, first = self.fault(width), self.rows[0][0]
        kind, detail = fault or ("duplicate", f"the same bytes as {first.name}, which is used")
        return [Skipped(name=row.name, kind=kind, detail=detail) for row, _ in self.rows[0 if fault else 1 :]]


def take_places(
    unit: Unit,
    utterances: Sequence[Utterance],
    extract: Callable[[Sequence[Utterance]], Sequence[Found]],
    features: FeatureConfig,
) -> Places:
    """The places of those who train at one site.

    Args:
        unit: of privacy, an ``utterance`` or a ``speaker``.
        utterances: the rows of the list, of speakers who are not held out.
        extract: gives the features of each row, looking at it alone.
        features: of the run.

    Raises:
        CorpusError: stretches of one file overlap, and are two units'.
    """
    refuse_overlaps(unit, utterances)
    rows = list(zip(utterances, extract(utterances), strict=True))
    contents = [content for content in _contents(unit, rows) if not content.held_out]
    width = frame_width(rows, features)
    return Places(
        recordings=[content.recording(width) for content in contents],
        speakers=len({row.speaker for content in contents for row, _ in content.rows if row.split != TEST}),
        width=width,
        unused=[item for content in contents for item in content.unused(width)],
    )


def count_units(unit: Unit, utterances: Sequence[Utterance], digests: Sequence[str]) -> int:
    """How many units a list has, as ``take_places`` counts them.

    Args:
        unit: of privacy, an ``utterance`` or a ``speaker``.
        utterances: the rows, of speakers who are not held out.
        digests: of each row; empty where it is not known, or cannot be read.
    """
    rows: list[Row] = [
        (row, Skipped(name=row.name, kind="", detail="", digest=digest))
        for row, digest in zip(utterances, digests, strict=True)
    ]
    return len({content.unit for content in _contents(unit, rows) if not content.held_out})


def _contents(unit: Unit, rows: Sequence[Row]) -> list[_Content]:
    """The contents of each unit, in the order of their first rows."""
    owners = ["" if unit.owner is None else unit.owner(row) for row, _ in rows]
    items = sounds_of([(row, found.digest) for row, found in rows], owners)
    made = []
    for group in same_content(items, joined=unit.single):
        own = sorted((rows[place] for place in group), key=lambda row: (row[0].path.as_posix(), span_of(row[0])))
        made.append(_Content(unit=group[0] if unit.single else owners[group[0]], rows=own))
    return made


def frame_width(rows: Sequence[Row], features: FeatureConfig) -> int:
    """How many features a frame has: those of sound, unless most of the list are matrices; then what most of them have.

    Args:
        rows: of one site.
        features: of the run.
    """
    matrices = [found for row, found in rows if row.is_matrix]
    if 2 * len(matrices) <= len(rows):
        return dimension(features)
    widths = sorted(found.versions[0].shape[1] for found in matrices if isinstance(found, Recording))
    return usual_width(widths) or dimension(features)

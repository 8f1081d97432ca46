"""What can be wrong with a corpus as a whole: copies, contradictions, labels and files that it should not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from common.corpora import catalogue
from common.curation.contents import overlaps, real_path, seconds, sounds_of
from common.curation.probe import Reading
from common.curation.selection import Selection
from common.spelling import near_equal
from common.utterance import EMOTIONS, Utterance

Pair = tuple[Utterance, Reading]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to look at: its kind (see ``common.curation.preflight``), the file or the root, and what was found."""

    kind: str
    path: str
    detail: str


def problem_with(kind: str, utterance: Utterance, detail: str) -> Problem:
    """A problem with one utterance; the detail names the part of the file where it is no more than that."""
    parts = [part if part.startswith("channel") else f"{part} s" for part in utterance.part]
    return Problem(kind=kind, path=str(utterance.path), detail=detail + (f" ({', '.join(parts)})" if parts else ""))


def of_one_width(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Problem]]:
    """Those that have as many features as most, and a problem for each of the others; audio counts as one width."""
    most = usual_width(reading.width for _, reading in pairs)
    problems = [
        problem_with("mixed", item, f"is {_described(reading.width)}, most of the others are {_described(most)}")
        for item, reading in pairs
        if reading.width != most
    ]
    return [pair for pair in pairs if pair[1].width == most], problems


def usual_width(widths: Iterable[int]) -> int:
    """The number of features that most have; 0 of none."""
    return next((width for width, _ in Counter(widths).most_common(1)), 0)


def _described(width: int) -> str:
    return f"a matrix of {width} features" if width else "audio"


def same_bytes(items: Sequence[tuple[Utterance, str]]) -> tuple[set[int], list[Problem]]:
    """What comes more than once.

    Args:
        items: utterances, each with a digest of its bytes; what is one content is ``sounds_of``'s to say.

    Returns:
        The positions of those not to use, and the problems. Copies under one label and one speaker are used: they
        never straddle a split, and released corpora have some (RAVDESS). Of the same bytes under two labels or two
        speakers none is used, for which of them is right cannot be told.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, content in enumerate(sounds_of(items, [""] * len(items))):
        groups.setdefault(content, []).append(number)
    untrusted: set[int] = set()
    problems: list[Problem] = []
    for numbers in groups.values():
        members = [items[number][0] for number in numbers]
        conflicts = list(_conflicts(members))
        untrusted.update(numbers if conflicts else ())
        problems += conflicts
        if not conflicts:
            problems += [
                problem_with("duplicate", item, f"the same bytes as {members[0].path}") for item in members[1:]
            ]
    return untrusted, problems


def _conflicts(members: Sequence[Utterance]) -> Iterator[Problem]:
    for kind, noun, names in (
        ("duplicate-label", "labels", [item.emotion for item in members]),
        ("duplicate-speaker", "speakers", [item.speaker for item in members]),
    ):
        if len(set(names)) > 1:
            for item in members:
                others = ", ".join(sorted({other.path.name for other in members if other is not item}))
                found = ", ".join(sorted(set(names)))
                yield problem_with(kind, item, f"the same bytes as {others}, under the {noun} {found}")


def overlapping(pairs: Sequence[Pair]) -> Iterator[Problem]:
    """Each stretch that overlaps another of the same bytes, be they those of a copy."""
    files: dict[Hashable, list[Utterance]] = {}
    for item, reading in pairs:
        files.setdefault(reading.digest.split(" ")[0] or real_path(item), []).append(item)
    for later, other in overlaps(files):
        where = "the same file" if later.path == other.path else f"its copy {other.path}"
        yield problem_with("overlap", later, f"overlaps {seconds(other)} of {where}")


def listing_problems(selection: Selection) -> Iterator[Problem]:
    """What the listing alone shows: labels that are no emotion, files left out."""
    known = {*EMOTIONS, *catalogue.non_labels(selection.corpus, selection.root)}
    known.update(label for merged in selection.classes.values() for label in merged)
    for item in selection.listed:
        if item.emotion not in known:
            yield problem_with(
                "unknown-label", item, f"label {item.emotion!r}: choose it in --classes, or use --label-map"
            )
    for kind, path, detail in catalogue.find_passed_over(selection.corpus, selection.root, selection.listed):
        yield Problem(kind=kind, path=str(path), detail=detail)


def spelling_problems(selection: Selection) -> Iterator[Problem]:
    """Speakers, and sites, that are spelled alike and may be one; speakers where nobody said whether they are."""
    root = str(selection.root)
    counts = Counter(item.speaker for item in selection.listed)
    for group in selection.alike:
        found = ", ".join(f"{speaker!r} ({counts[speaker]} recordings)" for speaker in group)
        yield Problem(kind="speaker-ids", path=root, detail=f"{found}: one person, or several? Say it by --speaker-ids")
    for group in near_equal(item.site for item in selection.listed if item.site):
        found = ", ".join(map(repr, group))
        yield Problem(kind="site-names", path=root, detail=f"{found} are {len(group)} sites: spell one site in one way")


def class_problems(selection: Selection, usable: Sequence[Utterance]) -> Iterator[Problem]:
    """The chosen classes that nobody, or only one speaker, has usable utterances of."""
    root = str(selection.root)
    for name in selection.classes:
        speakers = sorted({item.speaker for item in usable if item.emotion == name})
        if not speakers:
            yield Problem(kind="missing-class", path=root, detail=f"{name} has no usable utterance")
        elif len(speakers) == 1:
            yield Problem(kind="single-speaker-class", path=root, detail=f"only speaker {speakers[0]} has {name}")

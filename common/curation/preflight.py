"""What is in a corpus and what is wrong with it, before a job of hours finds out.

Every chosen file is read once. What cannot be used is not counted; what can be used but should be looked at is:

============================ ======== ==========================================================================
kind                         counted  meaning
============================ ======== ==========================================================================
unreadable, truncated, short no       the file is missing, broken, cut off, or under 0.1 s
non-finite, silent           no       NaN or infinity; nothing above -80 dB of full scale
mixed                        no       features of another width than most, or matrices among recordings
constant                     no       one level throughout, as of a microphone that was not plugged in
beyond-full-scale            no       floats that do not lie from -1 to 1, such as 16-bit numbers kept as floats
clipped                      yes      over 1 % of the samples at full scale
long                         yes      over a minute under one label
wrong-length                 yes      the header says less than is there, as where it was never set: all is used
gap                          yes      pages of an OGG are missing: what is there is used
unended                      yes      no mark of the stream's end, as from messengers: all that decodes is used
duplicate                    yes      the same bytes again, same label and speaker (released corpora have some); or the
                                      same file name again, in another folder or format: then the first alone is used
overlap                      yes      a stretch of a file that overlaps another one's: a run that hides recordings
                                      refuses such a list, for one sound would be in several of what it hides
duplicate-label              no       the same bytes under two labels: none is counted, for none can be trusted
duplicate-speaker            no       the same bytes under two speakers: the same
unknown-label, unknown-name  no       a label that is no emotion; a file not named as the corpus names its own
unlabelled                   no       a session of IEMOCAP with recordings and no label file
speaker-ids                  yes      speakers spelled alike (``s4``, ``S04``): one person may be in train and in test
site-names                   yes      sites spelled alike, which ``--sites column`` would take for several
missing-class                --       a chosen class without a usable utterance
single-speaker-class         --       a class that cannot be both learned from one speaker and tested on another
============================ ======== ==========================================================================

A run leaves out what is not counted and goes on, so that the last two alone, speakers spelled alike, and fewer than two
classes, are obstacles. A private run looks at each unit alone: there copies of one unit are one recording, and what is
doubtful beside another unit's recordings (``duplicate-speaker``, ``mixed``) is for this list to say, before the run
(``common.data.places``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from common.curation.probe import read_all
from common.curation.problems import (
    Pair,
    Problem,
    class_problems,
    listing_problems,
    of_one_width,
    overlapping,
    problem_with,
    same_bytes,
    spelling_problems,
)
from common.curation.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Counts of the usable utterances in the chosen classes, and the problems."""

    corpus: str
    utterances: int
    hours: float
    classes: dict[str, int]
    speakers: dict[str, int]
    sessions: dict[str, int]
    sample_rates: dict[str, int]
    problems: tuple[Problem, ...]

    def obstacles(self) -> list[str]:
        """What to do before this corpus can be used, a sentence each; empty if it can."""
        kinds = Counter(problem.kind for problem in self.problems)
        todo = []
        if len(self.classes) < 2:
            todo.append("fewer than 2 classes: choose the labels with --classes, or rename them with --label-map")
        if kinds["missing-class"] or kinds["single-speaker-class"]:
            todo.append(
                "each class needs usable recordings of at least 2 speakers: mend or add some, or choose the other "
                "classes with --classes"
            )
        if kinds["speaker-ids"]:
            todo.append("say whether speakers spelled alike are one person: --speaker-ids merge, or distinct")
        return todo


def check(
    selection: Selection, *, workers: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> Preflight:
    """Read every chosen file, count, and list what is wrong.

    Args:
        selection: as ``common.curation.selection.list_corpus`` gives it.
        workers: processes; None for up to one a core, 0 for none beside this one.
        progress: called with the number of files read.

    Raises:
        CorpusError: a worker process died.
    """
    readings = []
    for reading in read_all(selection.utterances, workers):
        readings.append(reading)
        progress(len(readings))
    pairs = list(zip(selection.utterances, readings, strict=True))
    problems = [problem_with(kind, item, detail) for item, reading in pairs for kind, detail in reading.faults]
    pairs, mixed = of_one_width([pair for pair in pairs if pair[1].usable])
    untrusted, doubled = same_bytes([(item, reading.digest) for item, reading in pairs])
    usable = [pair for number, pair in enumerate(pairs) if number not in untrusted]
    problems += [*mixed, *doubled, *overlapping(pairs), *listing_problems(selection), *spelling_problems(selection)]
    problems += class_problems(selection, [item for item, _ in usable])
    return _count(selection, usable, sorted(problems, key=lambda problem: (problem.kind, problem.path)))


def _count(selection: Selection, usable: Sequence[Pair], problems: Sequence[Problem]) -> Preflight:
    utterances = [item for item, _ in usable]
    by_class = Counter(item.emotion for item in utterances)
    return Preflight(
        corpus=selection.corpus,
        utterances=len(usable),
        hours=round(sum(reading.seconds for _, reading in usable) / 3600, 6),
        classes={name: by_class[name] for name in selection.classes},
        speakers=_sorted_counts(item.speaker for item in utterances),
        sessions=_sorted_counts(item.session for item in utterances if item.session is not None),
        sample_rates=_sorted_counts(str(reading.rate) for _, reading in usable if reading.rate is not None),
        problems=tuple(problems),
    )


def _sorted_counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def as_json(preflight: Preflight) -> dict[str, Any]:
    """The preflight as ``fedser corpus check --json`` prints it."""
    return {**vars(preflight), "problems": [vars(problem) for problem in preflight.problems]}

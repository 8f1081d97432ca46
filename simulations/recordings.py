"""A corpus as a Python program looks at it: its utterances, its classes, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.curation.preflight import Preflight, check
from common.curation.problems import Problem
from common.curation.selection import Selection
from common.utterance import Utterance


@dataclass(frozen=True)
class Corpus:
    """A corpus, and what was chosen of it.

    Attributes:
        selection: what it offers, and what was chosen.
    """

    selection: Selection

    @property
    def name(self) -> str:
        """The corpus's name."""
        return self.selection.corpus

    @property
    def root(self) -> Path:
        """Its folder, or the manifest."""
        return self.selection.root

    @property
    def synthetic(self) -> bool:
        """Whether nobody ever spoke it."""
        return self.selection.synthetic

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """Those of the classes, sorted by path; the ``emotion`` of each is its class."""
        return tuple(self.selection.utterances)

    @property
    def classes(self) -> dict[str, int]:
        """The number of utterances of each class, in the order that numbers them."""
        counts = Counter(utterance.emotion for utterance in self.selection.utterances)
        return {name: counts[name] for name in self.selection.classes}

    @property
    def speakers(self) -> dict[str, int]:
        """The number of utterances of each speaker."""
        return dict(sorted(Counter(utterance.speaker for utterance in self.selection.utterances).items()))

    @cached_property
    def preflight(self) -> Preflight:
        """What ``fedser corpus check`` finds; every recording is read, once."""
        from simulations.quiet import restore_process

        with restore_process(silent=True):
            return check(self.selection)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the recordings; every one is read, once."""
        return self.preflight.problems

    def __len__(self) -> int:
        return len(self.selection.utterances)

    def __repr__(self) -> str:
        made_up = ", synthetic" if self.synthetic else ""
        classes = ", ".join(f"{name} {count}" for name, count in self.classes.items())
        counts = f"{len(self)} utterances of {len(self.speakers)} speakers"
        return f"<Corpus {self.name} at {self.root}{made_up}: {counts}; {classes}>"

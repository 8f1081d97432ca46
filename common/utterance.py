"""One labelled stretch of speech, and the names of the emotions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from common.spelling import written

# The names that fedser writes, and the spellings of the corpora and of users that it reads as them.
EMOTIONS: dict[str, tuple[str, ...]] = {
    "anger": ("ang", "angry"),
    "boredom": ("bor", "bored"),
    "calm": ("calmness",),
    "disgust": ("dis", "disgusted"),
    "excitement": ("exc", "excited"),
    "fear": ("fea", "fearful", "afraid"),
    "frustration": ("fru", "frustrated"),
    "happiness": ("hap", "happy", "joy"),
    "neutral": ("neu", "neutrality"),
    "sadness": ("sad",),
    "surprise": ("sur", "surprised", "pleasant_surprise", "ps"),
}
_NAMES = {spelling: name for name, spellings in EMOTIONS.items() for spelling in (name, *spellings)}


def emotion_name(label: str) -> str:
    """The name of an emotion for a label in any known spelling; an unknown label stays as it is, in lower case."""
    text = written(label).strip().lower()
    return _NAMES.get(text, text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One labelled utterance; speaker, session and site are spelled as ``common.spelling.written`` has them.

    Attributes:
        path: the audio file, or a ``.npy`` feature matrix of shape ``(frames, features)``.
        emotion: the label, as ``emotion_name`` writes it.
        speaker: the corpus's own text for the speaker (``03``, not 3).
        corpus: the corpus's name.
        session: the recording session, where the corpus has sessions.
        gender: ``female`` or ``male``, where it is known.
        language: an ISO 639 code, where it is known.
        site: the site that holds it, where a manifest says so.
        split: ``train`` or ``test``, where a manifest says so.
        start: where it begins in the file, in seconds; None for the file's beginning.
        end: where it ends in the file, in seconds; None for the file's end.
        channel: the one of the file that it is, counted from 0; None for the mean of all.
        style: ``improvised`` or ``scripted``, where the corpus tells them apart.
        text: the words that are said, where somebody wrote them down; no message or log shows them.
    """

    path: Path
    emotion: str
    speaker: str
    corpus: str
    session: str | None = None
    gender: str | None = None
    language: str | None = None
    site: str | None = None
    split: str | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    style: str | None = None
    text: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("speaker", "session", "site"):
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, written(value))  # the way that a frozen dataclass has

    @property
    def name(self) -> str:
        """Its path, with the stretch and the channel where it is part of a file: no two utterances share it."""
        return "#".join((str(self.path), *self.part))

    @property
    def is_matrix(self) -> bool:
        """Whether it comes as features that somebody else has computed, and not as a sound."""
        return self.path.suffix.lower() == ".npy"

    @property
    def part(self) -> tuple[str, ...]:
        """Of which stretch and channel of its file it is; empty where it is all of it."""
        stretch = f"{self.start or 0:g}-{'' if self.end is None else format(self.end, 'g')}"
        cut = self.start is not None or self.end is not None
        return (*([stretch] if cut else []), *([] if self.channel is None else [f"channel {self.channel}"]))

"""The settings of what is said beside how it is said; a section of ``common.config.settings``."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import UsageError
from common.validate import in_range


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Whether the words count, where a corpus has them; see ``common.models.hashed_words``.

    Attributes:
        buckets: that n-grams are hashed into, as 4096; 0 for sound alone.
        words: n-grams of so many words at most; 0 for none.
        characters: n-grams of so many characters of a word; 0 for none.
        weight: by which what the words say is multiplied before it is added to what the sound says; the larger, the
            faster are the words learnt.
    """

    buckets: int = 0
    words: int = 2
    characters: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        in_range("text.buckets", self.buckets, 0, 2**18)
        in_range("text.words", self.words, 0, 5)
        in_range("text.characters", self.characters, 0, 10)
        in_range("text.weight", self.weight, 0.01, 100.0)
        if not (self.words or self.characters):
            raise UsageError("text.words and text.characters are 0, expected n-grams of at least one of them")

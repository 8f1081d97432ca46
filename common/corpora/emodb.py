"""EMO-DB, the Berlin database: ten actors speak ten German sentences in seven emotions.

``03a01Wa``: speaker (03), sentence (a01), emotion (the German word's first letter: W is Wut, anger), version (a).
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import find_named, first_of_each
from common.utterance import Utterance

LICENCE = "CC0: public domain"
SOURCE = "http://emodb.bilderbar.info/download/"
LANGUAGE = "de"
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
CLASSES: dict[str, tuple[str, ...]] = {name: (name,) for name in EMOTIONS.values()}
WOMEN = frozenset({"08", "09", "13", "14", "16"})
MEN = frozenset({"03", "10", "11", "12", "15"})
NAME = re.compile(r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[a-z])[a-z]?", re.IGNORECASE)


def cite() -> str:
    """The paper to cite."""
    return (
        "F. Burkhardt, A. Paeschke, M. Rolfes, W. F. Sendlmeier and B. Weiss: A Database of German Emotional Speech. "
        "Interspeech 2005, 1517-1520. doi:10.21437/Interspeech.2005-446"
    )


def load(root: Path) -> list[Utterance]:
    """The recordings under a root; an unknown emotion letter stays as it is.

    Raises:
        CorpusError: the root holds no EMO-DB recording.
    """
    matches = find_named(root, "EMO-DB", NAME, "03a01Wa.wav")
    return first_of_each(_utterance(path, match) for path, match in matches)


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    speaker = match["speaker"]
    letter = match["emotion"].upper()
    return Utterance(
        path=path,
        emotion=EMOTIONS.get(letter, letter.lower()),
        speaker=speaker,
        gender="female" if speaker in WOMEN else "male" if speaker in MEN else None,
        corpus="emodb",
        language=LANGUAGE,
    )

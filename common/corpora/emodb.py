"""EMO-DB, the Berlin database: ten actors speak ten German sentences in seven emotions.

``03a01Wa``: speaker (03), sentence (a01), emotion (the German word's first letter: W is Wut, anger), version (a).
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import find_named, first_of_each
from common.errors import CorpusError
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
LARYNGOGRAMS = "laryngo"  # a folder of version 2.0
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
        CorpusError: the root holds no EMO-DB recording, or two different ones of one name.
    """
    matches = find_named(root, "EMO-DB", NAME, "03a01Wa.wav")
    spoken = [_utterance(path, match) for path, match in matches if not passes_over(root, path)]
    if not spoken:
        raise CorpusError(f"no EMO-DB speech under {root}: found laryngograms alone, such as {matches[0][0]}")
    return first_of_each(spoken)


def passes_over(root: Path, path: Path) -> bool:
    """Whether a file is a laryngogram, which version 2.0 has of each recording, under the same name."""
    return LARYNGOGRAMS in (part.lower() for part in path.relative_to(root).parts[:-1])


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

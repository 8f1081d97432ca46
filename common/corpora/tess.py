"""TESS: an older (OAF) and a younger (YAF) woman say 200 words in seven emotions, ``OAF_back_angry``.

With two speakers it can show that a pipeline runs, not that a model knows new voices. One file of the original release
is named ``OA_bite_neutral``; it is the older woman's.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import find_named, first_of_each
from common.utterance import Utterance, emotion_name

LICENCE = "CC BY-NC-ND 4.0: research only, no commercial use, no derivatives"
SOURCE = "https://doi.org/10.5683/SP2/E8H2MF (Borealis Dataverse)"
LANGUAGE = "en"
CLASSES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
}
NAME = re.compile(r"(?P<speaker>OA|YA)F?_[a-z-]+_(?P<emotion>[a-z]+)", re.IGNORECASE)


def cite() -> str:
    """The data set to cite."""
    return (
        "M. K. Pichora-Fuller and K. Dupuis: Toronto Emotional Speech Set (TESS). Borealis, 2020. "
        "doi:10.5683/SP2/E8H2MF"
    )


def load(root: Path) -> list[Utterance]:
    """The recordings under a root.

    Raises:
        CorpusError: the root holds no TESS recording.
    """
    matches = find_named(root, "TESS", NAME, "OAF_back_angry.wav")
    return first_of_each(_utterance(path, match) for path, match in matches)


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    return Utterance(
        path=path,
        emotion=emotion_name(match["emotion"]),
        speaker=match["speaker"].upper() + "F",
        gender="female",
        corpus="tess",
        language=LANGUAGE,
    )

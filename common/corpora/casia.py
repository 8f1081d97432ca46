"""CASIA: four professional speakers of Mandarin read sentences in six emotions, ``SPEAKER/EMOTION/NNN.wav``.

The release does not state the speakers' gender in its folders, so none is given here.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import find_named, first_of_each
from common.errors import CorpusError
from common.utterance import Utterance, emotion_name

LICENCE = "licensed by the Chinese Linguistic Data Consortium: research, no redistribution"
SOURCE = "http://www.chineseldc.org (CASIA Chinese emotional speech corpus)"
LANGUAGE = "zh"
CLASSES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("anger", "fear", "happiness", "neutral", "sadness", "surprise")
}
NAME = re.compile(r"\d+")


def cite() -> str:
    """The paper to cite."""
    return (
        "J. Tao, F. Liu, M. Zhang and H. Jia: Design of Speech Corpus for Mandarin Text to Speech. "
        "The Blizzard Challenge 2008 Workshop, 2008."
    )


def load(root: Path) -> list[Utterance]:
    """The recordings under a root; a folder that is no known emotion gives its name as the label.

    Raises:
        CorpusError: the root holds no recording in a folder named after an emotion.
    """
    matches = find_named(root, "CASIA", NAME, "SPEAKER/angry/201.wav")
    utterances = [_utterance(path) for path, _ in matches if len(path.relative_to(root).parts) > 2]
    if not any(utterance.emotion in CLASSES for utterance in utterances):
        raise CorpusError(
            f"no CASIA under {root}: looked for SPEAKER/EMOTION/NNN.wav with emotions such as angry, happy and sad, "
            f"found {matches[0][0].relative_to(root)}"
        )
    return first_of_each(utterances)


def _utterance(path: Path) -> Utterance:
    return Utterance(
        path=path,
        emotion=emotion_name(path.parent.name),
        speaker=path.parent.parent.name,
        corpus="casia",
        language=LANGUAGE,
    )

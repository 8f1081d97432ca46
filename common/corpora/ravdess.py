"""RAVDESS: 24 Canadian actors speak two sentences in eight emotions; the file's name says it all.

``03-01-05-02-01-02-12``: modality (03 audio only), channel (01 speech, 02 song), emotion, intensity, statement,
repetition, actor (odd: men). Songs and the sound of videos are passed over.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import find_named, first_of_each
from common.errors import CorpusError
from common.utterance import Utterance

LICENCE = "CC BY-NC-SA 4.0: research only, no commercial use"
SOURCE = "https://zenodo.org/records/1188976 (Audio_Speech_Actors_01-24.zip)"
LANGUAGE = "en"
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
CLASSES: dict[str, tuple[str, ...]] = {name: (name,) for name in sorted(EMOTIONS.values())}
NAME = re.compile(r"(?P<kind>\d\d-\d\d)-(?P<emotion>\d\d)-\d\d-\d\d-\d\d-(?P<actor>\d\d)")


def cite() -> str:
    """The paper to cite."""
    return (
        "S. R. Livingstone and F. A. Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS). "
        "PLoS ONE 13(5), e0196391, 2018. doi:10.1371/journal.pone.0196391"
    )


def load(root: Path) -> list[Utterance]:
    """The spoken recordings under a root; an unknown emotion number stays as it is.

    Raises:
        CorpusError: the root holds no spoken RAVDESS recording.
    """
    example = "03-01-05-02-01-02-12.wav"
    matches = find_named(root, "RAVDESS", NAME, example)
    spoken = [_utterance(path, match) for path, match in matches if match["kind"] == "03-01"]
    if not spoken:
        found = matches[0][0].name
        raise CorpusError(
            f"no RAVDESS speech under {root}: looked for names like {example}, found only such as {found}"
        )
    return first_of_each(spoken)


def passes_over(_: Path, path: Path) -> bool:
    """Whether a file is a song, or a video with or without its sound."""
    match = NAME.fullmatch(path.stem)
    return match is not None and match["kind"] != "03-01"


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    return Utterance(
        path=path,
        emotion=EMOTIONS.get(match["emotion"], match["emotion"]),
        speaker=match["actor"],
        gender="male" if int(match["actor"]) % 2 else "female",
        corpus="ravdess",
        language=LANGUAGE,
    )

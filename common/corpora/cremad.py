"""CREMA-D: 91 American actors speak twelve sentences in six emotions.

``1001_DFA_ANG_XX``: actor, sentence, emotion, intensity. The actors' gender stands in ``VideoDemographics.csv``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from common import edited_text
from common.corpora.files import find_named, first_of_each, walk
from common.errors import CorpusError
from common.utterance import Utterance, emotion_name

LICENCE = "Open Database License 1.0, contents under the Database Contents License 1.0"
SOURCE = "https://github.com/CheyneyComputerScience/CREMA-D"
LANGUAGE = "en"
CLASSES: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
}
NAME = re.compile(r"(?P<speaker>\d{4})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}", re.IGNORECASE)
DEMOGRAPHICS = "VideoDemographics.csv"


def cite() -> str:
    """The paper to cite."""
    return (
        "H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova and R. Verma: CREMA-D: Crowd-Sourced Emotional "
        "Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4), 377-390, 2014. "
        "doi:10.1109/TAFFC.2014.2336244"
    )


def load(root: Path) -> list[Utterance]:
    """The recordings under a root, with the actors' gender where the demographics lie at or under the root.

    Raises:
        CorpusError: the root holds no CREMA-D recording, or the demographics cannot be read.
    """
    matches = find_named(root, "CREMA-D", NAME, "1001_DFA_ANG_XX.wav")
    genders = _genders(root)
    return first_of_each(_utterance(path, match, genders) for path, match in matches)


def _utterance(path: Path, match: re.Match[str], genders: dict[str, str]) -> Utterance:
    return Utterance(
        path=path,
        emotion=emotion_name(match["emotion"]),
        speaker=match["speaker"],
        gender=genders.get(match["speaker"]),
        corpus="cremad",
        language=LANGUAGE,
    )


def _genders(root: Path) -> dict[str, str]:
    path = next((folder / DEMOGRAPHICS for folder, names in walk(root) if DEMOGRAPHICS in names), None)
    if path is None:
        return {}
    try:
        rows = csv.DictReader(edited_text.read(path).splitlines())
        sexes = {row["ActorID"].strip(): row["Sex"].strip().lower() for row in rows}
    except (KeyError, AttributeError, ValueError, OSError, csv.Error):
        raise CorpusError(f"{path} cannot be read: expected CSV with the columns ActorID and Sex") from None
    return {actor: sex for actor, sex in sexes.items() if sex in ("female", "male")}

"""IEMOCAP: ten actors in five two-person sessions, improvised and scripted, labelled by several listeners.

``SessionN/dialog/EmoEvaluation/<dialog>.txt`` holds a label line for each turn, among the lines of single listeners
and comments; ``SessionN/sentences/wav/<dialog>/<utterance>.wav`` is its recording. The folders ``Categorical`` and
``Attribute`` beside the label files hold single listeners' votes and are passed over. What is said stands in
``SessionN/dialog/transcriptions/<dialog>.txt``, a line each turn, where these files are there.

An utterance is named ``Ses01F_impro01_M003``: the F says who wore the markers in that dialogue, the last F or M who
speaks. On the full release the default classes give 5,531 utterances.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.corpora.files import audio_files, exists, first_of_each, refuse_different, require_folder, walk
from common.errors import CorpusError
from common.utterance import Utterance, emotion_name

LICENCE = "IEMOCAP release form (University of Southern California): research only, no redistribution"
SOURCE = "https://sail.usc.edu/iemocap/iemocap_release.htm"
LANGUAGE = "en"
CLASSES: dict[str, tuple[str, ...]] = {
    "anger": ("anger",),
    "happiness": ("happiness", "excitement"),
    "neutral": ("neutral",),
    "sadness": ("sadness",),
}
NON_LABELS = frozenset({"xxx", "oth"})  # the listeners did not agree; another emotion
_LABELS = "dialog/EmoEvaluation/<dialog>.txt"
_RECORDINGS = "sentences/wav/<dialog>/<utterance>.wav"
_EXAMPLE = "Ses01F_impro01_F000.wav"
_LABEL_LINE = re.compile(
    r"\[\d+(?:\.\d+)? - \d+(?:\.\d+)?\]\s+"
    r"(?P<id>Ses(?P<session>\d\d)[FM]_(?P<style>impro|script)\w*_(?P<gender>[FM])\w*)\s+"
    r"(?P<label>[a-z]+)\s+\[[-\d., ]+\]\s*"
)
_SAID = re.compile(r"(?P<id>Ses\d\d[FM]_\w+)\s+\[[\d.]+\s*-\s*[\d.]+\]:?\s*(?P<words>.*)")
_TURN = re.compile(r"\[[\d.]+\s*-\s*[\d.]+\]\s+Ses\d")


def cite() -> str:
    """The paper to cite."""
    return (
        "C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee and S. S. Narayanan: "
        "IEMOCAP: Interactive emotional dyadic motion capture database. Language Resources and Evaluation 42(4), "
        "335-359, 2008. doi:10.1007/s10579-008-9076-6"
    )


def load(root: Path) -> list[Utterance]:
    """Every labelled utterance under a root, those without agreement (``xxx``) too.

    A labelled utterance without a recording is listed: reading it will say that it is missing.

    Args:
        root: ``IEMOCAP_full_release``, a folder above it, or one with some of its sessions.

    Raises:
        CorpusError: the root holds no labels or no recordings of IEMOCAP, or a label file is broken.
    """
    require_folder(root, "IEMOCAP", f"SessionN/{_LABELS} and SessionN/{_RECORDINGS}, such as {_EXAMPLE}")
    labels = [folder / name for folder, names in walk(root) for name in names if _is_label_file(folder / name)]
    sessions = {path: path.parents[2] for path in labels}
    recordings = {session: _recordings(session) for session in sorted(set(sessions.values()))}
    if not any(recordings.values()):
        missing = _RECORDINGS if labels else _LABELS
        raise CorpusError(f"no IEMOCAP under {root}: looked for SessionN/{missing}, found none")
    return first_of_each(turn for path in labels for turn in _turns(path, recordings[sessions[path]]))


def find_left_out(root: Path) -> list[tuple[str, Path, str]]:
    """Find sessions under a root whose recordings have no labels, which ``load`` therefore does not list.

    Returns:
        Problems as (kind, path, detail), of kind ``unlabelled``.
    """
    problems = []
    for folder, _ in walk(root):
        session, labels = folder.parent, folder.parent / "dialog" / "EmoEvaluation"
        if folder.name != "sentences" or any(map(_is_label_file, labels.glob("Ses*"))):
            continue
        if count := len(audio_files(folder)):
            detail = f"its {count} recordings are not used, for there are no labels: looked for {_LABELS}, found none"
            problems.append(("unlabelled", session, detail))
    return problems


def _is_label_file(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.parent.name == "EmoEvaluation" and path.name.startswith("Ses")


def _recordings(session: Path) -> dict[str, Path]:
    folder, first = session / "sentences", dict[str, Path]()
    for path in audio_files(folder) if exists(folder) else ():
        refuse_different(first.setdefault(path.stem, path), path)
    return first


def _turns(label_file: Path, recordings: dict[str, Path]) -> list[Utterance]:
    missing = label_file.parents[2] / "sentences" / "wav" / label_file.stem
    said = _transcript(label_file.parents[1] / "transcriptions" / label_file.name)
    turns: list[Utterance] = []
    for number, line in enumerate(_text(label_file).splitlines(), start=1):
        if match := _LABEL_LINE.fullmatch(line):
            path = recordings.get(match["id"], missing / f"{match['id']}.wav")
            turns.append(_utterance(match, path, said.get(match["id"])))
        elif _TURN.match(line):
            raise CorpusError(
                f"{label_file}, line {number}: expected [start - end], utterance, label and [v, a, d], found {line!r}"
            )
    if not turns:
        raise CorpusError(
            f"{label_file} holds no label line such as [6.29 - 8.24] {label_file.stem}_F000 neu [2, 2, 2]"
        )
    return turns


def _transcript(path: Path) -> dict[str, str]:
    """What is said in each turn of a dialogue; a turn without words is missing, as are all where there is no file."""
    lines = _text(path).splitlines() if exists(path) else []
    turns = (match for line in lines if (match := _SAID.fullmatch(line.strip())))
    return {match["id"]: match["words"] for match in turns if match["words"]}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None


def _utterance(match: re.Match[str], path: Path, text: str | None) -> Utterance:
    return Utterance(
        path=path,
        emotion=emotion_name(match["label"]),
        speaker=f"Ses{match['session']}{match['gender']}",
        session=str(int(match["session"])),
        gender="female" if match["gender"] == "F" else "male",
        style="improvised" if match["style"] == "impro" else "scripted",
        corpus="iemocap",
        language=LANGUAGE,
        text=text,
    )

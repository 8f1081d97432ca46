"""In which folders and under which names: the layouts of real corpora, and who says what how often in them.

Labels that are files of their own (IEMOCAP's turns, CREMA-D's list of actors, the manifest) are written beside.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UsageError
from common.validate import in_range, one_of
from simulations.synthesis import iemocap_layout
from simulations.synthesis.items import Item

FOUR = ("anger", "happiness", "neutral", "sadness")
Labels = Callable[[Path, Sequence[Item], Sequence[float]], None]

# EMO-DB's speakers, its women (08, 09, 13, 14, 16) and men (03, 10, 11, 12, 15) by turns; its texts; its letters.
EMODB_SPEAKERS = ("08", "03", "09", "10", "13", "11", "14", "12", "16", "15")
EMODB_TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
EMODB_LETTERS = {
    "anger": "W",
    "boredom": "L",
    "disgust": "E",
    "fear": "A",
    "happiness": "F",
    "neutral": "N",
    "sadness": "T",
}
RAVDESS_CODES = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")  # 01 to 08
RAVDESS_STRENGTH = (0.9, 1.25)  # of intensity 01 and 02
CREMAD_CODES = {"anger": "ANG", "disgust": "DIS", "fear": "FEA", "happiness": "HAP", "neutral": "NEU", "sadness": "SAD"}
CREMAD_SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
CREMAD_LEVELS = {"XX": 1.0, "LO": 0.6, "MD": 1.0, "HI": 1.4}  # an unspecified level first, as in most of CREMA-D
MANIFEST_COLUMNS = ("path", "emotion", "speaker", "session", "site", "gender", "language", "split")
MANIFEST_SITES = ("site-a", "site-b", "site-c", "site-d")


def gender_of(speaker: int, first: str = "female") -> str:
    """Women and men by turns."""
    other = "male" if first == "female" else "female"
    return (first, other)[speaker % 2]


def emodb(speaker: int, take: int, emotion: str, repeat: int) -> Item:
    """``wav/03a01Fa.wav``: speaker, text, emotion, version."""
    text, version = EMODB_TEXTS[repeat % 10], chr(ord("a") + repeat // 10)
    path = f"wav/{EMODB_SPEAKERS[speaker]}{text}{EMODB_LETTERS[emotion]}{version}.wav"
    return Item(path=path, emotion=emotion, speaker=speaker, take=take, gender=gender_of(speaker))


def ravdess(speaker: int, take: int, emotion: str, repeat: int) -> Item:
    """``Actor_12/03-01-05-02-01-02-12.wav``: sound, speech, emotion, intensity, statement, repetition, actor.

    Neutral has one intensity, the others two. Where the real corpus ends, at repetition 02, this one counts on.
    """
    intensities = 1 if emotion == "neutral" else 2
    intensity, rest = repeat % intensities, repeat // intensities
    code, actor = RAVDESS_CODES.index(emotion) + 1, speaker + 1
    name = f"03-01-{code:02d}-{intensity + 1:02d}-{rest % 2 + 1:02d}-{rest // 2 + 1:02d}-{actor:02d}.wav"
    return Item(
        path=f"Actor_{actor:02d}/{name}",
        emotion=emotion,
        speaker=speaker,
        take=take,
        gender=gender_of(speaker, "male"),
        strength=RAVDESS_STRENGTH[intensity],
    )


def cremad(speaker: int, take: int, emotion: str, repeat: int) -> Item:
    """``AudioWAV/1001_IEO_ANG_HI.wav``: actor, sentence, emotion, level."""
    sentence, level = CREMAD_SENTENCES[repeat % 12], list(CREMAD_LEVELS)[repeat // 12]
    return Item(
        path=f"AudioWAV/{1001 + speaker}_{sentence}_{CREMAD_CODES[emotion]}_{level}.wav",
        emotion=emotion,
        speaker=speaker,
        take=take,
        gender=gender_of(speaker),
        strength=CREMAD_LEVELS[level],
    )


def manifest(speaker: int, take: int, emotion: str, _repeat: int) -> Item:
    """``audio/spk-01/0001.wav``, named in ``manifest.csv``."""
    path = f"audio/spk-{speaker + 1:02d}/{take + 1:04d}.wav"
    return Item(path=path, emotion=emotion, speaker=speaker, take=take, gender=gender_of(speaker))


def no_labels(_root: Path, _items: Sequence[Item], _seconds: Sequence[float]) -> None:
    """The files' names say all."""


def write_demographics(root: Path, items: Sequence[Item], _seconds: Sequence[float]) -> None:
    """CREMA-D's ``VideoDemographics.csv``; ages and origins are made-up voices', so unknown."""
    actors = {item.speaker: item.gender.capitalize() for item in items}
    rows = ([1001 + speaker, "", sex, "Unknown", "Unknown"] for speaker, sex in sorted(actors.items()))
    _write_csv(root / "VideoDemographics.csv", ("ActorID", "Age", "Sex", "Race", "Ethnicity"), rows)


def write_manifest(root: Path, items: Sequence[Item], _seconds: Sequence[float]) -> None:
    """``manifest.csv``: a pair of speakers a session, up to four sites, the last pair of three or more for testing.

    The language is ``zxx``, ISO 639's code for what is not linguistic.
    """
    pairs = max(item.speaker for item in items) // 2 + 1
    rows = (_manifest_row(item, pairs) for item in items)
    _write_csv(root / "manifest.csv", MANIFEST_COLUMNS, rows)


def _manifest_row(item: Item, pairs: int) -> list[str]:
    pair = item.speaker // 2
    split = "test" if pairs >= 3 and pair == pairs - 1 else "train"
    site = MANIFEST_SITES[pair % len(MANIFEST_SITES)]
    speaker = f"spk-{item.speaker + 1:02d}"
    return [item.path, item.emotion, speaker, str(pair + 1), site, item.gender, "zxx", split]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A corpus's folders.

    Attributes:
        name: the corpus's name.
        emotions: which are dealt out.
        speakers: the most that it has names for.
        repeats: the most recordings of one emotion by one speaker that it has names for.
        place: the recording of a speaker, a take, an emotion and a repeat, each counted from 0.
        labels: writes the label files, once the recordings' lengths in seconds are known.
    """

    name: str
    emotions: tuple[str, ...]
    speakers: int
    repeats: int
    place: Callable[[int, int, str, int], Item]
    labels: Labels = no_labels


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            name="iemocap",
            emotions=FOUR,
            speakers=10,
            repeats=900,
            place=iemocap_layout.place,
            labels=iemocap_layout.write,
        ),
        Layout(name="ravdess", emotions=RAVDESS_CODES, speakers=24, repeats=198, place=ravdess),
        Layout(name="emodb", emotions=tuple(EMODB_LETTERS), speakers=10, repeats=260, place=emodb),
        Layout(
            name="cremad",
            emotions=tuple(CREMAD_CODES),
            speakers=91,
            repeats=48,
            place=cremad,
            labels=write_demographics,
        ),
        Layout(name="manifest", emotions=FOUR, speakers=999, repeats=2499, place=manifest, labels=write_manifest),
    )
}


def deal(name: str, speakers: int, utterances: int) -> list[Item]:
    """Deal utterances over speakers, and each speaker's over the emotions; no count differs by more than one.

    Args:
        name: the layout.
        speakers: how many.
        utterances: how many in total.

    Returns:
        The recordings, speaker by speaker.

    Raises:
        UsageError: an unknown layout, or numbers for which it has no names.
    """
    one_of("--layout", name, LAYOUTS)
    layout = LAYOUTS[name]
    if not 1 <= speakers <= layout.speakers:
        raise UsageError(f"--speakers is {speakers}, expected 1 to {layout.speakers} in the {name} layout")
    most = speakers * layout.repeats * len(layout.emotions)
    in_range("--utterances", utterances, speakers, most)
    slots = ((s, take) for s in range(speakers) for take in range(_share(utterances, s, speakers)))
    kinds = len(layout.emotions)
    return [
        layout.place(speaker, take, layout.emotions[i % kinds], take // kinds)
        for i, (speaker, take) in enumerate(slots)
    ]


def _share(total: int, index: int, parts: int) -> int:
    return total // parts + (index < total % parts)

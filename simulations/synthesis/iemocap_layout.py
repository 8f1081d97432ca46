"""IEMOCAP's layout: sessions of a woman and a man, dialogues, label files with the evaluators' votes, transcripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from simulations.synthesis.items import Item
from simulations.synthesis.made_up_words import words_of

TURNS = 10  # of each speaker in a dialogue
GAP = 0.8  # seconds between two turns
CODES = {"anger": "ang", "excitement": "exc", "happiness": "hap", "neutral": "neu", "sadness": "sad"}
# What an evaluator ticks, and the emotion's usual valence, activation and dominance from 1 to 5.
VOTES = {"ang": "Anger", "exc": "Excited", "hap": "Happiness", "neu": "Neutral state", "sad": "Sadness"}
VAD = {"ang": (2, 4, 4), "exc": (4, 4, 3), "hap": (4, 3, 3), "neu": (3, 2, 3), "sad": (2, 2, 2)}
DISSENT = {"ang": "Frustration", "exc": "Happiness", "hap": "Excited", "neu": "Frustration", "sad": "Neutral state"}
_Turn = tuple[str, Item, float]  # its name, what is said in it, seconds


def place(speaker: int, take: int, emotion: str, repeat: int) -> Item:
    """``Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M003.wav``; the last letter says who speaks.

    Every other recording of happiness is one of excitement, which the field counts as happiness.
    """
    session, letter = speaker // 2 + 1, "FM"[speaker % 2]
    dialogue = f"Ses{session:02d}{_scene(take // TURNS)}"
    return Item(
        path=f"Session{session}/sentences/wav/{dialogue}/{dialogue}_{letter}{take % TURNS:03d}.wav",
        emotion="excitement" if emotion == "happiness" and repeat % 2 else emotion,
        speaker=speaker,
        take=take,
        gender="female" if letter == "F" else "male",
    )


def _scene(number: int) -> str:
    """``F_impro01``, ``M_impro01``, ``F_script01_1``, …: who wears the markers, and what is played."""
    letter, scripted, index = "FM"[number % 2], number // 2 % 2, number // 4
    return f"{letter}_script{index // 3 + 1:02d}_{index % 3 + 1}" if scripted else f"{letter}_impro{index + 1:02d}"


def write(root: Path, items: Sequence[Item], seconds: Sequence[float]) -> None:
    """Write ``SessionN/dialog/EmoEvaluation/<dialogue>.txt``, and ``…/transcriptions/…``, for each dialogue.

    Args:
        root: the corpus's folder.
        items: all recordings.
        seconds: their lengths, in the same order.
    """
    dialogues: dict[tuple[str, str], list[_Turn]] = defaultdict(list)
    for item, length in zip(items, seconds, strict=True):
        session, _, _, dialogue, name = PurePosixPath(item.path).parts
        dialogues[session, dialogue].append((name.removesuffix(".wav"), item, length))
    for (session, dialogue), own in dialogues.items():
        turns = _timed(own)
        evaluation = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        evaluation += "".join(_evaluated(index, *turn) + "\n" for index, turn in enumerate(turns))
        said = "".join(f"{name} [{start:08.4f}-{end:08.4f}]: {words_of(item)}\n" for name, item, start, end in turns)
        for folder, text in (("EmoEvaluation", evaluation), ("transcriptions", said)):
            path = root / session / "dialog" / folder / f"{dialogue}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _timed(turns: list[_Turn]) -> list[tuple[str, Item, float, float]]:
    """A dialogue's turns with their begin and end, the woman's and the man's by turns."""
    timed, start = [], 1.0
    for name, item, length in sorted(turns, key=lambda turn: (turn[0][-3:], turn[0])):
        timed.append((name, item, start, start + length))
        start += length + GAP
    return timed


def _evaluated(index: int, name: str, item: Item, start: float, end: float) -> str:
    """A turn's label line, and those of its evaluators, one of whom may disagree."""
    code = CODES[item.emotion]
    valence, activation, dominance = VAD[code]
    votes = [VOTES[code], DISSENT[code] if index % 3 == 0 else VOTES[code], VOTES[code]]
    mean = f"[{valence:.4f}, {activation:.4f}, {dominance:.4f}]"
    lines = [f"[{start:.4f} - {end:.4f}]\t{name}\t{code}\t{mean}"]
    lines += [f"C-E{i}:\t{vote};\t()" for i, vote in enumerate(votes, 2)]
    lines += [f"A-E{i}:\tval {valence}; act {activation}; dom  {dominance};\t()" for i in (3, 4)]
    return "\n".join(lines) + "\n"

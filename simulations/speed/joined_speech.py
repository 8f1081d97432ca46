"""A speaker's utterances one behind the other, with gaps, and where in this there is speech of which emotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.audio.reading import load
from common.seeds import seed_of
from common.utterance import Utterance
from simulations.speed.diarization_error import Span

Signal = npt.NDArray[np.float32]
Frames = npt.NDArray[np.bool_]

GAPS = (0.2, 2.0)  # seconds between two utterances: the shortest and the longest
BELOW = 25.0  # dB under an utterance's loudest frame, to which its speech reaches, as Praat has it (Boersma & Weenink)
_FRAMES = 100  # a second, in which levels are looked at
_SHORTEST = 10  # frames, 0.1 s: a shorter silence is speech, and a shorter sound a click; Praat's too


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedSpeech:
    """A long recording whose emotions are known.

    Attributes:
        sound: ``(samples,)``, silent between the utterances.
        spans: of speech, from each utterance's first sound to its last; its pauses are speech too.
    """

    sound: Signal
    spans: tuple[Span, ...]


def join(utterances: Sequence[Utterance], rate: int, seed: int) -> JoinedSpeech:
    """Join a speaker's utterances in an order, and with gaps before each and at the end, that are drawn from a seed.

    Args:
        utterances: of one speaker.
        rate: of the sound, in Hz.
        seed: of the order and of the gaps.

    Raises:
        AudioError: one can't be read.
    """
    generator = np.random.default_rng(seed_of(seed, "joined", utterances[0].speaker))
    parts: list[Signal] = [_gap(generator, rate)]
    spans: list[Span] = []
    at = len(parts[0])
    for place in generator.permutation(len(utterances)):
        own = utterances[place]
        sound = load(own.path, rate, own.start, own.end, channel=own.channel).numpy()
        first, last = speech_bounds(sound, rate)
        spans.append(Span(start=(at + first) / rate, end=(at + last) / rate, emotion=own.emotion))
        parts += [sound, _gap(generator, rate)]
        at += len(sound) + len(parts[-1])
    return JoinedSpeech(sound=np.concatenate(parts), spans=tuple(spans))


def speech_bounds(sound: Signal, rate: int) -> tuple[int, int]:
    """The first sample of an utterance's speech and the one behind its last: of the sounds in it that are no clicks."""
    size = rate // _FRAMES
    whole = max(1, len(sound) // size)
    frames = np.resize(sound, whole * size).reshape(whole, size).astype(np.float64)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loud = levels >= levels.max() - BELOW
    sounding = _without_short(_without_short(loud, of=False), of=True)
    first, last = np.flatnonzero(sounding if sounding.any() else loud)[[0, -1]].tolist()
    return first * size, min(len(sound), (last + 1) * size)


def _without_short(line: Frames, *, of: bool) -> Frames:
    """The same line with its short runs of a value taken for what is around them."""
    edges = np.flatnonzero(np.diff(line)) + 1
    kept = line.copy()
    for run in np.split(np.arange(len(line)), edges):
        inner = of or (run[0] > 0 and run[-1] < len(line) - 1)
        if line[run[0]] == of and len(run) < _SHORTEST and inner:
            kept[run] = not of
    return kept


def _gap(generator: np.random.Generator, rate: int) -> Signal:
    return np.zeros(round(generator.uniform(*GAPS) * rate), np.float32)

"""From recordings to class probabilities, with a saved model: each alone, or as one speaker's, to whom it adapts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from common.audio import reading
from common.audio.decoding import Signal, Sound, decode
from common.audio.matrix import read_matrix
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.heard import adapted, sums_of
from common.data.normalise import Sums, normalise
from common.data.speaker_profile import fitting, keep_profile, read_profile
from common.data.strangers import lone_mode
from common.errors import AudioError, UsageError
from common.features.front_end import extract
from common.learning.saved_model import SavedModel
from common.utterance import Utterance

MOST_SECONDS = 300.0  # of a recording: a label of more says nothing, and takes a gigabyte an hour
_CUT = "cut it into utterances of some seconds and give each, for a label is one utterance's"

Say = Callable[[str], None]
SayOf = Callable[[int, str], None]  # of the recording with this number
Read = Callable[[Say], Recording]  # reads a recording, and says what the user should know of it


def _say_nothing(_: str) -> None:
    pass


def predict(saved: SavedModel, path: Path, say: Say = _say_nothing, text: str | None = None) -> dict[str, float]:
    """The probability of each class for one recording, or one ``.npy`` feature matrix.

    A lone recording has no others of its speaker beside it: a model trained with ``normalise=speaker`` falls back to
    the training sites' scaling, so that its figures are those of ``normalise=global`` at best; to its own, where the
    training was private and no such scaling is known.

    Args:
        saved: the model.
        path: of a recording longer than ``MOST_SECONDS`` these first ones are used, which bounds the memory.
        say: called with what the user should know of the recording, a line each.
        text: what is said; None where it is not known.

    Raises:
        AudioError: the recording cannot be used, or has other features than the model.
        UsageError: there is a text, and the model hears no words.
    """
    [read] = with_words(saved, [partial(read_file, saved, path)], [] if text is None else [text])
    return _probabilities(saved, read(say), None)


def predict_signal(
    saved: SavedModel, signal: Signal, rate: int, say: Say = _say_nothing, text: str | None = None
) -> dict[str, float]:
    """As ``predict``, for a signal in memory.

    Args:
        saved: the model.
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.
        say: called with what the user should know of the recording, a line each.
        text: what is said; None where it is not known.

    Raises:
        AudioError: it cannot be used.
        UsageError: there is a text, and the model hears no words.
    """
    [read] = with_words(saved, [partial(read_signal, saved, signal, rate)], [] if text is None else [text])
    return _probabilities(saved, read(say), None)


def read_file(saved: SavedModel, path: Path, say: Say) -> Recording:
    """A recording's features, as the model has them; arguments and errors are those of ``predict``."""
    _refuse_unopenable(path)
    if path.suffix.lower() == ".npy":
        return _recording(saved, torch.from_numpy(read_matrix(path)), path)
    sound = decode(path, most=MOST_SECONDS)
    for remark in sound.remarks:
        say(remark.detail)
    return _of_sound(saved, sound, say)


def read_signal(saved: SavedModel, signal: Signal, rate: int, say: Say) -> Recording:
    """A signal's features, as the model has them; arguments and errors are those of ``predict_signal``."""
    most = round(MOST_SECONDS * rate)
    return _of_sound(saved, Sound(signal=signal[:most], rate=rate, more=len(signal) > most), say)


def with_words(saved: SavedModel, recordings: Sequence[Read], texts: Sequence[str]) -> list[Read]:
    """Recordings with what is said in each, where it is known; without it a model goes by the sound alone.

    Args:
        saved: the model.
        recordings: whose features are read in turn.
        texts: a text for each, empty where it is not known; or none at all.

    Raises:
        UsageError: there are more or fewer texts than recordings, or the model hears no words.
    """
    if not texts:
        return list(recordings)
    if not saved.config.text.buckets:
        raise UsageError("--text: the model hears no words, it was trained on sound alone; leave it out")
    if len(texts) != len(recordings):
        raise UsageError(
            f"--text is given {len(texts)} times for {len(recordings)} recordings, expected one for each, in their "
            'order, or none at all; "" where it is not known'
        )
    return [partial(_with_words, read, text) for read, text in zip(recordings, texts, strict=True)]


def _with_words(read: Read, text: str, say: Say) -> Recording:
    recording = read(say)
    return replace(recording, utterance=replace(recording.utterance, text=text))


def _of_sound(saved: SavedModel, sound: Sound, say: Say) -> Recording:
    seconds = len(sound.signal) / sound.rate
    if sound.more:
        say(f"over {MOST_SECONDS / 60:g} minutes long, the first {MOST_SECONDS / 60:g} give its one label; {_CUT}")
    elif seconds > reading.LONG_SECONDS:
        say(f"{seconds / 60:.1f} minutes long, and gets one label; {_CUT}")
    prepared = reading.prepared(sound.signal, sound.rate, saved.config.features.sampling_rate)
    return _recording(saved, extract(prepared, saved.config.features), Path())


def _recording(saved: SavedModel, features: torch.Tensor, path: Path) -> Recording:
    width = len(saved.scaling.mean)
    if features.shape[1] != width:
        raise AudioError("mixed", f"{features.shape[1]} features a frame, the model was trained on {width}")
    return Recording(utterance=Utterance(path=path, emotion="", speaker="", corpus=""), versions=(features,))


@torch.no_grad()
def _probabilities(saved: SavedModel, recording: Recording, heard: Sums | None) -> dict[str, float]:
    """The classes' probabilities for a recording once so much of its speaker was heard; None for one that is alone."""
    scaled = _scaled(saved, recording, heard)
    said = [recording.utterance.text]
    logits = saved.model(scaled[None], torch.tensor([len(scaled)]), said)[0] / saved.temperature
    return dict(zip(saved.classes, torch.softmax(logits, 0).tolist(), strict=True))


def _scaled(saved: SavedModel, recording: Recording, heard: Sums | None) -> torch.Tensor:
    if heard is None:
        return normalise([recording], lone_mode(saved.config), saved.scaling)[0].versions[0]
    running = saved.config.data.normalise == "running"
    scaling = adapted(saved.scaling, heard) if running else heard.scaling()
    return saved.scaling.project(scaling(recording.versions[0]))


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What became of a recording.

    Attributes:
        number: its place among those that were given.
        found: the probability of each class; or why it cannot be used.
        heard: rows of its speaker that it was scaled after; None where the model does not listen to a speaker.
    """

    number: int
    found: dict[str, float] | AudioError
    heard: int | None = None

    def probabilities(self, of: str = "") -> dict[str, float]:
        """Of each class.

        Args:
            of: what the recordings are called, where several were given and an error should say which it is of.

        Raises:
            AudioError: it cannot be used.
        """
        if isinstance(self.found, dict):
            return self.found
        raise AudioError(self.found.kind, f"{of}[{self.number}]: {self.found.detail}") if of else self.found


@dataclass(kw_only=True)
class Listener:
    """A model that listens to one speaker, if it adapts at all.

    Attributes:
        saved: the model.
        heard: of the speaker so far; None where each recording is taken by itself.
    """

    saved: SavedModel
    heard: Sums | None = None

    def in_turn(self, recordings: Sequence[Read], say: SayOf) -> Iterator[Labelled]:
        """Label recordings as in a stream: each is scaled after those before it, itself not.

        Args:
            recordings: the speaker's.
            say: called with the number of a recording, and a line that the user should know of it.
        """
        for number, read in enumerate(recordings):
            recording = _tried(read, partial(say, number))
            yield self._label(number, recording)
            self._hear(recording)

    def together(self, recordings: Sequence[Read], say: SayOf) -> Iterator[Labelled]:
        """Label recordings once all of them are heard, those first that cannot be used; arguments as of ``in_turn``.

        Each is read twice: first for its sums, which are small, then for its label. So no more than one's features are
        in memory, however many there are.
        """
        if self.heard is None:
            yield from self.in_turn(recordings, say)
            return
        usable = []
        for number, read in enumerate(recordings):
            recording = _tried(read, partial(say, number))
            if isinstance(recording, AudioError):
                yield self._label(number, recording)
                continue
            usable.append((number, read))
            self._hear(recording)
        for number, read in usable:
            yield self._label(number, _tried(read, _say_nothing))

    def _hear(self, recording: Recording | AudioError) -> None:
        if self.heard is not None and isinstance(recording, Recording):
            self.heard = Sums.added([self.heard, sums_of([recording], self.saved.config)])

    def _label(self, number: int, recording: Recording | AudioError) -> Labelled:
        if isinstance(recording, AudioError):
            return Labelled(number=number, found=recording)
        rows = None if self.heard is None else self.heard.frames
        return Labelled(number=number, found=_probabilities(self.saved, recording, self.heard), heard=rows)


def _tried(read: Read, say: Say) -> Recording | AudioError:
    try:
        return read(say)
    except AudioError as error:
        return error


@contextmanager
def listening(saved: SavedModel, profile: Path | None, say: Say) -> Iterator[Listener]:
    """A model that listens to one speaker within the block; then what it heard is kept, unless an error ended it.

    Args:
        saved: the model.
        profile: where the speaker's sums are kept, read first where it exists; None for a speaker of whom nothing was
            heard and nothing will be kept.
        say: called with a line that the user should know.

    Raises:
        UsageError: the profile cannot be used, or the model does not adapt to recordings in turn.
        FedserError: the profile cannot be written.
    """
    nothing, how = Sums.none(len(saved.scaling.mean)), _trained(saved.config)
    if profile is None:
        if not adapts(saved.config):
            say(f"--together changes nothing: the model was trained {how}, and does not adapt to a speaker")
        yield Listener(saved=saved, heard=nothing if adapts(saved.config) else None)
        return
    if not adapts(saved.config, in_turn=True):
        expected = "expected one that was trained with --normalise running"
        raise UsageError(
            f"--profile {profile}: the model was trained {how}, and keeps nothing of a speaker; {expected}"
        )
    model = fitting(saved.config.features, saved.scaling)
    before = read_profile(profile, model, nothing, say)
    listener = Listener(saved=saved, heard=before)
    yield listener
    if listener.heard is not None and listener.heard is not before:
        keep_profile(profile, listener.heard, model)


def adapts(config: Config, *, in_turn: bool = False) -> bool:
    """Whether a model is another for a speaker of whom it has heard something; ``in_turn``: recording by recording."""
    if config.data.normalise == "running":
        return not config.privacy.on  # or it would have no prior
    return config.data.normalise == "speaker" and not in_turn


def _trained(config: Config) -> str:
    return ("privately, " if config.privacy.on else "") + f"with --normalise {config.data.normalise}"


def _refuse_unopenable(path: Path) -> None:
    """Say why a file cannot be opened, for libsndfile says no more than ``System error``."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None

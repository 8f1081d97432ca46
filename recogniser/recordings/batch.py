"""Many recordings: each is recognised, written, and not done again; what is broken is named, and the rest is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.audio.reading import EXTENSIONS
from common.errors import FedserError, UsageError
from common.escaping import escaped
from common.storage import atomic
from recogniser.formats.available_formats import FORMATS, Format
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.recording_result import RecordingResult
from recogniser.pictures.overview import look
from recogniser.pictures.picture import draw
from recogniser.prosody.heard_channels import prosody_of
from recogniser.sound.turns import Turns, read_turns

Done = tuple[RecordingResult, bool]

DIGEST = "sha256"  # among a result's settings: of the recording's bytes, by which it is known again
JSON = FORMATS["json"]
PICTURE = ".png"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A recording, and where what is heard in it goes.

    Attributes:
        path: of the recording.
        place: below the folder of results, without an ending.
    """

    path: Path
    place: Path


def tasks(named: Sequence[Path], *, written: bool = True) -> list[Task]:
    """The recordings that a user names: files, and all in folders, whose own folders are kept.

    Args:
        named: files and folders.
        written: whether a file is written of each, so that each needs a place of its own.

    Raises:
        UsageError: a folder without any, a pipe, or two that would be written to the same place.
    """
    found: list[Task] = []
    for path in named:
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise UsageError(f"{path} is no file: a recording is read more than once; fedser listen - reads a pipe")
        found += _below(path) if path.is_dir() else [Task(path=path, place=Path(path.stem))]
    if written:
        _refuse_one_place(found)
    return list({task.path: task for task in found}.values())


def _refuse_one_place(found: Sequence[Task]) -> None:
    places: dict[Path, Path] = {}
    for task in found:
        other = places.setdefault(task.place, task.path)
        if other != task.path:
            raise UsageError(f"{other} and {task.path} would both be written to {task.place}.json; name them apart")


def _below(folder: Path) -> list[Task]:
    paths = sorted(path for path in _files(folder, set()) if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise UsageError(f"{folder} holds no recordings; expected files such as .wav or .flac")
    return [Task(path=path, place=path.relative_to(folder).with_suffix("")) for path in paths]


def _files(folder: Path, before: set[Path]) -> Iterator[Path]:
    """All below a folder, and below those that are links; each folder once, wherever links lead."""
    if (own := folder.resolve()) in before:
        return
    before.add(own)
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files(path, before)
        elif path.is_file():
            yield path


def turns_of(found: Sequence[Task], path: Path) -> dict[str, Turns]:
    """Who speaks when in the recordings, by their names without endings, as an RTTM file tells.

    Raises:
        UsageError: it cannot be read, or has turns of none of them.
    """
    turns = read_turns(path)
    if not turns.keys() & {task.path.stem for task in found}:
        named = ", ".join(sorted(turns)[:3]) or "nothing"
        said = f"it tells of {named}, and not of {found[0].path.stem}; its second field names the file"
        raise UsageError(f"--speakers {path}: {said}")
    return turns


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is done with each recording.

    Attributes:
        model: that listens.
        settings: what is asked for.
        turns: who speaks when, by a recording's name without its ending; empty where nobody said.
        prosody: whether each is described.
        plot: whether a picture of each is written beside its results.
        out: the folder of results; None where nothing is written.
        formats: what is written of each; JSON is in any case, and last: by it is known what is done.
    """

    model: ExportedModel
    settings: RecogniseSettings
    turns: Mapping[str, Turns] = field(default_factory=dict)
    prosody: bool = False
    plot: bool = False
    out: Path | None = None
    formats: Sequence[Format] = ()

    def done(self, task: Task) -> Done:
        """Write what is heard in a recording, unless that is there already.

        Returns:
            The result, and whether it was there.

        Raises:
            FedserError: for want of space or rights.
        """
        digest = _digest(task.path)
        if self.out is None:
            return self._recognised(task, digest), False
        place = self.out / task.place
        kept = self._kept(_named(place, JSON), task, digest)
        result = kept or self._recognised(task, digest)
        if kept is None:
            _clear(place)
        for form in self.formats:
            if form != JSON:
                atomic.write(_named(place, form), form.write(result))
        if self.plot and result.seconds:
            self._plot(task, result, place.with_name(place.name + PICTURE))
        if kept is None:
            atomic.write(_named(place, JSON), JSON.write(result))
        return result, kept is not None

    def _plot(self, task: Task, result: RecordingResult, place: Path) -> None:
        if not place.exists():
            atomic.write(place, draw(look(task.path, self.model), task.path.name, result))

    def _recognised(self, task: Task, digest: str) -> RecordingResult:
        noted = self._noted(task, digest)
        result = recognise(self.model, task.path, self.settings, self._turns(task), **noted)
        if not self.prosody:
            return result
        separate = self.settings.listen.separate
        return replace(result, prosody=prosody_of(self.model, task.path, result.segments, separate=separate))

    def _turns(self, task: Task) -> Turns | None:
        """Of a recording; where others have turns and it has none, of nobody."""
        return self.turns.get(task.path.stem, Turns([])) if self.turns else None

    def _noted(self, task: Task, digest: str) -> dict[str, Any]:
        turns = self._turns(task)
        return {
            "speakers": turns.digest if turns else None,
            "prosody": self.prosody,
            "int8": self.model.int8,
            DIGEST: digest,
        }

    def _kept(self, path: Path, task: Task, digest: str) -> RecordingResult | None:
        """What was written before of the same bytes, with the same model and settings."""
        try:
            kept = RecordingResult.from_json(path.read_text(encoding="utf-8"))
        except (OSError, KeyError, TypeError, ValueError):
            return None
        asked = {**self.settings.as_dict(), **self._noted(task, digest)}
        same = (kept.path, kept.model, kept.settings) == (escaped(str(task.path)), self.model.said, asked)
        return kept if same else None


def _clear(place: Path) -> None:
    """Remove what an earlier batch wrote, with other settings: nothing beside a result may say another thing."""
    for ending in (JSON.ending, PICTURE, *(form.ending for form in FORMATS.values())):
        path = place.with_name(place.name + ending)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise FedserError(f"{path} is of an earlier batch and cannot be removed: {error.strerror}") from None


def _named(place: Path, form: Format) -> Path:
    return place.with_name(place.name + form.ending)


def _digest(path: Path) -> str:
    """Of a file's bytes; empty where it can't be read, which recognising it will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

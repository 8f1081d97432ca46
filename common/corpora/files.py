"""Finding a corpus's recordings under a folder, however it was unpacked."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.corpora import foreign
from common.errors import AudioError, CorpusError
from common.spelling import written
from common.utterance import Utterance

_LOSSY = frozenset({".mp3", ".oga", ".ogg", ".opus"})


def require_folder(root: Path, name: str, looked_for: str) -> None:
    """Refuse a root that is not a folder with something in it.

    Args:
        root: the corpus's folder.
        name: the corpus, as messages name it.
        looked_for: what should lie there, for messages.

    Raises:
        CorpusError: the root is missing, a file, empty, or may not be read.
    """
    if found := _not_a_folder(root):
        raise CorpusError(f"{root} {found}; looked for {looked_for}: --root names the folder {name} was unpacked to")


def _not_a_folder(root: Path) -> str:
    """What a root is instead of a folder with something in it; nothing if it is one."""
    if not exists(root):
        return "does not exist"
    if not root.is_dir():
        return "is a file"
    with in_one_line(root):
        return "" if any(root.iterdir()) else "is empty"


def exists(path: Path) -> bool:
    """Whether there is something at a path.

    Raises:
        CorpusError: it cannot be told, as where a folder above may not be entered.
    """
    with in_one_line(path):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


@contextmanager
def in_one_line(path: Path) -> Iterator[None]:
    """Turn what the system says against a path into one line.

    Raises:
        CorpusError: it may not be read, or is no path at all.
    """
    try:
        yield
    except OSError as error:
        raise _refusal(error, path) from None
    except ValueError as error:  # a NUL character
        raise CorpusError(f"{str(path)!r} is no path ({error})") from None


def _refusal(error: OSError, path: Path) -> CorpusError:
    todo = "; give this user the right to read it" if isinstance(error, PermissionError) else ""
    return CorpusError(f"{error.filename or path}: {error.strerror or 'cannot be read'}{todo}")


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder under a root, the root first, with its files' names; hidden files and folders are passed over.

    Links to folders are followed, each real folder once.

    Raises:
        CorpusError: a folder may not be read.
    """
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise _refusal(error, root)

    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def audio_files(root: Path) -> list[Path]:
    """Every recording under a root, in any format that soundfile reads, lossless ones first, then by path."""
    from common.audio.reading import EXTENSIONS

    recordings = [path for path in _all_files(root) if path.suffix.lower() in EXTENSIONS]
    return sorted(recordings, key=lambda path: (path.suffix.lower() in _LOSSY, path.as_posix()))


def foreign_files(root: Path) -> list[Path]:
    """Every other file under a root that is sound or video all the same, by path."""
    from common.audio.reading import EXTENSIONS

    others = (path for path in _all_files(root) if path.suffix.lower() not in {*EXTENSIONS, ".npy"})
    return sorted(path for path in others if foreign.is_sound(path))


def _all_files(root: Path) -> list[Path]:
    return [folder / name for folder, names in walk(root) for name in names]


def find_named(root: Path, name: str, pattern: re.Pattern[str], example: str) -> list[tuple[Path, re.Match[str]]]:
    """Find the recordings under a root whose names, without extension, match a corpus's pattern.

    Args:
        root: the corpus's folder.
        name: the corpus, as messages name it.
        pattern: what the whole name matches.
        example: a name that does, for messages.

    Raises:
        CorpusError: the root is no folder, or holds no such recording.
    """
    require_folder(root, name, f"recordings named like {example}")
    recordings = audio_files(root)
    matches = [(path, match) for path in recordings if (match := pattern.fullmatch(path.stem))]
    if not matches:
        there = f"found {len(recordings)} recordings, such as {recordings[0].name}" if recordings else _foreign_at(root)
        raise CorpusError(f"no {name} under {root}: looked for recordings named like {example}, {there}")
    return matches


def _foreign_at(root: Path) -> str:
    if not (others := foreign_files(root)):
        return "found no audio"
    count = f"{len(others)} such files" if len(others) > 1 else "1 such file"
    return f"found {others[0].name}, in a format that is not read, and {count} in all: {foreign.ADVICE}"


def first_of_each(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Each utterance once, sorted by path: a corpus unpacked twice, or in two formats, is no bigger for it.

    Two are the same if speaker, emotion and file name (without extension) are; the first that comes is kept.

    Raises:
        CorpusError: two of one name hold different sound, as the microphone's and the laryngograph's.
    """
    first: dict[tuple[str, str, str], Utterance] = {}
    for utterance in utterances:
        key = (utterance.speaker, utterance.emotion, written(utterance.path.stem).lower())
        refuse_different(first.setdefault(key, utterance).path, utterance.path)
    return sorted(first.values(), key=lambda utterance: utterance.path.as_posix())


def refuse_different(kept: Path, other: Path) -> None:
    """Refuse two recordings of one name that hold different sound; a lossy copy beside another format is not compared.

    Raises:
        CorpusError: they do; --root has to say which are meant.
    """
    if kept == other or not (exists(kept) and exists(other)) or _are_copies(kept, other):
        return
    raise CorpusError(
        f"{kept} and {other} have one name and hold different sound, and which of them is meant can't be told: "
        "--root names the folder with the right ones, or move the others away"
    )


def _are_copies(kept: Path, other: Path) -> bool:
    lossy = {path.suffix.lower() for path in (kept, other)} & _LOSSY
    if kept.suffix.lower() != other.suffix.lower() and lossy:
        return True  # for all that can be told
    with in_one_line(other):
        return filecmp.cmp(kept, other, shallow=False) or (not lossy and _sound_alike(kept, other))


def _sound_alike(kept: Path, other: Path) -> bool:
    """Whether two lossless recordings hold the same samples, whatever else their files hold."""
    from common.audio.reading import read

    try:
        (one, rate), (two, other_rate) = read(kept), read(other)
    except AudioError:
        return False
    return rate == other_rate and one.shape == two.shape and bool((one == two).all())


def find_passed_over(
    root: Path,
    utterances: Iterable[Utterance],
    pattern: re.Pattern[str] | None,
    passes_over: Callable[[Path], bool] = lambda _: False,
) -> list[tuple[str, Path, str]]:
    """Find the recordings under a root that a loader left out and that a user should know of.

    Args:
        root: the corpus's folder.
        utterances: what the loader listed.
        pattern: the names that the corpus's own files have, those it leaves out on purpose (songs) included; None
            for a corpus whose file names say nothing.
        passes_over: whether the corpus has such files that are no recordings of its own, as songs; they are no news.

    Returns:
        Problems as (kind, path, detail): ``duplicate`` for one that carries the name of a listed one, ``unknown-name``
        for one whose name the corpus does not have, ``unreadable`` for one in a format that is not read.
    """
    listed = {utterance.path for utterance in utterances}
    by_name = {path.stem.lower(): path for path in sorted(listed, reverse=True)}
    problems: list[tuple[str, Path, str]] = []
    for path in audio_files(root):
        if path in listed or passes_over(path):
            continue
        if first := by_name.get(path.stem.lower()):
            problems.append(("duplicate", path, f"has the name of {first}, which is the one used"))
        elif pattern and not pattern.fullmatch(path.stem):
            problems.append(("unknown-name", path, "its name is not one of this corpus; it is not used"))
    for path in foreign_files(root) if pattern else ():
        if path.stem.lower() in by_name or passes_over(path):
            continue
        if pattern and pattern.fullmatch(path.stem):
            problems.append(("unreadable", path, f"its format is not read; {foreign.ADVICE}"))
        else:
            problems.append(("unknown-name", path, "its name is not one of this corpus; it is not used"))
    return problems

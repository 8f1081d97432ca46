"""A corpus of made-up voices on disk, whole or not at all, marked as what it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import soundfile

from common.corpora.synthetic import MARKER
from common.errors import FedserError, UsageError
from common.processes.cores import usable_cores
from common.processes.parent_watch import end_with_parent
from common.seeds import numpy_generator
from common.validate import in_range
from common.voices.speech import speak
from common.voices.tract import RATE
from common.voices.voice import draw_voice
from simulations.synthesis.items import Item
from simulations.synthesis.layouts import LAYOUTS, deal
from simulations.synthesis.room import record

NOTE = "made-up voices; no person speaks here"
README = """This is a synthetic corpus: the voices are made up by a program, and no person speaks here.

It was written by `fedser corpus synthesize` in the layout of {layout}, whose recordings it does not contain:
{speakers} speakers, {utterances} utterances, seed {seed}. Figures measured on it say nothing about human speech.
"""


def synthesize(
    directory: Path,
    *,
    layout: str = "iemocap",
    speakers: int = 10,
    utterances: int = 400,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
    workers: int | None = None,
) -> Path:
    """Write a synthetic corpus, or find it there.

    A recording depends on the seed, its speaker, its take and its emotion alone, whatever the number of workers.

    Args:
        directory: where it goes; a folder that holds the same corpus already is left as it is.
        layout: ``iemocap``, ``ravdess``, ``emodb``, ``cremad`` or ``manifest``.
        speakers: how many, women and men by turns.
        utterances: how many in total, dealt evenly over speakers and emotions.
        seed: fixes everything.
        progress: called with the number of utterances done.
        workers: processes; None for one a core, 0 for none beside this one.

    Returns:
        ``directory``.

    Raises:
        UsageError: numbers that the layout has no names for, or a directory that holds something else.
        FedserError: the directory cannot be written.
    """
    in_range("--seed", seed, 0, 2**31 - 1)
    items = deal(layout, speakers, utterances)
    marker = describe(layout=layout, speakers=speakers, utterances=utterances, seed=seed)
    if _is_there(directory, marker):
        return directory
    try:
        with _whole(directory) as folder:
            seconds = _record_all(folder, items, seed, progress, workers)
            LAYOUTS[layout].labels(folder, items, seconds)
            (folder / "README.txt").write_text(README.format(**marker), encoding="utf-8")
            (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    except (OSError, soundfile.LibsndfileError) as error:
        raise FedserError(f"cannot write the corpus to {directory}: {error}") from None
    return directory


def describe(*, layout: str, speakers: int, utterances: int, seed: int) -> dict[str, object]:
    """What the marker file says."""
    return {
        "synthetic": True,
        "layout": layout,
        "speakers": speakers,
        "utterances": utterances,
        "seed": seed,
        "generator": f"fedser {version('fedser')}",
        "note": NOTE,
    }


def _is_there(directory: Path, marker: dict[str, object]) -> bool:
    """Whether the directory holds this very corpus.

    Raises:
        UsageError: it holds something else.
        FedserError: it may not be looked into.
    """
    try:
        if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
            return False
    except OSError as error:
        raise FedserError(
            f"cannot write the corpus to {directory}: {error.strerror}; name a folder of yours instead"
        ) from None
    try:
        found = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == marker:
        return True
    what = "holds another synthetic corpus" if isinstance(found, dict) else "exists and is no empty folder"
    raise UsageError(f"{directory} {what}; name a new folder, or remove it first")


@contextmanager
def _whole(directory: Path) -> Iterator[Path]:
    """A folder beside the directory that takes its name at the end; what killed runs left of theirs is removed."""
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{os.fsdecode(os.fsencode(directory.name)[:200])}.partial-"  # of a name as long as names may be
    for left in directory.parent.iterdir():
        if left.name.startswith(prefix) and not _runs(left.name.removeprefix(prefix)):
            shutil.rmtree(left, ignore_errors=True)
    folder = directory.parent / f"{prefix}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
        folder.rename(directory)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _record_all(
    folder: Path, items: Sequence[Item], seed: int, progress: Callable[[int], None], workers: int | None
) -> list[float]:
    for parent in {(folder / item.path).parent for item in items}:
        parent.mkdir(parents=True, exist_ok=True)
    count = usable_cores() if workers is None else workers
    seconds: list[float] = []
    with closing(_lengths(partial(make, folder, seed), items, count)) as lengths:
        for length in lengths:
            seconds.append(length)
            progress(len(seconds))
    return seconds


def _lengths(work: Callable[[Item], float], items: Sequence[Item], workers: int) -> Generator[float, None, None]:
    if workers == 0:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        yield from pool.map(work, items, chunksize=4)


def make(folder: Path, seed: int, item: Item) -> float:
    """Make one recording and write it as 16-bit WAV.

    Returns:
        Its length in seconds.
    """
    voice = draw_voice(numpy_generator(seed, "voice", item.speaker), item.gender)
    generator = numpy_generator(seed, "take", item.speaker, item.take)
    signal = record(generator, speak(generator, voice, item.emotion, strength=item.strength), RATE)
    soundfile.write(os.fsencode(folder / item.path), signal, RATE, subtype="PCM_16", format="WAV")
    return len(signal) / RATE

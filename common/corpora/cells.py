"""The cells of a manifest, as laboratories write them: paths of other systems, times of several kinds, splits."""

from __future__ import annotations

import math
import os
import re
import unicodedata
import urllib.parse
from pathlib import Path

from common.corpora.files import exists
from common.errors import CorpusError

_EMPTY = "\ufeff\u200b\u2060"  # invisible, and no space to Python
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)")
_CHANNELS = {"left": "0", "l": "0", "right": "1", "r": "1"}
_SPLITS = {
    "train": ("train", "training", "trn", "tr"),
    "aside": ("dev", "devel", "development", "val", "valid", "validation"),
    "test": ("test", "testing", "tst", "te", "eval", "evaluation", "held-out", "heldout", "held_out"),
}
ASIDE = frozenset(_SPLITS["aside"])  # of the training side: sites draw the speakers that choose the round themselves


def stripped(cell: str) -> str:
    """A cell without what surrounds its text."""
    return cell.strip().strip(_EMPTY).strip()


def path_of(where: str, text: str, folder: Path) -> Path:
    r"""Where a recording lies.

    Args:
        where: the line, for the message.
        text: of the cell: relative to the manifest's folder, or whole; with ``/`` or ``\``, or ``~`` for the home.
        folder: the manifest's.

    Raises:
        CorpusError: it is of another machine, or is no path.
    """
    if text.lower().startswith("file://"):
        text = urllib.parse.unquote(text[len("file://") :].removeprefix("localhost"))
    elif _URL.match(text) or _DRIVE.match(text) or text.startswith("\\\\"):
        kind = "an address" if _URL.match(text) else "a path of Windows"
        raise CorpusError(
            f"{where}, column path: {text} is {kind}, expected a path relative to the manifest's folder, such as "
            "rec/a.wav"
        )
    return _as_on_disk(where, folder, text)


def _as_on_disk(where: str, folder: Path, text: str) -> Path:
    r"""The path, or, where nothing lies there, the same with ``/`` for ``\``, or with its accents as they are there."""
    path = folder / text
    if (text.isascii() and not {"\\", "~"} & set(text)) or "\0" in text or exists(path):
        return path
    slashes = _of_home(where, text.replace("\\", "/"))
    forms = [slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))]
    return next((folder / form for form in forms if exists(folder / form)), folder / slashes)


def _of_home(where: str, text: str) -> str:
    try:
        return os.fspath(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError as error:
        raise CorpusError(f"{where}, column path: {text}: {error}; write the whole path") from None


def seconds(where: str, name: str, text: str) -> float | None:
    """A time: seconds, with a point or a comma, or ``h:mm:ss``; None where there is none.

    Raises:
        CorpusError: it is something else.
    """
    if not text:
        return None
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return 3600 * hours + 60 * minutes + rest
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise CorpusError(f"{where}, column {name}: {text!r}, expected seconds such as 12.5, or nothing")
    return value


def split_of(where: str, text: str) -> str | None:
    """``train`` or ``test`` for what laboratories call these; None where a row says nothing.

    What is kept aside to choose a model by (``dev``) is ``train`` here.

    Raises:
        CorpusError: it is something else.
    """
    name = re.sub(r"[\s_-]*\d+$", "", text.lower())  # Test1, test-2
    if not text:
        return None
    for split, names in _SPLITS.items():
        if name in names:
            return "train" if split == "aside" else split
    raise CorpusError(f"{where}, column split: {text!r}, expected train, dev, test or nothing")


def channel_of(where: str, text: str) -> int | None:
    """The channel that a cell names, from 0; None for the mean of all.

    Raises:
        CorpusError: it names none.
    """
    number = _CHANNELS.get(text.lower(), text.removesuffix(".0"))  # a table's column with gaps is one of floats
    if not number:
        return None
    if not (number.isascii() and number.isdigit() and int(number) < 1024):
        raise CorpusError(f"{where}, column channel: {text!r}, expected 0 for the first, 1, …, left, right or nothing")
    return int(number)

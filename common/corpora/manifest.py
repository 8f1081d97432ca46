"""A site's own recordings, listed in a table: CSV (comma, semicolon or tab) or JSON lines, in UTF-8.

Columns ``path,emotion,speaker``; where known also ``session,site,gender,language,split,start,end,channel``. Others are
ignored.
``path`` is a recording or a feature matrix (``.npy``), relative to the manifest's folder; ``start`` and ``end`` cut a
stretch of a recording, in seconds; ``channel`` takes one of its channels, counted from 0, instead of the mean of all.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.corpora.files import exists
from common.errors import CorpusError
from common.utterance import EMOTIONS, Utterance, emotion_name

LICENCE = "as the recordings' owner says"
SOURCE = "your own recordings"
LANGUAGE: str | None = None
CLASSES: dict[str, tuple[str, ...]] = {name: (name,) for name in EMOTIONS}
REQUIRED = ("path", "emotion", "speaker")
NAMES = ("manifest.csv", "manifest.jsonl")
_GENDERS = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}
_CHANNELS = {"left": "0", "l": "0", "right": "1", "r": "1"}

Row = Mapping[str, str]


def cite() -> str:
    """What to cite for a site's own recordings."""
    return "The recordings' owner."


def load(root: Path) -> list[Utterance]:
    """What a manifest lists, sorted by path.

    Args:
        root: the manifest, or a folder that holds exactly one ``manifest.csv`` or ``manifest.jsonl``.

    Raises:
        CorpusError: there is no manifest, or a line of it cannot be used; names the line and the column.
    """
    path = find(root)
    rows = _json_rows(path) if _is_json(path) else _csv_rows(path)
    utterances = [_utterance(path, number, row) for number, row in rows]
    if not utterances:
        raise CorpusError(f"{path} lists nothing, expected a line a recording with {', '.join(REQUIRED)}")
    return sorted(
        utterances, key=lambda item: (item.path.as_posix(), item.start or 0.0, item.end or 0.0, item.channel or 0)
    )


def find(root: Path) -> Path:
    """The manifest that a root names.

    Raises:
        CorpusError: there is none, or more than one.
    """
    there_is = exists(root)
    if there_is and root.is_file():
        return root
    found = [root / name for name in NAMES if exists(root / name) and (root / name).is_file()]
    if len(found) != 1:
        there = "both are there" if found else "found neither" if there_is else "it does not exist"
        raise CorpusError(
            f"no manifest at {root}: --root names the manifest, or a folder with {' or '.join(NAMES)}, {there}"
        )
    return found[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _is_json(path: Path) -> bool:
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return False
    return path.suffix.lower() in (".jsonl", ".ndjson") or _text(path).lstrip().startswith("{")


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    text = _text(path)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = [cell.strip().lower() for cell in cells]
                _require_columns(path, header)
            elif any(cell.strip() for cell in cells):
                while len(cells) > len(header) and not cells[-1].strip():
                    cells.pop()  # of commas at the line's end
                if len(cells) != len(header):
                    raise CorpusError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, expected {len(header)} as in the header"
                    )
                yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _require_columns(path: Path, header: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise CorpusError(f"{path} has no column {', '.join(missing)}; found {', '.join(header) or 'an empty line'}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise CorpusError(f"{path} has the column {twice[0]} twice")


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, _json_row(f"{path}, line {number}", line)


def _json_row(where: str, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise CorpusError(f'{where}: expected an object such as {{"path": …, "emotion": …, "speaker": …}}')
    cells: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            cells[name.strip().lower()] = str(value).strip()
        elif value is not None and name.strip().lower() in Utterance.__slots__:
            raise CorpusError(f"{where}, column {name}: {json.dumps(value)}, expected text or a number")
    return cells


def _utterance(manifest: Path, number: int, row: Row) -> Utterance:
    where = f"{manifest}, line {number}"
    for name in REQUIRED:
        if not row.get(name):
            found = "empty" if name in row else f"missing (found {', '.join(row) or 'nothing'})"
            raise CorpusError(f"{where}, column {name}: {found}, expected {', '.join(REQUIRED)} on every line")
    start, end = _seconds(where, "start", row), _seconds(where, "end", row)
    if end is not None and end <= (start or 0.0):
        raise CorpusError(f"{where}, column end: {end:g} s, expected more than the start, {start or 0.0:g} s")
    path = manifest.parent / row["path"]
    channel = _channel(where, row)
    if path.suffix.lower() == ".npy" and (start is not None or end is not None or channel is not None):
        column = "channel" if start is None and end is None else "start"
        raise CorpusError(f"{where}, column {column}: {row['path']} is a feature matrix, of which no part can be cut")
    return Utterance(
        path=path,
        emotion=emotion_name(row["emotion"]),
        speaker=row["speaker"],
        corpus="manifest",
        session=row.get("session") or None,
        gender=_GENDERS.get(row.get("gender", "").lower()),  # any other is as one that is not known
        language=row.get("language") or None,
        site=row.get("site") or None,
        split=_split(where, row.get("split", "").lower()),
        start=start,
        end=end,
        channel=channel,
    )


def _seconds(where: str, name: str, row: Row) -> float | None:
    if not row.get(name):
        return None
    try:
        seconds = float(row[name])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CorpusError(f"{where}, column {name}: {row[name]!r}, expected seconds such as 12.5, or nothing")
    return seconds


def _channel(where: str, row: Row) -> int | None:
    text = row.get("channel", "").lower()
    number = _CHANNELS.get(text, text.removesuffix(".0"))  # a table's column with gaps is one of floats
    if not number:
        return None
    if not (number.isascii() and number.isdigit() and int(number) < 1024):
        raise CorpusError(f"{where}, column channel: {text!r}, expected 0 for the first, 1, …, left, right or nothing")
    return int(number)


def _split(where: str, split: str) -> str | None:
    if split not in ("", "train", "test"):
        raise CorpusError(f"{where}, column split: {split!r}, expected train, test or nothing")
    return split or None

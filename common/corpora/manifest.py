"""A site's own recordings, listed in a table: CSV (comma, semicolon or tab) or JSON, in UTF-8, or UTF-16 with its mark.

Columns ``path,emotion,speaker``; where known also ``session,site,gender,language,split,start,end,channel,text``. Others
are ignored.
``path`` is a recording or a feature matrix (``.npy``), relative to the manifest's folder; ``start`` and ``end`` cut a
stretch of a recording, in seconds; ``channel`` takes one of its channels, counted from 0, instead of the mean of all;
``text`` is what is said.
``common.corpora.cells`` says how cells may be written.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import edited_text
from common.corpora.cells import ASIDE, channel_of, path_of, seconds, split_of, stripped
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
_LINES = (".jsonl", ".ndjson")
_DELIMITER_LINE = re.compile(r"sep=([,;\t])\r?\n?", re.IGNORECASE)

Row = Mapping[str, str]
log = logging.getLogger("fedser.corpora")


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
    listed = list(rows)
    utterances = [_utterance(path, number, row) for number, row in listed]
    _say_who_is_aside(path, [row.get("split", "").lower() for _, row in listed])
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
        return edited_text.read(path)
    except OSError as error:
        raise CorpusError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None


def _is_json(path: Path) -> bool:
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return False
    return path.suffix.lower() in _LINES or _text(path).lstrip().startswith(("{", "["))


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    text = _text(path)
    first = next(iter(text.splitlines()), "")
    delimiter, skipped = max(",;\t", key=first.count), 0
    if told := _DELIMITER_LINE.match(text):  # for Excel
        delimiter, text, skipped = told[1], text[told.end() :], 1
    lines = io.StringIO(_without_spaces_at_quotes(text, delimiter), newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = [stripped(cell).lower() for cell in cells]
                _require_columns(path, header)
            elif any(cell.strip() for cell in cells):
                while len(cells) > len(header) and not cells[-1].strip():
                    cells.pop()  # of commas at the line's end
                if len(cells) != len(header):
                    raise CorpusError(
                        f"{path}, line {reader.line_num + skipped}: {len(cells)} cells, expected {len(header)} as in "
                        "the header"
                    )
                yield reader.line_num + skipped, dict(zip(header, map(stripped, cells), strict=True))
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num + skipped}: not CSV ({error})") from None


def _without_spaces_at_quotes(text: str, delimiter: str) -> str:
    """CSV whose quotes end a cell: Python's reader takes the space in ``"a" ,"b"`` for an error."""
    before, after = f"(?:^|{delimiter}) *", f"(?={delimiter}|$)"
    return re.sub(f'({before}"(?:[^"]|"")*") +{after}', r"\1", text, flags=re.MULTILINE) if '" ' in text else text


def _require_columns(path: Path, header: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise CorpusError(f"{path} has no column {', '.join(missing)}; found {', '.join(header) or 'an empty line'}")
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise CorpusError(f"{path} has the column {twice[0]} twice")


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    text = _text(path)
    if path.suffix.lower() not in _LINES and text.lstrip().startswith("["):
        rows = _json(str(path), text)
        yield from ((number, _json_row(f"{path}, entry {number}", row)) for number, row in enumerate(rows, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _json_row(f"{path}, line {number}", _json(f"{path}, line {number}", line))


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CorpusError(f"{where}: not JSON ({error})") from None


def _json_row(where: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise CorpusError(f'{where}: expected an object such as {{"path": …, "emotion": …, "speaker": …}}')
    cells: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            cells[name.strip().lower()] = stripped(str(value))
        elif value is not None and name.strip().lower() in Utterance.__slots__:
            raise CorpusError(f"{where}, column {name}: {json.dumps(value)}, expected text or a number")
    return cells


def _utterance(manifest: Path, number: int, row: Row) -> Utterance:
    where = f"{manifest}, line {number}"
    for name in REQUIRED:
        if not row.get(name):
            found = "empty" if name in row else f"missing (found {', '.join(row) or 'nothing'})"
            raise CorpusError(f"{where}, column {name}: {found}, expected {', '.join(REQUIRED)} on every line")
    start, end = (seconds(where, name, row.get(name, "")) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise CorpusError(f"{where}, column end: {end:g} s, expected more than the start, {start or 0.0:g} s")
    path = path_of(where, row["path"], manifest.parent)
    channel = channel_of(where, row.get("channel", ""))
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
        split=split_of(where, row.get("split", "")),
        start=start,
        end=end,
        channel=channel,
        text=row.get("text") or None,
    )


def _say_who_is_aside(path: Path, splits: Sequence[str]) -> None:
    if named := sorted(ASIDE.intersection(splits)):
        log.warning(
            "%s: %d lines have split=%s and are taken as train: each site sets its own speakers aside (--validation)",
            path,
            sum(split in ASIDE for split in splits),
            ", ".join(named),
        )

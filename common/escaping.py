r"""Names of any bytes as text that every terminal, page, table and file takes.

In a file's name that isn't UTF-8 Python has a lone surrogate for each byte that can't be decoded, which nothing can
write. Here such a byte becomes ``\xb3``; what would break a line, or reorder it, is escaped likewise.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import logging
import re
import sys
import unicodedata

ESCAPED = "fedser.escaped"  # an error handler: encode(…, errors=ESCAPED) never fails
_BREAKING = frozenset({"Cc", "Cf", "Zl", "Zp"})  # Unicode's categories: control, format (bidi among them), line ends
_JOINS = frozenset("\u200c\u200d")  # between letters and between emoji, which would fall apart without


def escaped(text: str) -> str:
    r"""The text with each byte that is no UTF-8 as ``\xb3``, any other lone surrogate as ``\ud83d``."""
    return text.encode(errors=ESCAPED).decode()


def one_line(text: object) -> str:
    """As ``escaped``, in one line that shows what is there: line breaks, control and bidi characters are escaped."""
    return "".join(_visible(character) for character in escaped(str(text)))


def _visible(character: str) -> str:
    if character in _JOINS or unicodedata.category(character) not in _BREAKING:
        return character
    return character.encode("unicode_escape").decode()


class PlainFormatter(logging.Formatter):
    """What every logger of fedser formats with: a message is one line that no terminal acts on, and so is each line of
    a traceback below it.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line, without the traceback."""
        record.message = one_line(" ".join(record.message.splitlines()))
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return "\n".join(map(one_line, super().format(record).split("\n")))


def as_json(value: object, indent: int | None = None) -> str:
    """JSON as a command prints it: in the letters of the names themselves, and sound Unicode for any reader."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda found: json.dumps(_code(found[0]))[1:-1], text)


def print_any_name() -> None:
    """Let what this process prints hold any name, whatever the terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # it is closed
                stream.reconfigure(errors=ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(map(_code, found)), error.end


def _code(character: str) -> str:
    number = ord(character)
    byte = 0xDC80 <= number <= 0xDCFF  # PEP 383: a byte that could not be decoded
    return f"\\x{number - 0xDC00:02x}" if byte else character.encode("ascii", "backslashreplace").decode()


codecs.register_error(ESCAPED, _escape)

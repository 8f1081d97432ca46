"""Text from elsewhere on this machine's terminals and in its logs: a name, a reason, an error's words.

What a terminal acts on, such as an escape code that rewrites what stands above it, is shown instead, and no text makes
a second line of a log. Every logger of fedser formats its lines here.
"""

from __future__ import annotations

import logging


def plain(text: str) -> str:
    r"""One line that a terminal only shows: spaces for what breaks lines, ``\x1b`` for what it would act on."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")


class PlainFormatter(logging.Formatter):
    """Formats a record as ``logging.Formatter`` does: its message in one line, a traceback in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """The line, without the traceback."""
        return plain(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return "\n".join(map(plain, super().format(record).split("\n")))

"""A TOML file that a user wrote, or should have written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from common import edited_text
from common.errors import FedserError, UsageError


def read_table(
    path: Path, *, option: str = "", expected: str = "", unreadable: type[FedserError] = UsageError
) -> dict[str, Any]:
    """What the file holds.

    Args:
        path: of the file.
        option: by which the user named it, for the messages.
        expected: what there should be, for the message where there is no file.
        unreadable: raised in that case.

    Raises:
        UsageError: it is not TOML.
        FedserError: there is no file, or it cannot be read.
    """
    named, hint = f"{option} {path}".lstrip(), f"; {expected}" if expected else ""
    try:
        return tomllib.loads(edited_text.read(path).replace("\r\n", "\n").replace("\r", "\n"))
    except OSError as error:
        raise unreadable(f"{named}: {error.strerror}{hint}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{named} is not TOML: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        windows = "; a path of Windows stands in 'single quotes'" if "\\" in str(error) or "hex" in str(error) else ""
        raise UsageError(f"{named} is not TOML: {error}{windows}") from None


def flat(table: dict[str, Any]) -> dict[str, Any]:
    """The values by ``section.key``; those outside a section by their key."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return found

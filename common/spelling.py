"""How the id of a person, or the name of a site, is spelled: in one form everywhere, and when two may mean the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from common.escaping import escaped

_POINT_ZERO = re.compile(r"(?<=\d)(\.0+)+$")  # of a table's column that was read as numbers
_LEADING_ZEROS = re.compile(r"(?<!\d)(?<!\d\.)0+(?=\d)")


def written(name: str) -> str:
    """The form in which a name is kept and compared: composed (Unicode's NFC), bytes that are no UTF-8 escaped.

    A letter with its accent is one character or two, as the system that wrote it has it; nobody sees which.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", escaped(name))


def near(name: str) -> str:
    """What two spellings share that differ in case, spaces, width, leading zeros or a trailing ``.0`` alone."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")
    return _LEADING_ZEROS.sub("", _POINT_ZERO.sub("", unicodedata.normalize("NFC", seen)))


def near_equal(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Those of some names that are spelled alike but not the same, in sorted groups."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(near(name), set()).add(name)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def meant(name: str, names: Iterable[str]) -> str:
    """Which of some names a user means: the very name, else the only one that is spelled alike, else as it is."""
    known = set(names)
    if (own := written(name)) in known:
        return own
    alike = [other for other in known if near(other) == near(own)]
    return alike[0] if len(alike) == 1 else own

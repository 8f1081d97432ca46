"""Which registered keys a site takes for its peers': ``roster.toml``, made by the coordinator, compared by telephone.

The coordinator writes it, and could write keys of its own into it. So the sites read its digest to each other before
each puts it beside its policy, as they do with a key's fingerprint; from then on the coordinator's word counts nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.config.toml_file import read_table
from common.deployment.site_kit import SITE_NAME
from common.errors import UsageError
from common.secure.roster import Roster
from common.secure.round_terms import joined

Keys = Mapping[str, str]  # registered public keys in OpenSSH's format, by the site's name
SITES = "sites"


def text_of(keys: Keys) -> str:
    """The file's text; its digest stands in it, for people."""
    rows = "".join(f"{json.dumps(site)} = {json.dumps(keys[site])}\n" for site in sorted(keys))
    return (
        "# The sites that add up, by their registered keys. Read the digest to each other by telephone before use:\n"
        f"# {spoken(keys)}\n\n[{SITES}]\n{rows}"
    )


def read(path: Path) -> dict[str, str]:
    """The keys of a file.

    Raises:
        UsageError: there is none, or it is not such a file.
    """
    table = read_table(path, expected="expected the roster of keys, roster.toml")
    keys = table.get(SITES)
    if set(table) != {SITES} or not isinstance(keys, dict):
        raise UsageError(f"{path} has {', '.join(table) or 'nothing'}, expected one section [{SITES}]")
    for site, key in keys.items():
        if not SITE_NAME.fullmatch(site) or not isinstance(key, str):
            raise UsageError(f"{path}: {site} = {key!r}, expected a site's name and its public key as key.pub has it")
    return {site: " ".join(key.split()[:2]) for site, key in keys.items()}


def spoken(keys: Keys) -> str:
    """SHA-256 of names and keys, in sixteen groups of four digits.

    All of it is to be compared: of half of it the coordinator could try out two files that share it.
    """
    parts = (text.encode() for site in sorted(keys) for text in (site, keys[site]))
    digits = hashlib.sha256(joined(b"fedser roster of keys 1", *parts)).hexdigest()
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def fault(keys: Keys, roster: Roster) -> str | None:
    """Which of a roster's sites is none that this site knows, in one line; None where it knows all."""
    return next(_faults(keys, roster), None)


def _faults(keys: Keys, roster: Roster) -> Iterator[str]:
    for entry in roster.entries:
        if entry.site not in keys:
            yield f"{entry.site} is in the roster and is no peer that this site's roster.toml names"
        elif keys[entry.site] != entry.identity:
            yield f"{entry.site} is in the roster with another registered key than this site's roster.toml has"

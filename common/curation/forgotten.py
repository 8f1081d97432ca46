"""The list of speakers who withdrew, as a site keeps it: JSON, each by the corpus's own text for the speaker."""

from __future__ import annotations

import json
from pathlib import Path

from common import edited_text
from common.errors import FedserError, UsageError


def read(path: Path) -> list[str]:
    """The speakers on the list; nobody where there is none yet.

    Raises:
        FedserError: it cannot be read.
        UsageError: it holds something else.
    """
    try:
        known = json.loads(edited_text.read(path))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise FedserError(f"{path} cannot be read ({error}); mend it first, for it says who withdrew") from None
    if not isinstance(known, list) or not all(isinstance(item, str) for item in known):
        raise UsageError(f"{path} is no list of speakers; mend it first, for it says who withdrew")
    return known

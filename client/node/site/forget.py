"""A speaker who withdraws: out of the site's data from then on, with a word on what that does and does not undo."""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from client.node.audit import site_log
from client.node.audit.site_log import AuditLog
from client.node.site.kit import Kit
from client.node.site.node_settings import StateFolder
from common.config.settings import DataConfig
from common.curation import forgotten, speaker_ids
from common.curation.selection import list_corpus
from common.errors import FedserError, UsageError
from common.privacy.ledger.account import Ledger
from common.spelling import written
from common.storage import atomic

DOES = (
    "from the next message on nothing is computed from this speaker's recordings; "
    "the features that were computed before are deleted, and what a run's strategy kept of them"
)
DOES_NOT = (
    "models that were trained before keep what they learnt, and ε that was spent stays spent; "
    "the recordings themselves are as they were"
)


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was done.

    Attributes:
        before: whether the speaker was on the list already.
        listed: how many speakers are on it now.
        features: whether the cache of features was within reach, and is empty now.
    """

    before: bool
    listed: int
    features: bool


def forget(speaker: str, *, kit: Kit, state: StateFolder) -> Forgotten:
    """Put a speaker on the site's list, delete what was computed before, and note it in the ledger and the audit log.

    The list comes first: whatever is cut short after it, the speaker's recordings are not used any more. Doing it again
    does the rest. The ledger and the log hold the list's hash, not the speaker's id.

    Args:
        speaker: the corpus's own text for the speaker.
        kit: of the site.
        state: of the site.

    Raises:
        UsageError: the id is empty.
        FedserError: the list cannot be read or written, or the ledger or the log cannot.
    """
    if not speaker:
        raise UsageError("--speaker is empty, expected the id that the corpus, or the manifest, has for the speaker")
    speaker, known = written(speaker), forgotten.read(state.forgotten)
    listed = sorted({*known, speaker})
    text = json.dumps(listed, ensure_ascii=False)
    atomic.write(state.forgotten, text, durable=True)
    features = _empty(state.cache)
    _empty(state.strategy)  # made of all speakers' recordings: a run's next round begins without
    word = {"listed": len(listed), "list": hashlib.sha256(text.encode()).hexdigest(), "does": DOES, "not": DOES_NOT}
    Ledger.of_site(state.ledger, kit.name).forget(word)
    AuditLog(state.audit).add(site_log.FORGET, **word)
    return Forgotten(before=speaker in known, listed=len(listed), features=features)


def recordings_of(speaker: str, data: DataConfig) -> int:
    """How many recordings of a speaker there are, usable or not, under any spelling that is not another person's.

    Raises:
        UsageError: there is no such speaker; the nearest is named.
        CorpusError: the root holds no such corpus.
    """
    listed = list_corpus(data).listed
    found = {utterance.speaker for utterance in listed}
    left = speaker_ids.without(listed, [speaker], distinct=data.speaker_ids == "distinct")
    if len(left) == len(listed):
        near = difflib.get_close_matches(speaker, found, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"--speaker {speaker} is none of the {len(found)} speakers at {data.root}{hint}")
    return len(listed) - len(left)


def _empty(folder: Path) -> bool:
    """Delete what a folder holds, and not the folder; whether it was there.

    Raises:
        FedserError: something could not be deleted.
    """
    if not folder.is_dir():
        return False
    try:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise FedserError(
            f"{folder} cannot be emptied: {error.strerror}; delete what it holds, and try again"
        ) from None
    return True

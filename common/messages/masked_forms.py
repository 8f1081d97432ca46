"""The messages of sums behind masks (``common.secure``): the coordinator's requests, and what leaves a site's node.

Texts of JSON are not looked into here: ``common.flower.sum_messages`` reads them, and refuses what is none.
"""

from __future__ import annotations

from common import protocol
from common.messages.fields import SHA256, Count, Fields, Names, Numbers, Text
from common.messages.forms import Form, RecordForm
from common.messages.scope import Scope

SCORES = (protocol.EVALUATE, protocol.EVALUATE_CONFIDENCE, protocol.EVALUATE_TEST)  # of which a site may have none
MASKABLE = (protocol.STATISTICS, protocol.TRAIN, *SCORES)
ALONE = (protocol.KEYS, protocol.VOTE, protocol.UNMASK)  # which a node answers without its app
MOST_NUMBER = 10**6  # of a sum in a run

_RUN = Text(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of letters, digits, '_', '.' and '-'")
_HEX = Text(r"[0-9a-f]{2,1000}", "hex digits")
_JSON = Text(r"\{[^\r\n]{0,4000000}\}", "a JSON object in one line")
_ROUND: Fields = {protocol.RUN: _RUN, protocol.NUMBER: Count(0, MOST_NUMBER), protocol.ROSTER: _JSON}


def _config(fields: Fields, *perhaps: Fields) -> RecordForm:
    return RecordForm(kind="ConfigRecord", fields=fields, perhaps=perhaps)


def asked() -> dict[str, RecordForm]:
    """What a request has beside its own records, so that its reply leaves masked."""
    return {protocol.SECURE: _config(_ROUND)}


def masked(words: int | None) -> dict[str, RecordForm]:
    """What a masked reply has.

    Args:
        words: how many; None where that is not known.
    """
    opens: Fields = {protocol.CONTEXT: Text(SHA256, "64 hex digits"), protocol.COMMITMENT: _HEX, protocol.SHARES: _JSON}
    numbers = Numbers("uint32", (words,))
    return {
        protocol.MASKED: RecordForm(kind="ArrayRecord", fields={protocol.WORDS: numbers}),
        protocol.SECURE: _config(opens),
    }


def keys_request(_: Scope) -> Form:
    """What a site says of itself in a run is asked for."""
    return Form(records={protocol.CONFIG: _config({protocol.RUN: _RUN})})


def keys_reply(_: Scope) -> Form:
    """It is text, whose signature is what counts."""
    return Form(records={protocol.CONFIG: _config({protocol.ENTRY: _JSON})})


def vote_request(_: Scope) -> Form:
    """Whose words are in a sum."""
    return Form(records={protocol.CONFIG: _config({}), protocol.SECURE: _config({**_ROUND, protocol.SITES: Names()})})


def vote_reply(_: Scope) -> Form:
    """A signature of that."""
    return Form(records={protocol.CONFIG: _config({protocol.SIGNATURE: _HEX})})


def unmask_request(_: Scope) -> Form:
    """Likewise, with this site's shares of the masks, and the signatures."""
    fields: Fields = {**_ROUND, protocol.SITES: Names(), protocol.SHARES: _JSON, protocol.VOTES: _JSON}
    return Form(records={protocol.CONFIG: _config({}), protocol.SECURE: _config(fields)})


def unmask_reply(_: Scope) -> Form:
    """The shares opened, and the seeds of masks with those that are missing."""
    return Form(records={protocol.CONFIG: _config({protocol.SHARES: _JSON, protocol.SEEDS: _JSON})})

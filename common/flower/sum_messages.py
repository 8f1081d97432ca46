"""What travels in a sum's messages, as Flower's records and back; the forms are ``common.messages.masked_forms``'s."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common import protocol
from common.errors import FederationError
from common.secure.roster import Roster, RosterEntry, entry_of
from common.secure.round_terms import RoundTerms
from common.secure.sum_opening import MaskedUpdate, Opening, Unmasking

Content = Mapping[str, Mapping[str, Any]]


def terms_of(kind: str, content: RecordDict, *, bundle: str, settings: Mapping[str, Any], rounds: int) -> RoundTerms:
    """The terms of what a message asks for, as it was sent or received.

    Of another message than ``train`` the model is named after its kind: it is no update of that model that is added
    up, so that the same model may be trained as well.

    Args:
        kind: of the message.
        content: of it, its arrays not packed.
        bundle: SHA-256 of the app's code.
        settings: of the run.
        rounds: of the first pass.

    Raises:
        FederationError: it names no sum.
    """
    told = _secure(content)
    arrays = {
        str(name): {key: array.numpy() for key, array in record.items()}
        for name, record in content.array_records.items()
    }
    config: Mapping[str, Any] = content.config_records.get(protocol.CONFIG, {})
    number = int(told[protocol.NUMBER])
    if kind == protocol.TRAIN and config.get(protocol.ROUND) != number:
        raise FederationError(f"the message is of round {config.get(protocol.ROUND)} and of sum {number}")
    terms = RoundTerms.of(
        run=str(told[protocol.RUN]),
        number=number,
        refit=kind == protocol.TRAIN and number > rounds,
        bundle=bundle,
        settings=settings,
        asked=config,
        arrays={protocol.ARRAYS: {}, **arrays},
    )
    if kind == protocol.TRAIN:
        return terms
    return terms.named(kind if protocol.ARRAYS in arrays else f"{kind} {terms.run}")  # without a model: once a run


def asked(run: str, number: int, roster: Roster) -> ConfigRecord:
    """What a request has beside its own records."""
    return ConfigRecord({protocol.RUN: run, protocol.NUMBER: number, protocol.ROSTER: roster.text})


def roster_of(content: RecordDict) -> Roster:
    """The roster of a request.

    Raises:
        FederationError: it has none.
    """
    return Roster.read(str(_secure(content)[protocol.ROSTER]))


def entry_reply(entry: RosterEntry) -> RecordDict:
    """A site's entry."""
    return RecordDict({protocol.CONFIG: ConfigRecord({protocol.ENTRY: json.dumps(asdict(entry), sort_keys=True)})})


def read_entry(content: Content) -> RosterEntry:
    """A site's entry.

    Raises:
        FederationError: it is none.
    """
    try:
        return entry_of(json.loads(content[protocol.CONFIG][protocol.ENTRY]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise FederationError("it told no entry of the roster, expected its key, counts and signature") from None


def masked_records(update: MaskedUpdate) -> dict[str, ArrayRecord | ConfigRecord]:
    """What leaves in place of a reply's arrays and figures."""
    opens = {protocol.CONTEXT: update.context, protocol.COMMITMENT: update.commitment}
    return {
        protocol.MASKED: ArrayRecord({protocol.WORDS: Array(update.words)}),
        protocol.SECURE: ConfigRecord({**opens, protocol.SHARES: _hex(update.shares)}),
    }


def read_masked(site: str, content: Content) -> MaskedUpdate:
    """A masked reply.

    Args:
        site: whose it is.
        content: its values, checked.

    Raises:
        FederationError: its shares are none.
    """
    told = content[protocol.SECURE]
    words = np.asarray(content[protocol.MASKED][protocol.WORDS], np.uint32)
    names = {"context": str(told[protocol.CONTEXT]), "commitment": str(told[protocol.COMMITMENT])}
    return MaskedUpdate(site=site, words=words, shares=_bytes(told[protocol.SHARES]), **names)


def opening_request(opening: Opening) -> RecordDict:
    """Whose words are in a sum, as a site is asked to sign it."""
    told = ConfigRecord(
        {
            protocol.RUN: opening.run,
            protocol.NUMBER: opening.number,
            protocol.ROSTER: opening.roster,
            protocol.SITES: list(opening.sites),
        }
    )
    return RecordDict({protocol.CONFIG: ConfigRecord(), protocol.SECURE: told})


def unmask_request(opening: Opening) -> RecordDict:
    """The same with the asked site's shares and the votes."""
    more = {protocol.SHARES: _hex(opening.shares), protocol.VOTES: json.dumps(dict(opening.votes), sort_keys=True)}
    told = opening_request(opening).config_records[protocol.SECURE]
    return RecordDict({protocol.CONFIG: ConfigRecord(), protocol.SECURE: ConfigRecord({**told, **more})})


def read_opening(content: RecordDict) -> Opening:
    """What a site is asked, to vote or to unmask.

    Raises:
        FederationError: it is no such thing.
    """
    told = _secure(content)
    return Opening(
        run=str(told[protocol.RUN]),
        number=int(told[protocol.NUMBER]),
        roster=str(told[protocol.ROSTER]),
        sites=tuple(told[protocol.SITES]),
        shares=_bytes(told.get(protocol.SHARES, "{}")),
        votes=_texts(told.get(protocol.VOTES, "{}")),
    )


def vote_reply(signature: str) -> RecordDict:
    """A vote."""
    return RecordDict({protocol.CONFIG: ConfigRecord({protocol.SIGNATURE: signature})})


def unmask_reply(told: Unmasking) -> RecordDict:
    """What a site tells to open a sum."""
    opens = ConfigRecord({protocol.SHARES: _hex(told.shares), protocol.SEEDS: _hex(told.seeds)})
    return RecordDict({protocol.CONFIG: opens})


def read_unmasking(content: Content) -> Unmasking:
    """What a site told.

    Raises:
        FederationError: it is no such thing.
    """
    told = content[protocol.CONFIG]
    return Unmasking(shares=_bytes(told[protocol.SHARES]), seeds=_bytes(told[protocol.SEEDS]))


def _secure(content: RecordDict) -> Mapping[str, Any]:
    record = content.config_records.get(protocol.SECURE)
    if record is None:
        raise FederationError("the message names no sum behind masks")
    return record


def _hex(told: Mapping[str, bytes]) -> str:
    return json.dumps({site: own.hex() for site, own in told.items()}, sort_keys=True)


def _bytes(text: Any) -> dict[str, bytes]:
    try:
        return {site: bytes.fromhex(own) for site, own in _texts(text).items()}
    except ValueError:
        raise FederationError("a message has no hexadecimal digits where it should") from None


def _texts(text: Any) -> dict[str, str]:
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(own, str) for own in found.values()):
        raise FederationError("a message has no texts by site where it should")
    return found

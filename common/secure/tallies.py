"""What rides with a round's words, or has a sum of its own: losses, counts, sums of features, each in its digits.

Beside an update the mean loss, and how the model that came in does on the validation speakers: so that costs no message
of its own. In the second pass nobody is set aside. A site without validation speakers tells zeros, and so do all in
round 1, whose model nobody trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import protocol
from common.errors import FederationError
from common.secure.long_numbers import DIGITS, digits_of, numbers_of
from common.secure.round_words import Beside, RoundLayout

Numbers = dict[str, list[float]]


def beside_update(figures: Mapping[str, Any], classes: int, *, refit: bool) -> Beside:
    """What an app tells beside an update, as it rides with the words.

    Args:
        figures: of its reply.
        classes: how many the model tells apart.
        refit: whether the round is of the second pass.
    """
    sizes = {} if refit else _validated(classes)
    counts = {name: digits_of(_listed(figures.get(name, [0] * size))) for name, size in sizes.items()}
    return Beside(means={protocol.LOSS: float(figures[protocol.LOSS])}, counts=counts)


def layout_of_update(entries: int, classes: int, *, refit: bool) -> RoundLayout:
    """The words of an update of so many entries, and of what is beside it."""
    sizes = {} if refit else _validated(classes)
    counts = {name: DIGITS * size for name, size in sizes.items()}
    return RoundLayout(entries=entries, means=(protocol.LOSS,), counts=counts)


def tally_of(kind: str, reply: Mapping[str, Any], *, classes: int, weight: int) -> Beside:
    """The numbers of a reply that is no update; zeros for what a site has nothing of.

    Args:
        kind: of the message.
        reply: of the app: its records.
        classes: that the model tells apart.
        weight: the site's recordings, where most are matrices of features what these count for.

    Raises:
        FederationError: there are more numbers of something than there should be.
    """
    told: dict[str, Any] = dict(reply[protocol.METRICS])
    features = 0
    if kind == protocol.STATISTICS:
        told |= {name: array.numpy().tolist() for name, array in reply[protocol.ARRAYS].items()}
        told[protocol.MATRICES] = told[protocol.MATRICES] * weight
        features = len(told["total"])
    counts = {name: _added(told.get(name, 0), size) for name, size in _sizes(kind, features, classes).items()}
    return Beside(counts={name: digits_of(own) for name, own in counts.items()})


def layout_of_tally(kind: str, *, features: int, classes: int) -> RoundLayout:
    """The words of such a reply.

    Args:
        kind: of the message.
        features: of a frame.
        classes: how many the model tells apart.
    """
    sizes = _sizes(kind, features, classes)
    return RoundLayout(entries=0, counts={name: DIGITS * size for name, size in sizes.items()})


def _sizes(kind: str, features: int, classes: int) -> dict[str, int]:
    """How many numbers there are of each name."""
    examples, table = {protocol.EXAMPLES: 1}, classes**2
    match kind:
        case protocol.STATISTICS:
            return {"total": features, "square": features, protocol.FRAMES: 1, protocol.MATRICES: 1}
        case protocol.EVALUATE:
            return examples | {protocol.LOSS: 1, protocol.CONFUSION: table}
        case protocol.EVALUATE_CONFIDENCE:
            bins = {protocol.RIGHT: protocol.BINS, protocol.WRONG: protocol.BINS}
            return examples | {protocol.LOSSES: len(protocol.TEMPERATURES), **bins}
        case _:
            tables = (protocol.CONFUSION, *map(protocol.after, protocol.AFTER))
            return examples | {protocol.SPEAKERS: 1} | dict.fromkeys(tables, table)


def numbers_told(beside: Beside) -> Numbers:
    """What the sites of a sum told together, by name."""
    return {name: numbers_of(own) for name, own in beside.counts.items()}


def _validated(classes: int) -> dict[str, int]:
    return {protocol.CONFUSION: classes**2, protocol.VALIDATION_EXAMPLES: 1, protocol.VALIDATION_LOSS: 1}


def _listed(own: Any) -> Sequence[float]:
    return own if isinstance(own, Sequence) else [own]


def _added(told: Any, size: int) -> Sequence[float]:
    """So many numbers, those of several groups added up; zeros for none."""
    listed = _listed(told or [0] * size)
    if len(listed) % size:
        raise FederationError(f"{len(listed)} numbers are to be added up, expected {size}; nothing is masked")
    return [sum(listed[place::size]) for place in range(size)]

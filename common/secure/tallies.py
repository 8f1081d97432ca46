"""What rides with a round's words, or has a sum of its own: losses, counts, sums of features, each in its digits.

Beside an update the mean loss, and how the model that came in does on the validation speakers: so that costs no message
of its own. In the second pass nobody is set aside. A site without validation speakers tells zeros, and so do all in
round 1, whose model nobody trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common import protocol
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


def tally_of(kind: str, reply: Mapping[str, Any], weight: int) -> Beside:
    """The numbers of a reply that is no update.

    Args:
        kind: of the message.
        reply: of the app: its records.
        weight: the site's recordings, where most are matrices of features what these count for.
    """
    told: dict[str, Any] = dict(reply[protocol.METRICS])
    if kind == protocol.STATISTICS:
        told |= {name: array.numpy().tolist() for name, array in reply[protocol.ARRAYS].items()}
        told[protocol.MATRICES] = told[protocol.MATRICES] * weight
    return Beside(counts={name: digits_of(_listed(own)) for name, own in told.items()})


def layout_of_tally(kind: str, *, features: int, classes: int) -> RoundLayout:
    """The words of such a reply.

    Args:
        kind: of the message.
        features: of a frame.
        classes: how many the model tells apart.
    """
    bins = protocol.BINS
    sizes = {
        protocol.STATISTICS: {"total": features, "square": features, protocol.FRAMES: 1, protocol.MATRICES: 1},
        protocol.EVALUATE: {protocol.EXAMPLES: 1, protocol.LOSS: 1, protocol.CONFUSION: classes**2},
        protocol.EVALUATE_CONFIDENCE: {
            protocol.EXAMPLES: 1,
            protocol.LOSSES: len(protocol.TEMPERATURES),
            protocol.RIGHT: bins,
            protocol.WRONG: bins,
        },
    }[kind]
    return RoundLayout(entries=0, counts={name: DIGITS * size for name, size in sizes.items()})


def numbers_told(beside: Beside) -> Numbers:
    """What the sites of a sum told together, by name."""
    return {name: numbers_of(own) for name, own in beside.counts.items()}


def _validated(classes: int) -> dict[str, int]:
    return {protocol.CONFUSION: classes**2, protocol.VALIDATION_EXAMPLES: 1, protocol.VALIDATION_LOSS: 1}


def _listed(own: Any) -> Sequence[float]:
    return own if isinstance(own, Sequence) else [own]

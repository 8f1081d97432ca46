"""Who judges a site's own models: its validation speakers, or, where it has none, a part of those who train."""

from __future__ import annotations

from dataclasses import dataclass, replace

from client.holding import Holding
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.resident import of_speakers
from common.seeds import numpy_generator

FIFTH = 5  # one of so many judges


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Who trains a site's own model, and who judges it.

    Attributes:
        holding: the site's, with the ones as ``train`` and the others as ``validation``.
        seen: whether the run's model was trained on those who judge: then it is thought better of than it should be.
        rejoins: whether those who judged train the model that is kept.
        told: who they are, for people.
    """

    holding: Holding
    seen: bool
    rejoins: bool
    told: str


def bench_of(holding: Holding, config: Config, *, strangers: bool) -> Bench | None:
    """Who judges at a site; None where it has a single recording.

    Args:
        holding: what the site holds; recordings of which nothing is left take no part.
        config: of the run, whose seed draws those who judge where nobody was set aside.
        strangers: whether there is a model that the validation speakers have not trained.
    """
    train = [own for own in holding.train if own.versions]
    validation = [own for own in holding.validation if own.versions]
    if validation:
        own = replace(holding, train=train, validation=validation)
        told = f"{len(validation)} recordings of {_counted(validation)} for validation"
        return Bench(holding=own, seen=not strangers, rejoins=config.refits, told=told)
    names = sorted({own.utterance.speaker for own in train})
    if len(names) > 1:
        chosen = {names[place] for place in _fifth(len(names), config.seed, holding.name)}
        judges, rest = of_speakers(train, chosen), [r for r in train if r.utterance.speaker not in chosen]
    else:
        places = set(_fifth(len(train), config.seed, holding.name))
        judges, rest = ([r for n, r in enumerate(train) if (n in places) is judge] for judge in (True, False))
    if not rest:
        return None
    told = f"{len(judges)} recordings of {_counted(judges)} who trained it too, for nobody was set aside for validation"
    beside = replace(holding, train=rest, validation=judges)
    return Bench(holding=beside, seen=True, rejoins=True, told=told)


def _fifth(count: int, seed: int, site: str) -> list[int]:
    order: list[int] = numpy_generator(seed, site, "judges").permutation(count).tolist()
    return order[: max(1, round(count / FIFTH))]


def _counted(recordings: list[Recording]) -> str:
    count = len({own.utterance.speaker for own in recordings})
    return f"{count} speaker{'s' if count > 1 else ''}"

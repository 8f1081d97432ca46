"""What one side knows of a run before it reads a message: the ranges that no protocol can fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from common.config.settings import Config
from common.messages.fields import RECORDINGS, Numbers
from common.strategies.available import CATALOGUE


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is known of a run where a message of it is read.

    Attributes:
        private: whether the run is; then nothing is told but what the noise covers.
        at_sites: whether the sites add the noise, and keep ledgers.
        summed: whether a site sends its part of a summed step with shared noise in place of a model.
        site: the name that a site must give; empty where any may come.
        classes: the names of classes that may be told; None where any may come.
        class_count: how many the model tells apart.
        features: of a frame; None where it is not known.
        most: recordings that can have been scored.
        most_speakers: held-out ones that a site can have.
        one_by_one: whether held-out speakers may be counted one by one, and not only all together.
        farewell: whether a hello is the farewell, which is told no counts.
        normalise: how features are scaled: it says which counts of held-out speakers there are.
        simulated: whether all sites are on one machine, whose coordinator holds their held-out speakers.
        model: the form of each of the model's arrays; see ``forms_of``.
        extra: further records of arrays, each like the model's in ``float32``, that the strategy sends beside it.
        secure: whether what is added up leaves the sites behind masks.
        words: how many masked words there are; None where it is not known.
        max_rounds: the last round that may be asked for.
        mu: the least and the greatest weight of FedProx's term.
    """

    private: bool = False
    at_sites: bool = False
    summed: bool = False
    site: str = ""
    classes: tuple[str, ...] | None = None
    class_count: int = 2
    features: int | None = None
    most: int = RECORDINGS
    most_speakers: int = RECORDINGS
    one_by_one: bool = True
    farewell: bool = False
    normalise: str = "global"
    simulated: bool = False
    model: Mapping[str, Numbers] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    secure: bool = False
    words: int | None = None
    max_rounds: int = 100_000
    mu: tuple[float, float] = (0.0, 1e6)

    @classmethod
    def of(cls, config: Config, **known: Any) -> Self:
        """With what a run's settings say; ``known`` are the other attributes."""
        privacy, mode = config.privacy, config.data.normalise
        return cls(
            private=privacy.on,
            at_sites=privacy.at_sites,
            summed=privacy.shared,
            secure=config.federation.secure,
            normalise=mode,
            **known,
        )


def extra_records(config: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the further records of a run's strategy: of those that it sends, and of those that come back."""
    declared = CATALOGUE[config.federation.strategy]
    return declared.down, declared.up


def forms_of(arrays: Mapping[str, Any]) -> dict[str, Numbers]:
    """The form of each array, of Flower's or of NumPy's, by name, in the order of the names."""
    return {name: Numbers(str(arrays[name].dtype), tuple(arrays[name].shape)) for name in sorted(arrays)}

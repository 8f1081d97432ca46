"""The conditions of a sweep: how private a trial is, and what all of them share.

So that the frontier shows privacy's cost and nothing else, every condition has what the strictest may have. The
strictest is the one with the smallest unit: ``utterance`` before ``speaker`` before ``site``. From its recipe
(``common.privacy.recipe``) all take:

- the normalisation, and the scaling that comes with it;
- class weights, or none;
- the training speakers: a private run sets nobody aside, so no condition has validation speakers;
- the choice of the model: the last round's, or the mean of the last rounds' where ``privacy.average`` says so;
- the model itself, the augmentation, the number of rounds and of passes over the recordings.

What belongs to a mechanism follows the mechanism: each unit has its own recipe's sample rate and clipping norm, and a
condition whose sites add no noise (``inf``, and the unit ``site``) trains with the ordinary optimizer of
``common.config.settings`` where the recipe names one that is made for clipped and noisy gradients. A learning rate that
fits gradients of length one would handicap it, and privacy would look cheaper than it is. Whatever the user sets holds
for every condition.

A sweep without a private condition shares nothing but what the user set.

A condition may end in ``:encoder``: it alone, then, has the encoder of ``--encoder`` in front, and the others have the
classic features. What the strictest of those may have fits no rows of an encoder, and the other way round: so a
condition with an encoder of its own shares no scaling, and is trained by the recipe that ``fedser simulate`` would
take. Who trains and who is tested is the same for all. Where no condition says it, ``--encoder`` is for all of them,
and they share the strictest one's scaling of its rows.

One that ends in ``:shared`` has the settings of the same condition without the word, and as many noisy steps, each a
round of all sites with one noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.config.settings import Config
from common.config.units import UNITS, rank
from common.errors import UsageError
from common.privacy.recipe import private_settings
from common.privacy.sharing import steps_per_round

# Set by the conditions; whoever sets them for all asks for something else than a sweep.
OWN = (
    *("privacy.unit", "privacy.epsilon", "privacy.noise_multiplier", "privacy.noise", "privacy.budget"),
    "privacy.canaries",
)
OPTIMIZER = (
    "training.optimizer",
    "training.learning_rate",
    "training.schedule",
    "training.momentum",
    "training.weight_decay",
)
MECHANISM = ("privacy.sample_rate", "privacy.max_grad_norm", "training.learning_rate")
ENCODER = "encoder"
SHARED = "shared"
WORDS = (ENCODER, SHARED)  # that may follow, each after a colon


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How private a trial is, and what else sets it apart.

    Attributes:
        unit: of privacy; None for none.
        epsilon: of the unit; inf for no privacy.
        words: of ``WORDS``, in their order.
    """

    unit: str | None
    epsilon: float
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As ``--conditions`` takes it: ``inf``, ``utterance:8`` or ``utterance:8:encoder``."""
        return ":".join((f"{self.unit}:{self.epsilon:g}" if self.unit else "inf", *self.words))

    @property
    def encoded(self) -> bool:
        """Whether it has an encoder in front that the conditions without this word have not."""
        return ENCODER in self.words

    @property
    def sharing(self) -> bool:
        """Whether its sites share one noise."""
        return SHARED in self.words

    @property
    def target(self) -> float | None:
        """ε for JSON; None for no privacy."""
        return self.epsilon if self.unit else None


def parse(text: str) -> list[Condition]:
    """Read ``--conditions``.

    Args:
        text: names with commas between, e.g. ``inf,utterance:8,utterance:8:encoder``.

    Raises:
        UsageError: a name that is none, or one that comes twice.
    """
    found = [read(name) for name in text.replace(",", " ").split()]
    if not found:
        raise UsageError("--conditions is empty, expected e.g. inf,utterance:8,speaker:8")
    names = [condition.name for condition in found]  # trials and folders are told apart by it
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"--conditions names {', '.join(sorted(twice))} twice (ε is told to six digits)")
    return found


def read(name: str) -> Condition:
    """Read the name of one condition.

    Raises:
        UsageError: it is none.
    """
    unit, *more = name.split(":")
    if unit == "inf" and SHARED in more:
        raise UsageError(f"--conditions has {name!r}: without privacy there is no noise to share")
    if unit == "inf":
        return Condition(unit=None, epsilon=math.inf, words=_words(name, more))
    try:
        epsilon = float(more[0] if more else "")
    except ValueError:
        epsilon = math.nan
    if unit not in UNITS or not 0 < epsilon < math.inf:
        raise UsageError(f"--conditions has {name!r}, expected inf, or {', '.join(UNITS)} with an ε, as in speaker:8")
    return Condition(unit=unit, epsilon=epsilon, words=_words(name, more[1:]))


def _words(name: str, found: Sequence[str]) -> tuple[str, ...]:
    if not set(found) <= set(WORDS) or len(set(found)) < len(found):
        raise UsageError(
            f"--conditions has {name!r}, which ends in {':'.join(found)}: expected nothing more, or one of "
            f"{', '.join(WORDS)}, as in speaker:8:{WORDS[0]}"
        )
    return tuple(word for word in WORDS if word in found)


def shared(given: Mapping[str, Any], conditions: Sequence[Condition]) -> dict[str, Any]:
    """What the user set, completed by what all conditions share.

    Args:
        given: by flat name; the strategy, the sites and the seed of a trial may be among it.
        conditions: of the sweep.

    Raises:
        UsageError: the user set what the conditions set, or what the strictest condition may not have.
    """
    for name in OWN:
        if name in given:
            raise UsageError(f"{name} is set, which is for --conditions to say in a benchmark; leave it out")
    private = [condition for condition in conditions if condition.unit]
    if not private:
        return dict(given)
    strictest = min(private, key=lambda condition: rank(str(condition.unit)))
    values = private_settings(_asked(given, strictest))
    return {n: v for n, v in values.items() if n not in OWN and (n not in MECHANISM or n in given)}


def settings_of(condition: Condition, given: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one condition.

    Args:
        condition: one of the sweep's.
        given: what the user set.
        common: of ``shared``.

    Raises:
        UsageError: the user set what this condition may not have.
    """
    values = dict(common)
    if condition.unit is None or not UNITS[condition.unit].at_sites:
        values = {n: v for n, v in values.items() if n not in OPTIMIZER or n in given}
    if condition.unit is None:
        return private_settings(values)  # by the recipe of an encoder, where there is one
    recipe = private_settings(_asked(given, condition))
    own = private_settings(_asked({n: v for n, v in recipe.items() if n in MECHANISM} | values, condition))
    return _summed(own) if condition.sharing else own


def own_settings(condition: Condition, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a condition that shares none: what the user set, completed by its own recipe.

    Args:
        condition: one of the sweep's.
        given: what the user set, and who takes part.

    Raises:
        UsageError: the user set what this condition may not have.
    """
    if condition.unit is None and given.get("data.normalise") != "public":  # they are of a public scaling
        given = {n: v for n, v in given.items() if n != "encoder.components"}
    values = private_settings(_asked(given, condition) if condition.unit else given)
    values = _summed(values) if condition.sharing else values
    scaled = values.get("data.normalise") == "public" or values.get("encoder.components")
    return {n: v for n, v in values.items() if n != "data.public" or scaled}  # which is of those that it scales


def _summed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with one noise of all sites, and each noisy step of a round as a round of its own."""
    own = Config().with_values(values)
    rounds = own.federation.rounds * steps_per_round(own, own.privacy.sample_rate or 1.0)
    shared_noise = {"privacy.noise": "shared", "federation.secure": True, "federation.rounds": rounds}
    return private_settings({**values, **shared_noise})


def config_of(condition: Condition, given: Mapping[str, Any], common: Mapping[str, Any]) -> Config:
    """As ``settings_of``, checked and complete."""
    return Config().with_values(settings_of(condition, given, common))


def _asked(values: Mapping[str, Any], condition: Condition) -> dict[str, Any]:
    return {**values, "privacy.unit": condition.unit, "privacy.epsilon": condition.epsilon}

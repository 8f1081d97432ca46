"""The settings of a private run: its recipe, and the refusal of what would leak beside the noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config.sections import WEIGHTED
from common.config.settings import Config, PrivacyConfig
from common.errors import UsageError
from common.privacy.allowances import refusals
from common.privacy.judgements import JUDGEMENTS
from common.privacy.sharing import refuse_unshareable, steps_per_round

# How these were chosen: LOG.md, "The private recipe".
RECIPES: dict[str, dict[str, Any]] = {
    "utterance": {"data.normalise": "utterance", "training.class_weights": "none"},
    "speaker": {
        "data.normalise": "speaker",
        "training.class_weights": "none",
        "privacy.sample_rate": 1.0,
        "privacy.max_grad_norm": 0.03,  # a speaker's gradient is the mean of many that point everywhere: it is short
    },
    "site": {"data.normalise": "speaker"},
}
SEQUENTIAL: dict[str, Any] = {"privacy.sample_rate": 0.25}  # of a BiLSTM, whose steps are dear
# A linear model bears noise that a BiLSTM doesn't. It sees each utterance's means and deviations; where each utterance
# is normalised by itself these say nothing, and it sees its contours.
LINEAR: dict[str, Any] = {
    "model.kind": "linear",
    "model.hidden": 0,
    "model.statistics": "means",
    "model.dropout": 0.0,
    "augment.copies": 0,
    "augment.time_masks": 0,
    "augment.feature_masks": 0,
    "training.optimizer": "sgd",
    "training.momentum": 0.0,
    "training.weight_decay": 0.0,
    "training.learning_rate": 4.0,
    "training.schedule": "constant",
    "training.label_smoothing": 0.0,
    "training.local_epochs": 2,
    "federation.rounds": 50,
    "privacy.sample_rate": 0.5,
    "privacy.average": 0.5,
}

# One row an utterance, which a linear model takes; LOG.md, "Public encoders".
COMPONENTS = 128  # of public speech, that a private run's rows are brought to
ENCODED: dict[str, Any] = {
    "model.kind": "linear",
    "model.hidden": 0,
    "model.statistics": "rows",
    "augment.copies": 0,
    "augment.time_masks": 0,
    "augment.feature_masks": 0,
    "training.learning_rate": 2e-2,
}

# Copies in noise, of classic features: half of four bear it better than both of two; LOG.md, "Noise".
NOISY: dict[str, Any] = {"augment.copies": 4, "augment.noise_share": 0.5}


def private_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings completed by the recipes: of an encoder, of noise and of privacy, where they name one.

    Args:
        given: what the user chose, by flat name, in flags and files.

    Raises:
        UsageError: something that was chosen would tell of the recordings beside the noise.
    """
    given = _settled(given)
    pooled = bool(given.get("encoder.path")) and given.get("encoder.pool", "statistics") == "statistics"
    privacy = Config().with_values({name: own for name, own in given.items() if name.startswith("privacy.")}).privacy
    if not privacy.on:
        noisy = NOISY if given.get("augment.noise") else {}
        settings = {**(_with_copies(ENCODED, given) if pooled else noisy), **given}
        refuse_leaks(Config().with_values(settings))
        return settings
    recipe = {**RECIPES[privacy.unit], "data.validation": "none"}
    if privacy.at_sites:
        linear = _asks_for_linear(given)
        recipe = (LINEAR if linear else SEQUENTIAL) | recipe
        if pooled:
            recipe |= _encoded(privacy, given)
        elif linear and given.get("data.normalise", recipe["data.normalise"]) == "utterance":
            recipe["model.statistics"] = "contours"
    elif pooled:
        recipe = ENCODED | recipe
    if "training.batch_size" in given and "privacy.sample_rate" not in given:
        recipe.pop("privacy.sample_rate", None)  # then it is the batch size over the number of units
    if privacy.shared:
        recipe = _summed(recipe, given)
    settings = {**_with_copies(recipe, given), **given}
    refuse_leaks(Config().with_values(settings))
    return settings


def _summed(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with as many steps in all, each a round of all sites; for recordings smaller ones in more noise."""
    others = {name: value for name, value in given.items() if name not in ("privacy.noise", "federation.rounds")}
    own = Config().with_values({**recipe, **others})
    rate = own.privacy.sample_rate or 1.0
    rounds = {"federation.rounds": own.federation.rounds * steps_per_round(own, rate)}
    smaller = own.privacy.protects.single and not given.get("encoder.path") and recipe.get("model.kind") == "linear"
    # How it was chosen: LOG.md, "Noise that sites share".
    step = {"training.learning_rate": min(4.0, max(1.0, own.privacy.epsilon))} if smaller else {}
    return {**recipe, **step, **rounds}


def _with_copies(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe that leaves the copies alone where these are to have noise."""
    noisy = bool(given.get("augment.noise"))
    return {name: value for name, value in recipe.items() if not (noisy and name == "augment.copies")}


def _settled(given: Mapping[str, Any]) -> dict[str, Any]:
    if not any(name.startswith("encoder.") for name in given):
        return dict(given)
    from common.features.encoded import settle  # torch: a second to import

    return settle(given)


def _encoded(privacy: PrivacyConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a private run takes of an encoder: rows about as wide as the noise lets through; LOG.md."""
    single = privacy.protects.single
    recipe: dict[str, Any] = {"model.statistics": "rows", "data.normalise": "public" if single else "speaker"}
    if single:  # the more noise, the smaller the steps
        recipe["training.learning_rate"] = min(4.0, max(1.0, privacy.epsilon / 2))
    if given.get("encoder.layer") != WEIGHTED:  # which is refused, with a line of its own
        recipe["encoder.components"] = components_of(given["encoder.width"])
    return recipe


def components_of(width: int) -> int:
    """How many principal components a private run takes of an encoder's rows, each number's mean and deviation."""
    return min(COMPONENTS, 2 * width)


def _asks_for_linear(given: Mapping[str, Any]) -> bool:
    """Unless another kind is chosen, by its name or by hidden units of its own."""
    if "model.kind" in given and given.get("model.hidden", 1):
        return bool(given["model.kind"] == "linear")
    return not given.get("model.hidden")


def refuse_leaks(config: Config) -> None:
    """Refuse a private run that tells of the recordings beside the noise; whatever starts a training asks this.

    What a private run may set stands in ``common.privacy.judgements``. A run that is not private, yet has a budget or
    canaries, is refused too: somebody takes it for private.

    Raises:
        UsageError: a setting would tell, or nobody has judged whether it would; its flag is named.
    """
    privacy, mode = config.privacy, config.data.normalise
    if config.features.encoder.components and mode not in ("public", "speaker"):
        raise UsageError(f"encoder.components are those of public speech; data.normalise is {mode}, expected public")
    if not privacy.on:
        if privacy.canaries or privacy.budget < float("inf"):
            raise UsageError("--canaries and --budget need a private run: give --epsilon or --noise-multiplier")
        refuse_unshareable(config)
        return
    for line in refusals(JUDGEMENTS, config):
        raise UsageError(line)
    refuse_unshareable(config)

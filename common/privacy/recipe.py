"""The settings of a private run: its recipe, and what would leak beside the noise and is therefore off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config.settings import HOLDS_ALL, Config
from common.errors import UsageError
from common.strategies.catalogue import CATALOGUE

# How these were chosen: LOG.md, "The private recipe".
RECIPES: dict[str, dict[str, Any]] = {
    "utterance": {"data.normalise": "utterance", "training.class_weights": False},
    "speaker": {
        "data.normalise": "speaker",
        "training.class_weights": False,
        "privacy.sample_rate": 1.0,
        "privacy.max_grad_norm": 0.03,  # a speaker's gradient is the mean of many that point everywhere: it is short
    },
    "site": {"data.normalise": "speaker"},
}
SEQUENTIAL: dict[str, Any] = {"privacy.sample_rate": 0.25}  # of a BiLSTM, whose steps are dear
# A linear model bears noise that a BiLSTM doesn't. It sees each utterance's means and deviations; where each utterance
# is normalised by itself these say nothing, and it sees its contours.
LINEAR: dict[str, Any] = {
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
ALLOWED = {
    "utterance": ("utterance", "public"),
    "speaker": ("utterance", "speaker", "public"),
    "site": ("utterance", "speaker", "public"),
}


def private_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings completed by the private recipe, where they ask for privacy; otherwise as they are.

    Args:
        given: what the user chose, by flat name, in flags and files.

    Raises:
        UsageError: something that was chosen would tell of the recordings beside the noise.
    """
    privacy = Config().with_values(given).privacy
    if not privacy.on:
        if privacy.canaries or privacy.budget < float("inf"):
            raise UsageError("--canaries and --budget need a private run: give --epsilon or --noise-multiplier")
        return dict(given)
    recipe = {**RECIPES[privacy.unit], "data.validation": "none"}
    if privacy.unit != "site":
        linear = not given.get("model.hidden")
        recipe = (LINEAR if linear else SEQUENTIAL) | recipe
        if linear and given.get("data.normalise", recipe["data.normalise"]) == "utterance":
            recipe["model.statistics"] = "contours"
    if "training.batch_size" in given and "privacy.sample_rate" not in given:
        recipe.pop("privacy.sample_rate", None)  # then it is the batch size over the number of units
    settings = {**recipe, **given}
    refuse_leaks(Config().with_values(settings))
    return settings


def refuse_leaks(config: Config) -> None:
    """Refuse a private run that tells of the recordings beside the noise; a site asks this of every run too.

    Raises:
        UsageError: a setting would; its flag is named.
    """
    privacy = config.privacy
    if not privacy.on:
        return
    allowed, unit = ALLOWED[privacy.unit], privacy.unit
    if config.data.normalise not in allowed:
        raise UsageError(
            f"--normalise {config.data.normalise} would tell of other {unit}s' recordings in a run that is private for "
            f"each {unit}; use {', '.join(allowed[:-1])} or {allowed[-1]}"
        )
    if config.data.validation != "none":
        raise UsageError(
            "--validation would publish scores of private recordings: a private run sets no speaker aside; leave it out"
        )
    if config.training.class_weights and unit != "site":
        raise UsageError("training.class_weights tells how often classes occur: a private run has none; leave it out")
    if unit == "site" and config.federation.fraction < 1:
        raise UsageError("--fraction: with --privacy-unit site all sites take part in every round; leave it out")
    if unit == "speaker" and privacy.canaries and privacy.canary_kind == "recordings":
        raise UsageError("--canary-kind recordings would put speakers into several units; use --privacy-unit utterance")
    if unit == "site" and privacy.canaries:
        raise UsageError("--canaries are put in at the sites; with --privacy-unit site the server adds the noise")
    if CATALOGUE[config.federation.strategy].keeps:
        raise UsageError(
            f"--strategy {config.federation.strategy} keeps at each site, and sends, what is made of its recordings "
            "without noise: a private run has none of that; use fedavg"
        )
    if unit == "site" and config.federation.strategy in HOLDS_ALL:
        raise UsageError(f"--strategy {config.federation.strategy} needs every update as it is; use fedavg")

from __future__ import annotations

from typing import Any

import pytest

from common.config.settings import Config
from common.errors import UsageError
from common.privacy.recipe import private_settings


def test_without_privacy_nothing_is_changed() -> None:
    given = {"data.corpus": "emodb", "privacy.epsilon": "inf", "data.normalise": "global"}
    assert private_settings(given) == given


@pytest.mark.parametrize(
    ("unit", "normalise"), [("utterance", "utterance"), ("speaker", "speaker"), ("site", "speaker")]
)
def test_what_would_leak_is_off(unit: str, normalise: str) -> None:
    settings = private_settings({"privacy.epsilon": 8, "privacy.unit": unit})
    assert settings["data.normalise"] == normalise
    assert settings["data.validation"] == "none"
    assert settings.get("training.class_weights", "own") == ("own" if unit == "site" else "none")


def test_at_sites_the_model_is_linear_unless_a_wider_one_is_chosen() -> None:
    given = {"privacy.epsilon": 8}
    assert private_settings(given)["model.hidden"] == 0
    assert private_settings(given)["model.statistics"] == "contours"
    assert private_settings({**given, "data.normalise": "public"})["model.statistics"] == "means"
    chosen = private_settings({**given, "model.hidden": 32})
    assert chosen["model.hidden"] == 32
    assert "training.learning_rate" not in chosen
    person = private_settings({**given, "privacy.unit": "speaker"})
    assert (person["model.hidden"], person["model.statistics"]) == (0, "means")
    assert person["privacy.max_grad_norm"] < 1
    alone = private_settings({**given, "privacy.unit": "speaker", "data.normalise": "utterance"})
    assert alone["model.statistics"] == "contours"
    assert "model.hidden" not in private_settings({**given, "privacy.unit": "site"})


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        ({}, "linear"),
        ({"model.hidden": 0, "model.statistics": "means"}, "linear"),
        ({"model.hidden": 32}, "bilstm"),
        ({"model.kind": "bilstm"}, "bilstm"),
        ({"model.kind": "bilstm", "model.hidden": 0, "model.statistics": "means"}, "linear"),
        ({"model.kind": "linear", "model.hidden": 32, "model.statistics": "means"}, "linear"),
    ],
)
def test_the_recipe_goes_with_the_kind_of_model(chosen: dict[str, Any], kind: str) -> None:
    settings = private_settings({"privacy.epsilon": 8, **chosen})
    assert Config().with_values(settings).model.architecture.name == kind
    assert settings["privacy.sample_rate"] == (0.5 if kind == "linear" else 0.25)
    assert ("training.optimizer" in settings) == (kind == "linear")


def test_a_batch_size_that_is_given_sets_the_sample_rate() -> None:
    assert private_settings({"privacy.epsilon": 8})["privacy.sample_rate"] > 0
    assert "privacy.sample_rate" not in private_settings({"privacy.epsilon": 8, "training.batch_size": 16})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"data.normalise": "speaker"}, "--normalise speaker would tell"),
        ({"data.normalise": "global"}, "--normalise global would tell"),
        ({"data.normalise": "global", "privacy.unit": "speaker"}, "--normalise global would tell"),
        ({"data.normalise": "global", "privacy.unit": "site"}, "--normalise global would tell"),
        ({"data.validation": "one"}, "--validation"),
        ({"data.validation": "0.2", "privacy.unit": "site"}, "--validation"),
        ({"training.class_weights": True}, "--class-weights own"),
        *(({"training.class_weights": "pooled", "privacy.unit": unit}, "class") for unit in ("speaker", "site")),
        ({"federation.fraction": 0.5, "privacy.unit": "site"}, "--fraction"),
        ({"federation.strategy": "krum", "privacy.unit": "site"}, "krum"),
        ({"privacy.canaries": 10, "privacy.unit": "site"}, "--canaries"),
        (
            {"privacy.canaries": 10, "privacy.unit": "speaker", "privacy.canary_kind": "recordings"},
            "into several units",
        ),
        ({"privacy.noise_multiplier": 1.0}, "give one"),
        ({"privacy.epsilon": "nan"}, "privacy.epsilon"),
        ({"privacy.epsilon": -1}, "privacy.epsilon"),
        ({"privacy.unit": "patient"}, "privacy.unit"),
    ],
)
def test_what_contradicts_privacy_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        private_settings({"privacy.epsilon": 8, **given})


@pytest.mark.parametrize("given", [{"privacy.budget": 3}, {"privacy.canaries": 10}])
def test_options_of_privacy_need_privacy(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="need a private run"):
        private_settings(given)


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_copies_that_are_to_have_noise_stay(unit: str) -> None:
    private = {"privacy.epsilon": 8, "privacy.unit": unit}
    assert private_settings(private)["augment.copies"] == 0
    assert "augment.copies" not in private_settings({**private, "augment.noise": "0,25"})


def test_classic_features_take_noise_in_half_of_four_copies() -> None:
    noisy = private_settings({"augment.noise": "0,25"})
    assert (noisy["augment.copies"], noisy["augment.noise_share"]) == (4, 0.5)
    assert private_settings({"augment.noise": "0,25", "augment.copies": 1})["augment.copies"] == 1

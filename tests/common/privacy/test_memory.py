from __future__ import annotations

from typing import Any

import pytest

from common.config.settings import Config
from common.features.extractor import dimension
from common.models.architectures import build_model
from common.privacy import memory
from common.privacy.memory import most_bytes
from common.privacy.recipe import private_settings

BILSTM = {"model.kind": "bilstm", "model.hidden": 12, "model.projection": 8, "model.attention": 5}


def config(**more: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values(private_settings({"privacy.epsilon": 8.0, **own}))


@pytest.mark.parametrize("statistics", ["none", "means", "contours"])
@pytest.mark.parametrize("sizes", [BILSTM, {**BILSTM, "model.layers": 2}, {"model.hidden": 0}])
def test_it_counts_the_models_parameters(sizes: dict[str, Any], statistics: str) -> None:
    if not sizes["model.hidden"] and statistics == "none":
        return
    own = config(**{**sizes, "model.statistics": statistics, "data.classes": ["anger", "fear", "calm"]})
    width = dimension(own.features)
    counted = memory._parameters(own, width)
    made = sum(parameter.numel() for parameter in build_model(width, 3, own).parameters())
    if sizes["model.hidden"] and statistics == "contours":
        counted += memory._figures(own, width)  # the centre, which takes no gradient beside the others
    assert counted >= made
    assert counted - made <= memory._figures(own, width)


BASE = {**BILSTM, "privacy__max_physical_batch": 8}


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@pytest.mark.parametrize(
    "larger",
    [
        {"model.hidden": 40},
        {"model.layers": 2},
        {"model.projection": 80},
        {"model.attention": 50},
        {"privacy.max_physical_batch": 80},
        {"privacy.max_seconds": 600.0},
        {"features.windows": [10, 25, 50]},
        {"features.hop": 2},
        {"features.stack": 20},
    ],
)
def test_whatever_takes_more_memory_is_counted(unit: str, larger: dict[str, Any]) -> None:
    own = {**BASE, "privacy__unit": unit}
    if larger == {"features.stack": 20}:
        assert most_bytes(config(**{**own, **larger})) > 0.5 * most_bytes(config(**own))  # fewer frames, as much wider
    else:
        assert most_bytes(config(**{**own, **larger})) > 1.05 * most_bytes(config(**own))


def test_copies_of_a_recording_are_in_memory_together_where_recordings_are_hidden() -> None:
    few, many = ({**BASE, "privacy__multiplicity": copies} for copies in (1, 100))
    assert most_bytes(config(**many)) > 9 * most_bytes(config(**few))
    assert most_bytes(config(**many, privacy__unit="speaker")) == most_bytes(config(**few, privacy__unit="speaker"))

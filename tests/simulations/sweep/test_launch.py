from __future__ import annotations

from typing import Any

import pytest

from common.config.settings import Config
from common.progress import Display
from simulations.sweep import launch


def test_a_public_scaling_is_of_the_sweeps_own_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def embedded(config: Config, _: Display) -> Config:
        assert config.features.log_mel == 8
        assert config.data.normalise == "public"
        return config.with_values({"data.public": "made-up"})

    monkeypatch.setattr(launch, "provide_embedded", embedded)
    given = {"data.corpus": "emodb", "data.root": "/x", "data.normalise": "public", "features.log_mel": 8}
    wish: dict[str, Any] = dict.fromkeys(("strategies", "seeds", "preset", "workers", "out"))
    sweep = launch.sweep_of(
        launch.SweepStart(settings=given, conditions="inf", baselines=False, command="", **wish), None
    )
    with Display() as display:
        assert launch._with_places(sweep, display).given == {**given, "data.public": "made-up"}

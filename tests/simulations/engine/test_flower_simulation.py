from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from common.data.resident import listing
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.flower import bundle
from common.privacy.recipe import RECIPES
from simulations.engine.flower_simulation import run_under_flower, submit, superlink
from simulations.engine.fold import run_in_process
from simulations.engine.planning import plans
from tests.server.federation.coordinator import wait
from tests.simulations import tiny

PRIVATE = {"privacy.epsilon": 8.0, "privacy.insecure_seed": True, **RECIPES["utterance"], "data.validation": "none"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"federation.strategy": "scaffold"}, PRIVATE, {"data.normalise": "running", "augment.crop": 0.5}],
    ids=["plain", "scaffold", "private", "running"],
)
def test_both_engines_give_the_same_weights(tmp_path: Path, settings: dict[str, object]) -> None:
    config = tiny.config(tiny.write(tmp_path / "corpus"), data__sites="3").with_values(settings)
    [plan] = plans(config, listing(config.data), [])
    cache = FeatureCache(tmp_path / "cache")
    models = {}
    for name, run in {"own": run_in_process, "flower": run_under_flower}.items():
        folder = tmp_path / name
        folder.mkdir()
        told = run(config, plan, folder, folder / "events.jsonl", cache, workers=2)
        assert [entry.round for entry in told.rounds] == [1, 2]
        assert len((folder / "events.jsonl").read_text().splitlines()) == 2
        models[name] = safetensors.numpy.load_file(folder / "model.safetensors")
    assert set(models["own"]) == set(models["flower"])
    for name, value in models["own"].items():
        np.testing.assert_allclose(models["flower"][name], value, rtol=0, atol=1e-5)
    wait(lambda: subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True).stdout == b"", seconds=5)


@pytest.mark.slow
def test_flwr_run_of_the_app_alone_says_what_starts_a_run(tmp_path: Path) -> None:
    with superlink(tmp_path / "flower") as (home, port), contextlib.suppress(FederationError):
        submit(bundle.unpack(home / "app"), home, port, {}, nodes=2, workers=1)
    assert "use fedser simulate --engine flower" in (home / "run.log").read_text()

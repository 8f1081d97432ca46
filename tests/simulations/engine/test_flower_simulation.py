from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from common.config.settings import Config, flatten
from common.data.resident import listing
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.privacy.recipe import RECIPES
from common.protocol import RUN_KEYS
from simulations.engine.flower_simulation import APP, run_under_flower, submit, superlink
from simulations.engine.fold import run_in_process
from simulations.engine.planning import plans
from tests.simulations import tiny

PRIVATE = {"privacy.epsilon": 8.0, "privacy.insecure_seed": True, **RECIPES["utterance"], "data.validation": "none"}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, PRIVATE], ids=["plain", "private"])
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
    time.sleep(1)
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout.split()
    assert left == []


def test_the_run_config_has_every_setting_with_its_default() -> None:
    import tomllib

    table = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    flat: dict[str, object] = {}
    for name, value in table.items():
        flat |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    assert flat == {**flatten(Config()), **dict.fromkeys(RUN_KEYS, "")}


@pytest.mark.slow
def test_the_bundle_holds_code_only(tmp_path: Path) -> None:
    """Flower's default takes every file under the root; ours takes the three rings' Python, and nothing from here."""
    from flwr.cli.build import build_fab_from_disk

    path = tmp_path / "app.fab"
    path.write_bytes(build_fab_from_disk(APP))
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(path)], capture_output=True, text=True, check=True
    )
    names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert "client/app.py" in names
    assert "common/learning/model.py" in names
    allowed = re.compile(
        r"(client|common|server)/([a-z_]+/)*[a-z_]+\.py|pyproject\.toml|\.info/CONTENT|LICENSE|README\.md"
    )
    assert [name for name in names if not allowed.fullmatch(name)] == []


@pytest.mark.slow
def test_flwr_run_of_the_app_alone_says_what_starts_a_run(tmp_path: Path) -> None:
    with superlink(tmp_path / "flower") as (home, port), contextlib.suppress(FederationError):
        submit(APP, home, port, {}, nodes=2, workers=1)
    assert "use fedser simulate --engine flower" in (home / "run.log").read_text()

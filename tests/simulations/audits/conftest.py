from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.config.settings import Config, flatten
from common.data.resident import listing
from common.features.cache import FeatureCache
from common.privacy.recipe import private_settings
from simulations.engine.fold import run_in_process
from simulations.engine.output import open_folder, slug
from simulations.engine.planning import plans
from tests.simulations import tiny
from tests.simulations.audits.settings import PRIVATE

Federate = Callable[..., Path]


@pytest.fixture(scope="session")
def federate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federate]:
    """What ``fedser simulate`` leaves on the tiny corpus, but the report; with ``started`` alone, before round 1."""
    root = tmp_path_factory.mktemp("audits")
    manifest = tiny.write(root / "corpus")

    def run(name: str, started: bool = False, **more: object) -> Path:
        own = {key.replace("__", "."): value for key, value in more.items()}
        given = {**tiny.SMALL, "data.root": str(manifest), **own}
        given.pop("training.batch_size") if "privacy.sample_rate" in given else None
        config = Config().with_values(private_settings(given))
        about = {"engine": "inprocess", "baselines": False, "command": "fedser simulate", "ledger": None}
        open_folder(root / name, {**flatten(config), **about}, resume=False, overwrite=False)
        for plan in plans(config, listing(config.data), []):
            if started:
                plan.write(root / name / "folds" / slug(plan.fold) / "plan.json")
                continue
            run_in_process(
                config,
                plan,
                root / name / "folds" / slug(plan.fold),
                root / name / "events.jsonl",
                FeatureCache(root / "cache"),
                workers=0,
                ledger=root / name / "ledger" / slug(plan.fold),
            )
        return root / name

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(root / "cache"))
        yield run


@pytest.fixture(scope="session")
def plain(federate: Federate) -> Path:
    return federate("plain")


@pytest.fixture(scope="session")
def private(federate: Federate) -> Path:
    """With 200 canaries at each of two sites, at ε = 1.9."""
    return federate("private", **PRIVATE, **{"privacy.canaries": 200})

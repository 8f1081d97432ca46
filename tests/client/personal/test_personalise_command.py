from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.node.site.node_settings import NodeSettings, StateFolder
from client.personal.personal_folder import PROMISED
from client.personal.run_at_site import open_run
from common.cli import main
from common.config.settings import Config
from common.errors import UsageError
from common.learning import saved_model
from common.privacy.recipe import private_settings
from common.splits import plan as plans
from tests.client.deployment import deal
from tests.client.node import kits
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run

Captured = pytest.CaptureFixture[str]
LINEAR: dict[str, Any] = {
    "model__kind": "linear",
    "model__hidden": 0,
    "model__statistics": "means",
    "augment__time_masks": 0,
    "augment__feature_masks": 0,
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run over four sites, and each site's own recordings."""
    folder = tmp_path_factory.mktemp("trained")
    manifest = tiny.write(folder / "corpus", speakers=24, each=1)
    deal(manifest, folder)
    run(job(manifest, folder / "run", data__sites="column", data__held_out="speaker:00", **LINEAR))
    return folder


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = kits.make(tmp_path / "kit")
    about = folder / "site.toml"
    about.write_text(about.read_text().replace("st-mary", "s1"))
    return folder


def personalise(*arguments: object) -> int:
    return main.run(["site", "personalise", *map(str, arguments)])


def test_a_site_makes_a_model_of_its_own_which_is_one_like_any_without_any_network(
    trained: Path, kit: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("a socket was used")

    for way in ("connect", "bind", "listen"):
        monkeypatch.setattr(socket.socket, way, refused)
    given = ("--kit", kit, "--model", trained / "run", "--data", trained / "s1")
    assert personalise(*given, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    folder = kit / "state/personal"
    assert told["model"] == str(folder / "model.safetensors")
    assert told["judges"] == "4 recordings of 1 speaker for validation"
    assert not told["seen"]
    assert told["validation"]["personal"]["wa"] >= told["validation"]["global"]["wa"]
    assert sorted(path.name for path in folder.iterdir()) == ["MODEL_CARD.md", "model.safetensors"]
    assert not (kit / "state/ledger").exists()
    recording = next((trained / "s1").glob("*.npy"))
    assert main.run(["predict", "--model", str(folder), str(recording)]) == 0
    assert tiny.CLASSES[0] in capsys.readouterr().out
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.startswith("# The personal model of s1\n")
    assert "4 recordings of 1 speaker for validation" in card
    assert ("keep it at this site" in card) == (told["chosen"] != "global")


def test_who_validated_in_the_run_judges_here(trained: Path, kit: Path) -> None:
    saved = saved_model.load(trained / "run")
    settings = NodeSettings(kit=kit, state=StateFolder(folder=kit / "state"), data=str(trained / "s1"))
    holding = open_run(settings, saved).holding
    [own] = [site for site in plans.read(next((trained / "run").glob("folds/*/plan.json"))).sites if site.name == "s1"]
    parts = {"train": own.train, "validation": own.validation}
    assert {name: {r.utterance.speaker for r in getattr(holding, name)} for name in parts} == {
        name: set(speakers) for name, speakers in parts.items()
    }


def test_a_private_runs_model_may_be_made_the_sites_own_and_is_said_to_be_private_no_more(
    trained: Path, kit: Path, capsys: Captured, tmp_path: Path
) -> None:
    given = {"privacy.unit": "utterance", "privacy.epsilon": 8.0, "privacy.delta": 1e-3, "federation.rounds": 1}
    split = {"data.root": str(trained / "corpus/manifest.csv"), "data.held_out": "speaker:00", "data.sites": "column"}
    private = Config().with_values({**tiny.SMALL, **private_settings(given), **split})
    run(dataclasses.replace(job(trained / "corpus/manifest.csv", tmp_path / "run"), config=private))
    assert personalise("--kit", kit, "--model", tmp_path / "run", "--data", trained / "s1", "--how", "prior") == 0
    told = capsys.readouterr().out
    assert "who trained it too, for nobody was set aside for validation" in told
    assert (PROMISED in told) == (not told.startswith("global:"))


def test_a_mistake_is_one_line(trained: Path, kit: Path, capsys: Captured, tmp_path: Path) -> None:
    given = ("--kit", kit, "--data", trained / "s1")
    assert personalise(*given, "--model", trained / "run", "--how", "magic") == 2
    assert "--how is 'magic', expected" in capsys.readouterr().err
    assert personalise(*given, "--model", tmp_path / "none") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert personalise(*given, "--model", trained / "run", "--data", tmp_path / "none") != 0
    assert capsys.readouterr().err.count("\n") == 1


def test_another_width_is_refused(trained: Path, kit: Path, tmp_path: Path) -> None:
    saved = saved_model.load(trained / "run")
    sound = tiny.write(tmp_path / "other", speakers=4, each=1)
    for path in (tmp_path / "other").glob("*.npy"):
        np.save(path, np.load(path)[:, :5])
    settings = NodeSettings(kit=kit, state=StateFolder(folder=kit / "state"), data=str(sound.parent))
    with pytest.raises(UsageError, match=r"--model has 6 features a frame, the recordings at .* 5; give the model"):
        open_run(settings, saved)

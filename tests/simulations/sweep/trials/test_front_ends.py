"""A sweep whose conditions hear through classic features and through an encoder, a small random one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.data.resident import listing
from common.errors import UsageError
from common.features.encoded import encoded_width, settle
from common.progress import Display
from simulations.job.embedded import scaling_settings, write_scaling
from simulations.sweep.launch import SweepStart, start, sweep_of
from simulations.sweep.trials import trial_attacks
from simulations.sweep.trials.conditions import parse
from simulations.sweep.trials.front_ends import divided
from simulations.sweep.trials.trial import Sweep, trials
from simulations.sweep.trials.trial_attacks import kin, least_private
from tests.common.encoders.hub_folders import whisper
from tests.simulations import tiny
from tests.simulations.test_encoded_run import SMALL, write_corpus

MIXED = "inf,utterance:8,inf:encoder,utterance:8:encoder,speaker:8:encoder"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fronts")
    path = write_corpus(folder / "corpus")
    [head, *lines] = path.read_text().splitlines()
    told = [f"{line},{'female' if int(line[-1]) % 2 else 'male'}" for line in lines]  # by the speaker's number
    path.write_text("\n".join([f"{head},gender", *told]) + "\n")
    whisper(folder / "encoder")
    return folder


@pytest.fixture(autouse=True)
def cache(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(made / "cache"))


def write_public(path: Path, corpus: Path, **encoder: Any) -> str:
    """A model of public speech, of which it takes the scaling: here of the corpus itself."""
    settings = {"data.corpus": "manifest", "data.root": str(corpus)}
    features = Config().with_values(settle(encoder)).features
    with Display() as display:
        write_scaling(path, scaling_settings(features, settings), display)
    return str(path)


def wish(made: Path, conditions: str, **more: Any) -> SweepStart:
    own = {name: value for name, value in SMALL.items() if name not in ("data.validation", "training.batch_size")}
    settings = {**own, "data.root": str(made / "corpus/manifest.csv"), "encoder.path": str(made / "encoder")}
    empty: dict[str, Any] = dict.fromkeys(("strategies", "seeds", "preset"))
    given = {"workers": "0", "out": None, "command": "fedser benchmark", "baselines": False} | empty
    return SweepStart(settings=settings | more.pop("settings", {}), conditions=conditions, **given | more)


def configs(sweep: Sweep) -> dict[str, Config]:
    return {own.name: sweep.config(own, "fedavg", "2", 0) for own in sweep.conditions}


def test_each_condition_has_its_own_front_end_and_its_recipes_scaling(made: Path) -> None:
    found = configs(sweep_of(wish(made, MIXED), None))
    on = {name: config.features.encoder.on for name, config in found.items()}
    assert on == {name: name.endswith(":encoder") for name in found}
    assert encoded_width(found["inf:encoder"].features) == 2 * 32
    assert {name: (config.data.normalise, config.features.encoder.components) for name, config in found.items()} == {
        "inf": ("utterance", 0),
        "utterance:8": ("utterance", 0),
        "inf:encoder": ("running", 0),
        "utterance:8:encoder": ("public", 64),
        "speaker:8:encoder": ("speaker", 64),
    }
    assert {config.model.statistics for name, config in found.items() if on[name]} == {"rows"}
    assert {config.data.validation for config in found.values()} == {"none"}  # the same training speakers for all


def test_classic_conditions_are_as_they_are_without_the_others(made: Path) -> None:
    mixed = configs(sweep_of(wish(made, "inf,speaker:2,inf:encoder,utterance:8:encoder"), None))
    alone = configs(sweep_of(wish(made, "inf,speaker:2", settings={"encoder.path": ""}), None))
    assert {name: mixed[name] for name in alone} == alone


def test_an_encoder_that_no_condition_names_is_for_all_of_them(made: Path) -> None:
    found = configs(sweep_of(wish(made, "inf,utterance:8"), None))
    assert all(config.features.encoder.on for config in found.values())
    assert {config.data.normalise for config in found.values()} == {"public"}


def test_a_public_model_is_for_the_conditions_whose_front_end_it_has(made: Path, tmp_path: Path) -> None:
    given = {"encoder.path": str(made / "encoder")}
    given["data.public"] = write_public(tmp_path / "classic.safetensors", tiny.write(tmp_path / "corpus"))
    assert divided(given, parse(MIXED)) == (
        {"data.public": given["data.public"]},
        {"encoder.path": given["encoder.path"]},
    )
    with pytest.raises(UsageError, match=r"--public .*there is no such file"):
        divided(given | {"data.public": str(tmp_path / "none")}, parse(MIXED))


def test_conditions_share_shadows_where_their_models_read_the_same(made: Path) -> None:
    sweep = sweep_of(wish(made, "inf,utterance:8,inf:encoder,utterance:8:encoder,utterance:1:encoder"), None)
    every = trials(sweep, listing(Config().with_values(sweep.given).data), [])
    assert {trial.condition.name: least_private(kin(trial, every)).condition.name for trial in every} == {
        "inf": "inf",
        "utterance:8": "inf",
        "inf:encoder": "inf:encoder",
        "utterance:8:encoder": "utterance:8:encoder",
        "utterance:1:encoder": "utterance:8:encoder",
    }


@pytest.mark.slow
def test_a_whole_benchmark_of_two_front_ends_with_its_attacks(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_attacks, "CANARIES", 50)  # of which the encoder's model takes 18
    heard = {"encoder.path": str(made / "encoder"), "encoder.components": 8}
    public = write_public(tmp_path / "public.safetensors", made / "corpus/manifest.csv", **heard)
    more = {**heard, "data.public": public, "federation.rounds": 2}
    names = ["inf", "inf:encoder", "utterance:8:encoder"]
    asked = wish(made, ",".join(names), settings=more, out=tmp_path / "out", audit=True, shadows=2)
    told = start(asked)
    assert [own["condition"] for own in told["results"]] == names
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    found = {line["details"]["condition"]: line for line in lines}
    assert {name for name, line in found.items() if "encoder" in line} == {"inf:encoder", "utterance:8:encoder"}
    assert found["inf:encoder"]["details"]["parameters"] == 64 + 2 * (64 + 1)  # with the centre
    assert found["utterance:8:encoder"]["details"]["parameters"] == 8 + 2 * (8 + 1)
    assert len({str(line["details"]["speakers"]) for line in lines}) == 1
    for name, line in found.items():
        audit = line["audit"]
        assert audit["shadows_of"] == (name if name.endswith("encoder") else "inf")
        assert 0 <= audit["gender"]["uar"] <= 1
        for level in ("recordings", "speakers"):
            assert 0 <= audit["membership"][level]["likelihood_ratio"]["auc"] <= 1
        assert (audit["canaries"] is None) == (line["unit"] is None)
    monkeypatch.setattr("simulations.sweep.launch.write_page", lambda _, out: out)
    before = (tmp_path / "out/results.jsonl").read_bytes()
    assert start(asked)["trials"] == 3
    assert (tmp_path / "out/results.jsonl").read_bytes() == before

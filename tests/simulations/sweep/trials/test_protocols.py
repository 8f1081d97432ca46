"""Each preset is a whole protocol, and runs on a corpus of its layout."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from common.config.settings import Config
from common.data.resident import listing
from common.encoders.opening import describe_encoder
from common.errors import UsageError
from common.features.encoded import settle
from common.progress import Display
from simulations.job.embedded import scaling_settings, write_scaling
from simulations.sweep.launch import SweepStart, start, sweep_of
from simulations.sweep.trials import protocols
from simulations.sweep.trials.trial import trials
from simulations.synthesis.corpus import synthesize
from tests.common.encoders.hub_folders import whisper

SMALL = {
    "model.projection": 8,
    "model.hidden": 6,
    "model.attention": 4,
    "augment.copies": 0,
    "federation.rounds": 1,
    "training.local_epochs": 1,
}
SIZES = {"iemocap-loso": ("iemocap", 10, 80), "ravdess": ("ravdess", 8, 64), "emodb": ("emodb", 10, 70)}
SIZES |= {"cremad": ("cremad", 10, 60), "casia": ("casia", 4, 48)}
FOLDS = {"iemocap-loso": 5, "ravdess": 6, "emodb": 5, "cremad": 5, "casia": 4}
CASIA = ("angry", "fear", "happy", "neutral", "sad", "surprise")


def wish(name: str, root: Path, out: Path, **more: object) -> SweepStart:
    settings = {"data.root": str(root), **SMALL, **{key.replace("__", "."): value for key, value in more.items()}}
    return SweepStart(
        settings=settings,
        conditions="inf,utterance:8",
        strategies=None,
        seeds="0",
        preset=name,
        baselines=False,
        workers="2",
        out=out,
        command="fedser benchmark",
    )


def corpus(name: str, root: Path) -> Path:
    layout, speakers, utterances = SIZES[name]
    if layout != "casia":
        return synthesize(root, layout=layout, speakers=speakers, utterances=utterances, workers=2)
    rng = np.random.default_rng(0)
    for speaker in ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang"):
        for emotion in CASIA:
            (root / speaker / emotion).mkdir(parents=True)
            for take in (201, 202):
                soundfile.write(root / speaker / emotion / f"{take}.wav", 0.1 * rng.normal(size=8000), 16000)
    return root


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_there_is_a_preset_for_each_protocol() -> None:
    assert protocols.names() == ["casia", "cremad", "emodb", "iemocap-loso", "ravdess"]
    with pytest.raises(UsageError, match="--preset is 'iemocap'"):
        protocols.read("iemocap")


@pytest.mark.parametrize("name", protocols.names())
def test_a_preset_is_made_of_settings_and_conditions_that_go_together(name: str) -> None:
    preset = protocols.read(name)
    Config().with_values(preset.settings)
    sweep = sweep_of(SweepStart(**{**vars(wish(name, Path(), Path())), "conditions": None, "seeds": None}), preset)
    for condition in sweep.conditions:
        for sites in sweep.sites:
            assert sweep.config(condition, "fedavg", sites, 0).data.validation == "none"
    assert sweep.conditions[0].unit is None


def test_iemocap_is_the_fields_protocol(tmp_path: Path) -> None:
    preset = protocols.read("iemocap-loso")
    assert preset.expected == {"recordings": 5531, "speakers": 10}
    root = corpus("iemocap-loso", tmp_path / "corpus")
    for spec, sites in (("session", 4), ("speaker", 8)):
        sweep = sweep_of(wish("iemocap-loso", root, tmp_path, data__sites=spec), preset)
        selection = listing(sweep.config(sweep.conditions[0], "fedavg", spec, 0).data)
        found = [trial for trial in trials(sweep, selection, []) if trial.condition.unit is None]
        assert [trial.plan.fold for trial in found] == [f"session:{i}" for i in range(1, 6)]
        assert {len(trial.plan.sites) for trial in found} == {sites}
        assert [trial.plan.test for trial in found] == [(f"Ses0{i}F", f"Ses0{i}M") for i in range(1, 6)]
        assert found[0].plan.classes == ("anger", "happiness", "neutral", "sadness")


def test_another_release_is_told() -> None:
    preset = protocols.read("ravdess")
    assert protocols.deviations(preset, 1440, 24) == []
    assert protocols.deviations(preset, 1439, 24) == ["ravdess is about 1440 recordings, this corpus has 1439"]


@pytest.mark.slow
@pytest.mark.parametrize("name", protocols.names())
def test_a_preset_runs_on_its_layout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("simulations.sweep.launch.write_page", lambda _, out: out / "report.html")
    out = tmp_path / "out"
    start(wish(name, corpus(name, tmp_path / "corpus"), out))
    lines = read(out)
    assert len(lines) == 2 * FOLDS[name]
    assert len({line["fold"] for line in lines}) == FOLDS[name]
    assert {line["unit"] for line in lines} == {None, "utterance"}


@pytest.mark.slow
def test_leave_one_session_out_runs_with_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    encoder, root = whisper(tmp_path / "encoder")[0], corpus("iemocap-loso", tmp_path / "corpus")
    own = {"data.root": str(root), "encoder.path": str(encoder), "encoder.components": 8, "federation.rounds": 2}
    public = public_of_others(tmp_path, own)
    usual = wish("iemocap-loso", root, tmp_path / "out")
    start(dataclasses.replace(usual, settings={**own, "data.public": public}))
    lines = read(tmp_path / "out")
    found = [(line["unit"], line["fold"]) for line in lines]
    assert sorted(found, key=str) == sorted(
        [(unit, f"session:{session}") for unit in (None, "utterance") for session in range(1, 6)], key=str
    )
    for line in lines:
        config = line["config"]
        assert config["encoder.sha256"] == describe_encoder(encoder).sha256
        assert (config["model.kind"], config["model.statistics"]) == ("linear", "rows")
    assert f"| encoder.sha256 | {describe_encoder(encoder).sha256} |" in (tmp_path / "out/report.md").read_text()


def public_of_others(folder: Path, given: dict[str, Any]) -> str:
    """The scaling of other made-up people's recordings."""
    root = synthesize(folder / "others", layout="iemocap", speakers=4, utterances=32, seed=5, workers=2)
    settings = settle({**given, "data.normalise": "public"})
    of = {"data.corpus": "iemocap", "data.root": str(root)}
    with Display() as display:
        features = Config().with_values(settings).features
        write_scaling(folder / "public/model.safetensors", scaling_settings(features, of), display)
    return str(folder / "public")

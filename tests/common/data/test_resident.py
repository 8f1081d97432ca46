from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.config.settings import Config
from common.data import extraction, resident
from common.data.extraction import Recording, Skipped
from common.data.resident import keep, listing, of_speakers, recordings_of
from common.errors import FedserError
from common.features.cache import FeatureCache
from common.splits.plan import Plan
from common.utterance import Utterance


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Three speakers with two feature matrices each, of two classes."""
    lines = ["path,emotion,speaker"]
    for number, (speaker, emotion) in enumerate((s, e) for s in "abc" for e in ("anger", "sadness")):
        np.save(tmp_path / f"{number}.npy", np.full((2, 3), float(number)))
        lines.append(f"{number}.npy,{emotion},{speaker}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return Config().with_values({"data.corpus": "manifest", "data.root": str(tmp_path)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the files that are read, call by call."""
    calls: list[list[str]] = []

    def spy(utterances: Sequence[Utterance], *rest: Any, **options: Any) -> tuple[list[Recording], list[Skipped]]:
        calls.append([u.path.name for u in utterances])
        return extraction.extract_all(utterances, *rest, **options)

    monkeypatch.setattr(resident, "extract_all", spy)
    return calls


def plan(*skipped: str) -> Plan:
    return Plan(fold="x", classes=("anger", "sadness"), test=(), sites=(), skipped=skipped)


def test_recordings_are_read_once(config: Config, tmp_path: Path, asked: list[list[str]]) -> None:
    cache = FeatureCache(tmp_path / "cache")
    found = recordings_of(config, plan(), {"a", "c"}, cache)
    assert [(r.utterance.speaker, r.utterance.path.name, float(r.versions[0][0, 0])) for r in found] == [
        ("a", "0.npy", 0.0),
        ("a", "1.npy", 1.0),
        ("c", "4.npy", 4.0),
        ("c", "5.npy", 5.0),
    ]
    again = recordings_of(config, plan(), {"b", "c"}, cache)
    assert [r.utterance.path.name for r in again] == ["2.npy", "3.npy", "4.npy", "5.npy"]
    assert asked == [["0.npy", "1.npy", "4.npy", "5.npy"], ["2.npy", "3.npy"]]


def test_what_the_plan_skips_stays_out(config: Config, tmp_path: Path) -> None:
    found = recordings_of(config, plan(str(tmp_path / "1.npy")), {"a"}, FeatureCache(tmp_path / "cache"))
    assert [r.utterance.path.name for r in found] == ["0.npy"]


def test_other_features_are_other_recordings(config: Config, tmp_path: Path, asked: list[list[str]]) -> None:
    cache = FeatureCache(tmp_path / "cache")
    utterance = listing(config.data).utterances[0]
    keep(config, [Recording(utterance=utterance, versions=(torch.zeros(1, 3),))])
    assert recordings_of(config, plan(str(tmp_path / "1.npy")), {"a"}, cache)[0].versions[0].shape == (1, 3)
    other = config.with_values({"features.hop": 20})
    assert recordings_of(other, plan(str(tmp_path / "1.npy")), {"a"}, cache)[0].versions[0].shape == (2, 3)
    assert asked == [[], ["0.npy"]]


def test_a_recording_that_broke_since_the_plan_was_made(config: Config, tmp_path: Path) -> None:
    listing(config.data)
    (tmp_path / "3.npy").write_bytes(b"")
    with pytest.raises(FedserError, match=r"^3.npy: .*; it was usable when the run was planned$"):
        recordings_of(config, plan(), {"b"}, FeatureCache(tmp_path / "cache"))


def test_of_speakers_keeps_the_order(config: Config, tmp_path: Path) -> None:
    found = recordings_of(config, plan(), {"a", "b"}, FeatureCache(tmp_path / "cache"))
    assert [r.utterance.path.name for r in of_speakers(found, ("b",))] == ["2.npy", "3.npy"]
    assert of_speakers(found, ()) == []

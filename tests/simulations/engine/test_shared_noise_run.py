"""Runs of four sites that share one noise, from the settings to the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from common.data.resident import forget
from common.errors import FedserError, UsageError
from common.progress import Display
from server.reporting.artifacts import tell
from server.reporting.run_record import Result
from simulations.job.start import Start, carry_out, job_of
from tests.simulations import tiny

SHARED = {
    "data.corpus": "manifest",
    "data.held_out": "kfold:4:0",
    "data.sites": "4",
    "privacy.noise": "shared",
    "privacy.noise_multiplier": 2.0,
    "federation.secure": True,
}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    forget()
    yield tiny.write(tmp_path / "corpus", speakers=16, each=1)
    forget()


def begin(manifest: Path, out: Path, *, baselines: bool = False, engine: str | None = None, **more: Any) -> Result:
    flags = {**SHARED, "data.root": str(manifest), **{name.replace("__", "."): value for name, value in more.items()}}
    own: dict[str, Any] = {"resume": None, "overwrite": False, "engine": engine, "workers": 0, "baselines": baselines}
    wish = Start(flags={name: value for name, value in flags.items() if value is not None}, out=out, command="x", **own)
    with Display() as display:
        return carry_out(job_of(wish), wish, display)


def model(out: Path) -> dict[str, Any]:
    return safetensors.numpy.load((out / "model.safetensors").read_bytes())


@pytest.mark.usefixtures("undrawn")
def test_four_sites_share_one_noise_and_the_report_says_who_must_be_honest(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = begin(manifest, out, federation__rounds=10)
    assert whole.privacy is not None
    assert whole.privacy.honest == 3
    figures = {(own.noise_multiplier, own.steps, own.sample_rate) for own in whole.privacy.sites.values()}
    assert figures == {(2.0, 10, 0.5)}
    assert len(whole.privacy.sites) == 4
    with Display() as display:
        tell(whole, out, display)
    for page in ("MODEL_CARD.md", "report.html"):
        text = " ".join((out / page).read_text(encoding="utf-8").split())
        assert "3 parts together make it whole" in text
        assert "any one of the 4 sites" in text
        assert "Nobody but the site is trusted" not in text
    assert json.loads((out / "result.json").read_text())["privacy"]["honest"] == 3
    entries = [json.loads(line) for line in (next((out / "ledger").rglob("*.jsonl"))).read_text().splitlines()]
    assert [entry["kind"] for entry in entries[:3]] == ["begin", "reserve", "store"]
    assert entries[0]["terms"]["honest"] == 3


@pytest.mark.slow
def test_with_next_to_no_noise_the_sites_steps_are_those_of_one_place(manifest: Path, tmp_path: Path) -> None:
    alike: dict[str, Any] = {
        "federation__rounds": 12,
        "privacy__sample_rate": 1.0,
        "training__local_epochs": 1,
        "privacy__average": 0.0,
        "privacy__noise_multiplier": 1e-2,
    }
    begin(manifest, tmp_path / "shared", **alike)
    begin(manifest, tmp_path / "one", **alike, privacy__noise=None, federation__secure=None, data__sites="1")
    shared, one = model(tmp_path / "shared"), model(tmp_path / "one")
    start = Path(tmp_path / "none")
    begin(manifest, start, **{**alike, "federation__rounds": 1, "training__learning_rate": 1e-9})
    first = model(start)
    for name in [name for name in one if not name.startswith("scaling")]:
        moved = float(np.linalg.norm(one[name] - first[name]))
        assert float(np.linalg.norm(shared[name] - one[name])) < 0.05 * moved, name


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"data__sites": "2"}, "among 2 sites"),
        ({"privacy__honest": 4}, "--honest 4 of 4 sites"),
        ({"baselines": True}, "nobody to share noise with"),
        ({"engine": "flower"}, "--engine flower"),
    ],
)
def test_what_cannot_share_noise_is_refused_before_any_work(
    manifest: Path, tmp_path: Path, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        begin(manifest, tmp_path / "out", **more)
    assert not (tmp_path / "out" / "folds").exists()


def test_too_little_noise_for_the_grid_ends_the_run_before_anything_is_spent(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(FedserError, match="expected 16 to 2\\^42; give it more noise"):
        begin(manifest, tmp_path / "out", privacy__noise_multiplier=1e-6)
    assert not list(tmp_path.rglob("ledger/**/*.jsonl"))


@pytest.mark.slow
def test_canaries_are_seen_as_whoever_may_look_sees_the_sum(manifest: Path, tmp_path: Path) -> None:
    """With the noise of all but one site an audit of one site's own part would find more than the run's ε."""
    begin(manifest, tmp_path / "out", federation__rounds=20, privacy__canaries=20)
    files = sorted((tmp_path / "out").rglob("*.canaries.json"))
    kept = [json.loads(file.read_text()) for file in files]
    assert len(kept) == 4
    scores = np.concatenate([np.sum(list(own["rounds"].values()), axis=0) for own in kept])
    included = np.concatenate([own["included"] for own in kept])
    assert scores.shape == included.shape == (80,)
    assert float(scores[included].mean()) > float(scores[~included].mean())

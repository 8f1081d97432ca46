"""Class weights by the counts of all sites: by hand, and as whole runs, in one process and of sites of their own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from common import protocol
from common.errors import FederationError
from server.run import checkpoint
from server.sites.handshake import Node
from server.sites.pooled_classes import weights_of
from tests.client import deployment
from tests.server.test_app import lying, settings
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run, same


def node(site: str, examples: int, *, limited: bool = False) -> Node:
    own: dict[str, Any] = {"features": 1, "validation": 0, "test": 0, "speakers": 4, "validation_speakers": 1}
    return Node(id=1, site=site, examples=examples, limited=limited, **own)


def test_the_weights_are_the_inverse_shares_of_all_together_by_hand() -> None:
    counts = {"a": [6, 2, 0], "b": [0, 2, 0]}  # together 6, 4, 0 of 10, in two classes that there are
    assert weights_of(counts, [node("a", 8), node("b", 2)]) == pytest.approx([5 / 6, 5 / 4, 0])
    large = {"a": [90, 0], "b": [0, 5], "c": [0, 5]}  # nothing is agreed with a, which may weigh two thirds: 20 of 30
    nodes = [node("a", 90, limited=True), node("b", 5), node("c", 5)]
    assert weights_of(large, nodes) == pytest.approx([15 / 20, 15 / 10])


def skewed(folder: Path) -> Path:
    """Of site s0 most of the anger, and none at s1's men but one recording each; all else as it was."""
    manifest = tiny.write(folder / "corpus", each=4)
    with manifest.open(newline="") as file:
        first, *rows = csv.reader(file)
    kept = [row for row in rows if row[4] != "s1" or row[1] != "anger" or row[0].endswith("-0.npy")]
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([first, *kept])
    return manifest


def test_at_one_site_they_are_its_own_and_where_sites_differ_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    plain: dict[str, Any] = {"data__validation": "none", "data__held_out": "speaker:07"}
    manifest = skewed(tmp_path)
    for how in ("own", "pooled"):
        for name, sites in (("one", "1"), ("column", "column")):
            own: dict[str, Any] = {**plain, "data__sites": sites, "training__class_weights": how}
            result = run(job(manifest, tmp_path / f"{name}-{how}", **own))
            assert result["config"]["training.class_weights"] == how
    assert same(tmp_path / "one-own", tmp_path / "one-pooled")
    assert not same(tmp_path / "column-own", tmp_path / "column-pooled")


def test_a_run_goes_on_with_the_weights_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    own: dict[str, Any] = {"data__sites": "column", "data__held_out": "speaker:07", "training__class_weights": "pooled"}
    run(job(skewed(tmp_path), tmp_path / "out", **own))
    state = checkpoint.load(next((tmp_path / "out").rglob("checkpoint.safetensors")))
    pooled = state.class_weights[protocol.WEIGHTS]
    assert pooled.dtype == np.float32
    assert pooled[0] > 1 > pooled[1:].max()  # anger is rarer than the others, which are even


def _one_more(content: RecordDict) -> None:
    told: Any = content.metric_records[protocol.METRICS]
    told.update({protocol.COUNTS: [told[protocol.COUNTS][0] + 7, *told[protocol.COUNTS][1:]]})
    told.update({protocol.EXAMPLES: told[protocol.EXAMPLES] + 7})


def _none(content: RecordDict) -> None:
    content.clear()


def test_a_site_whose_counts_are_not_those_that_it_said_has_no_part_in_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.deal(tiny.write(tmp_path / "corpus", speakers=24, test=(0, 5)), tmp_path)
    pooling = settings(training__class_weights="pooled", federation__refit=False)
    lies: dict[str, Callable[[RecordDict], None]] = {protocol.CLASSES_HELD: _one_more}
    lying(monkeypatch, "s3", lies)
    fold = deployment.run_deployed(tmp_path, pooling, monkeypatch)
    assert "the classes are weighed without the counts of s3" in caplog.text
    assert "counts are of" in caplog.text
    assert set(fold["rounds"][0]["sites"]) == set(deployment.SITES)


def test_where_no_site_tells_its_counts_the_run_ends_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.deal(tiny.write(tmp_path / "corpus", speakers=24, test=(0, 5)), tmp_path)
    pooling = settings(training__class_weights="pooled", federation__min_sites=4)
    lying(monkeypatch, "s3", {protocol.CLASSES_HELD: _none})
    with pytest.raises(FederationError, match=r"^3 of 4 sites sent their class counts, expected at least 4 .*s3"):
        deployment.run_deployed(tmp_path, pooling, monkeypatch)

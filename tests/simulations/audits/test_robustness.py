"""A run's setting trained again with hostile sites: what each attack does to the mean, and what a robust rule bears."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from common.progress import Display
from simulations.audits.audited_run import open_run
from simulations.audits.outcome import Outcome
from simulations.audits.robustness import audit

Federate = Callable[..., Path]
OWN: dict[str, Any] = {
    "data.sites": "3",
    "data.validation": "none",
    "data.normalise": "global",
    "federation.rounds": 4,
    "model.kind": "linear",
    "model.hidden": 0,
    "model.statistics": "means",
    "training.learning_rate": 0.05,
    "training.schedule": "constant",
}


@pytest.fixture(scope="session")
def mean(federate: Federate) -> Path:
    """Of three sites, by FedAvg."""
    return federate("mean", **OWN)


def attacked(path: Path, attack: str, bad: int = 1) -> Outcome:
    with Display() as display:
        return audit(open_run(path, None), attack=attack, bad=bad, workers=0, display=display)


def test_one_site_of_three_owns_the_mean_and_a_robust_rule_bears_it(federate: Federate, mean: Path) -> None:
    krum = federate("multikrum", **OWN, **{"federation.strategy": "multikrum"})
    rows = {path.name: attacked(path, "sign").details["rows"][0] for path in (mean, krum)}
    assert rows["mean"]["uar_without"] > 0.8
    assert rows["mean"]["uar"] < 0.5
    assert rows["multikrum"]["uar"] > 0.8
    assert (rows["mean"]["strategy"], rows["mean"]["hostile"], rows["mean"]["left_out"]) == ("fedavg", ["site-0"], 0.0)
    assert (rows["mean"]["target"], rows["mean"]["taken"]) == (None, None)


def test_a_backdoor_is_found_and_the_rows_of_several_attacks_stand_together(
    mean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mean
    for attack in ("labels", "backdoor"):
        attacked(path, attack).write()
    monkeypatch.setattr("client.app.train", None)  # what is there is not trained again
    outcome = attacked(path, "backdoor")
    outcome.write()
    kept = json.loads((path / "audit/robustness.json").read_text())
    assert (kept["attack"], kept["privacy"], [row["attack"] for row in kept["rows"]]) == (
        *("robustness", None),
        ["labels", "backdoor"],
    )
    labels, backdoor = kept["rows"]
    assert labels["taken"] is None
    assert (backdoor["target"], backdoor["uar"] > 0.5) == ("anger", True)
    assert backdoor["taken"] > 0.9 > 0.5 > backdoor["taken_without"]
    assert "1 of 3 sites hostile (site-0), by backdoor, under FedAvg" in kept["meaning"]
    assert [figure.name for figure in outcome.figures][1] == "with the trigger taken for anger"


def test_what_no_rule_could_bear_or_nobody_could_read_is_one_line(
    federate: Federate, mean: Path, private: Path
) -> None:
    path = mean
    for run, attack, bad, told in (
        (path, "noise", 1, "--attack is 'noise', expected one of labels, sign, backdoor"),
        (path, "sign", 2, "--bad is 2, expected 1 to 1 of the 3 sites"),
        (path, "sign", 0, "--bad is 0, expected 1 to 1 of the 3 sites"),
        (federate("pair", started=True), "sign", 1, "the run has 2 sites, expected 3 at least"),
        (private, "sign", 1, "audit the same setting without --epsilon"),
        (federate("begun", started=True, **OWN), "sign", 1, "is not finished; go on with"),
    ):
        with pytest.raises(UsageError, match=told) as refused:
            attacked(run, attack, bad)
        assert "\n" not in str(refused.value)

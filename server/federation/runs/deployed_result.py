"""What a finished deployed run leaves: ``result.json``, report and card as a simulation's, with counts by site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.config.settings import Config
from common.splits import plan as plans
from common.splits.plan import Plan
from server.federation.runs.run_folder import Kept, RunFolder
from server.reporting import result
from server.reporting.artifacts import leave
from server.reporting.findings import count
from server.reporting.result import FoldResult


def conclude(run: RunFolder, seconds: float) -> dict[str, Any]:
    """Put together and write what a run leaves.

    Args:
        run: one whose ServerApp has ended well.
        seconds: for how long it was followed.

    Returns:
        What ``result.json`` holds.

    Raises:
        FedserError: the run left no result.
    """
    kept, fold = run.kept(), run.result()
    config, plan = Config().with_values(kept.settings), plans.read(run.file("plan.json"))
    fold["test_speakers"] = _test_speakers(fold)
    timing = _timing(kept, fold, seconds)
    corpus = _about(config, kept, plan, fold)
    whole = result.build(config, corpus, [FoldResult(federated=fold)], [_split(fold)], timing, kept.command)
    whole["problems"] = kept.problems
    leave(whole, run.path, run.file("model.safetensors"))
    return whole


def _test_speakers(fold: Mapping[str, Any]) -> list[str] | int:
    """The coordinator's own by name; where sites hold some, who don't say their names, the number of all."""
    scored = len(fold["by_speaker"])
    named: list[str] = fold["test_speakers"]
    return named if len(named) == scored else scored


def _about(config: Config, kept: Kept, plan: Plan, fold: Mapping[str, Any]) -> dict[str, Any]:
    """The ``corpus`` entry; None for the number of recordings where sites count speakers."""
    parts = (fold[f"{part}_speakers"] for part in ("train", "validation", "test"))
    tested = sum(map(sum, fold["test"]["confusion"]))
    trained = _examples(fold)
    counted = config.privacy.at_sites and not config.privacy.protects.single
    return {
        "name": config.data.corpus,
        "synthetic": plan.synthetic,
        "utterances": None if counted else tested + trained,
        "skipped": len(kept.problems),
        "speakers": sum(map(count, parts)),
        "classes": list(plan.classes),
    }


def _examples(fold: Mapping[str, Any]) -> int:
    """Recordings that the sites trained on: of each, the most that it told of in a round."""
    most: dict[str, int] = {}
    for entry in (*fold["rounds"], *fold["refit"]):
        for site, told in entry["sites"].items():
            most[site] = max(most.get(site, 0), int(told["examples"] or 0))
    return sum(most.values())


def _timing(kept: Kept, fold: Mapping[str, Any], seconds: float) -> dict[str, float]:
    training = sum(entry["seconds"] for entry in (*fold["rounds"], *fold["refit"]))
    total = kept.features_s + max(seconds, training)
    return {
        "features_s": kept.features_s,
        "training_s": training,
        "overhead_s": total - kept.features_s - training,
        "total_s": total,
    }


def _split(fold: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fold": fold["fold"],
        "sites": fold["train_speakers"],
        "validation": fold["validation_speakers"],
        "test": fold["test_speakers"],
    }

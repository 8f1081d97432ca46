"""From what a trial's trainings left to its line in ``results.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from common.config.settings import flatten
from common.splits.plan import Plan
from common.storage.openable import openable
from common.utterance import Utterance
from server.records.fold_record import FoldRecord
from server.records.front import front_of
from server.reporting.findings import largest_epsilon
from simulations.engine.promises import units_at_sites
from simulations.sweep.trials.parts import POOLED, Training, baselines, federated
from simulations.sweep.trials.results import Row, published
from simulations.sweep.trials.trial import Trial

FIGURES = ("wa", "uar", "macro_f1", "recall", "stranger")


def row(
    out: Path,
    trial: Trial,
    utterances: Sequence[Utterance],
    *,
    with_baselines: bool,
    audit: Mapping[str, Any] | None,
    commit: str | None,
) -> Row:
    """A finished trial's line.

    ``details`` has what the statistics and the page need beside the figures: the confusion counts of each test speaker
    under the federated, the pooled and the sites' own models, those of the first two as of strangers too, each site's
    account of privacy, bytes. ``encoder``, as of ``server.records.front``, is missing where there is none.

    Args:
        out: the benchmark's folder.
        trial: its trainings are finished.
        utterances: all that are selected, in the corpus's order.
        with_baselines: whether there are any.
        audit: what attacks on it found; None where there were none.
        commit: of fedser.
    """
    training = federated(out, trial)
    fold = training.result()
    scored = fold.scored.as_json()
    others = {n: t.result() for n, t in baselines(out, trial).items()} if with_baselines else {}
    local = {name: other for name, other in others.items() if name != POOLED}
    return {
        "trial": trial.name,
        "config": published(flatten(trial.config)),
        "fold": trial.plan.fold,
        "seed": trial.seed,
        "strategy": trial.strategy,
        "unit": trial.condition.unit,
        "target_epsilon": trial.condition.target,
        "epsilon": largest_epsilon(fold.privacy) if fold.privacy else None,
        "delta": trial.config.privacy.delta if trial.condition.unit else None,
        "test": {name: _finite(scored[name]) for name in FIGURES if name in scored},
        "pooled_uar": _finite(others[POOLED].scored.uar) if others else None,
        "local_uar": float(np.mean([other.scored.uar for other in local.values()])) if local else None,
        "audit": audit,
        "seconds": _seconds(fold),
        "commit": commit,
        **({"encoder": front} if (front := front_of(trial.config, trial.config.data.corpus)) else {}),
        "details": _details(training, fold, others.get(POOLED), local, trial, utterances),
    }


def _details(
    training: Training,
    fold: FoldRecord,
    pooled: FoldRecord | None,
    local: Mapping[str, FoldRecord],
    trial: Trial,
    utterances: Sequence[Utterance],
) -> dict[str, Any]:
    sites = fold.privacy.sites if fold.privacy else {}
    model = training.folder / "model.safetensors"
    return {
        "condition": trial.condition.name,
        "sites": trial.sites,
        "speakers": tested(trial.plan, utterances),
        "by_speaker": fold.by_speaker,
        "pooled": pooled.by_speaker if pooled else None,
        "local": [other.by_speaker for other in local.values()] or None,
        "strangers": fold.strangers,
        "pooled_strangers": pooled.strangers if pooled else None,
        "privacy": {site: _finite(own.as_json()) for site, own in sites.items()},
        "tuning": list(trial.tried) or None,
        "units": _units(trial, utterances),
        "parameters": _parameters(model),
        "bytes": _bytes(model, fold),
    }


def tested(plan: Plan, utterances: Sequence[Utterance]) -> list[str]:
    """The test speakers in the order of a result's ``by_speaker``: the server's own, then those of each site.

    Within each they come as the corpus lists their recordings.
    """
    skipped = set(plan.skipped)
    order = list(dict.fromkeys(u.speaker for u in utterances if u.name not in skipped))
    groups = [plan.test, *(site.test for site in plan.sites)]
    return [speaker for group in groups for speaker in order if speaker in group]


def _seconds(fold: FoldRecord) -> float:
    """Of all rounds, those before a kill too."""
    return float(sum(entry.seconds for entry in fold.all_rounds))


def _units(trial: Trial, utterances: Sequence[Utterance]) -> dict[str, int]:
    """How many of what is protected each site trains on; for the unit ``site`` the federation has so many sites."""
    privacy = trial.config.privacy
    if privacy.at_server:
        return {"federation": len(trial.plan.sites)}
    return units_at_sites(trial.config, trial.plan, utterances)


def _parameters(model: Path) -> int:
    with openable(model) as plain, safetensors.safe_open(plain, framework="numpy") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys() if not name.startswith("scaling.")]  # noqa: SIM118
    return sum(math.prod(shape) for shape in shapes)


def _bytes(model: Path, fold: FoldRecord) -> dict[str, int]:
    """What all sites got and sent in training: the weights, as 4-byte numbers, each round and site."""
    exchanges = sum(len(entry.sites) for entry in fold.all_rounds)
    size = 4 * _parameters(model) * exchanges
    return {"received": size, "sent": size}


def _finite(value: Any) -> Any:
    """As JSON takes it: None where a figure is infinite or not a number."""
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

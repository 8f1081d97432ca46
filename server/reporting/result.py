"""``result.json``: what a run leaves, simulated or deployed, put together from its folds."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.config.settings import Config, flatten
from common.learning.metrics import Confusion, summarise
from server.reporting.findings import largest_epsilon

SCHEMA = 1
FOLD_KEYS = ("fold", "train_speakers", "validation_speakers", "test_speakers", "privacy", "chosen_round", "test")
PACKAGES = ("fedser", "torch", "torchaudio", "flwr", "opacus", "librosa", "numpy", "safetensors")


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """One fold: its own ``fold.json``, and those of the baselines, where they were trained."""

    federated: Mapping[str, Any]
    pooled: Mapping[str, Any] | None = None
    local: Mapping[str, Mapping[str, Any]] | None = None


def build(
    config: Config,
    corpus: Mapping[str, Any],
    folds: Sequence[FoldResult],
    split: Sequence[Mapping[str, Any]],
    timing: Mapping[str, float],
    command: str,
) -> dict[str, Any]:
    """Put ``result.json`` together.

    Args:
        config: of the run.
        corpus: ``name``, ``synthetic``, ``utterances``, ``skipped``, ``speakers``, ``classes``.
        folds: in order.
        split: who is where, a fold an entry, for the report.
        timing: ``features_s``, ``training_s``, ``overhead_s``, ``total_s``.
        command: that made it.
    """
    return {
        "schema": SCHEMA,
        "command": command,
        "transductive": config.data.normalise == "speaker",
        "config": flatten(config),
        "corpus": dict(corpus),
        "folds": [_fold(fold) for fold in folds],
        "summary": _summary(folds),
        "privacy": _worst(folds),
        "split": list(split),
        "timing": dict(timing),
        "environment": environment(),
    }


def _fold(fold: FoldResult) -> dict[str, Any]:
    entry = {key: fold.federated[key] for key in FOLD_KEYS}
    entry["baselines"] = None
    if fold.pooled is not None and fold.local is not None:
        entry["baselines"] = {
            "pooled": {"test": fold.pooled["test"]},
            "local": {site: {"test": own["test"]} for site, own in fold.local.items()},
        }
    entry |= {key: fold.federated[key] for key in ("rounds", "refit")}
    if "test_sites" in fold.federated:  # of a deployment: recordings scored by site, null where a site scored none
        entry["test_sites"] = fold.federated["test_sites"]
    return entry


def _worst(folds: Sequence[FoldResult]) -> Mapping[str, Any] | None:
    """The privacy of the fold whose sites' largest ε is the largest; None where nothing is private."""
    accounts = [fold.federated["privacy"] for fold in folds if fold.federated["privacy"]]
    return max(accounts, key=lambda account: largest_epsilon(account) or 0.0, default=None)


def _summary(folds: Sequence[FoldResult]) -> dict[str, Any]:
    federated = [_counts([fold.federated]) for fold in folds]
    summary: dict[str, Any] = {figure: summarise(federated, figure) for figure in ("uar", "wa", "macro_f1")}
    pooled = [_counts([fold.pooled]) for fold in folds if fold.pooled is not None]
    local = [_counts(list(fold.local.values())) for fold in folds if fold.local is not None]
    complete = len(pooled) == len(folds) == len(local)
    summary["pooled_uar"] = summarise(pooled, "uar") if complete else None
    summary["local_uar"] = summarise(local, "uar") if complete else None
    return summary


def _counts(models: Sequence[Mapping[str, Any]]) -> Confusion:
    """The test speakers' counts under each model, ``(models, speakers, classes, classes)``."""
    return np.array([model["by_speaker"] for model in models], dtype=np.int64)


def environment() -> dict[str, Any]:
    """Versions, commit, processor: what a figure depends on beside the settings."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        **versions,
        "commit": _commit(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"{names[0]} ({len(names)} cores)"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()

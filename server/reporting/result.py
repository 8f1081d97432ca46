"""``result.json``: what a run leaves, simulated or deployed, put together from its folds."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.config.settings import Config, flatten
from common.learning.metrics import FIGURES, Confusion, summarise
from server.records.composition import NoisyModel, compose, spends_of
from server.records.fold_record import FoldRecord, PrivacyAccount
from server.records.front import front_of
from server.records.personal import PersonalSite
from server.records.scores import Counts, StrangerFigures
from server.reporting.findings import largest_epsilon
from server.reporting.run_record import (
    SCHEMA,
    Baselines,
    CorpusRecord,
    Figure,
    NoiseSummary,
    Result,
    RunFold,
    Scored,
    SkippedRecording,
    Split,
    Strangers,
    StrangerSummary,
    Summary,
    Timing,
)

PACKAGES = ("fedser", "torch", "torchaudio", "flwr", "opacus", "librosa", "numpy", "safetensors")


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """One fold: its own record, and those of the baselines, where they were trained."""

    federated: FoldRecord
    pooled: FoldRecord | None = None
    local: Mapping[str, FoldRecord] | None = None
    personal: Mapping[str, PersonalSite] | None = None


def build(
    config: Config,
    corpus: CorpusRecord,
    folds: Sequence[FoldResult],
    timing: Timing,
    command: str,
    *,
    split: Sequence[Split],
    problems: Sequence[SkippedRecording],
    models: Sequence[NoisyModel] | None = None,
) -> Result:
    """Put a result together.

    Args:
        config: of the run.
        corpus: that was trained and scored on.
        folds: in order.
        timing: of the run.
        command: that made it.
        split: who is where, a fold an entry, for the report.
        problems: recordings that were skipped.
        models: of a private run, all that its folder holds; by default those of ``folds``, each site a unit by itself.
    """
    return Result(
        schema=SCHEMA,
        command=command,
        transductive=config.data.normalise in ("running", "speaker") and not _as_strangers(folds),
        config=flatten(config),
        encoder=front_of(config, corpus.name),
        corpus=corpus,
        folds=tuple(_fold(fold) for fold in folds),
        summary=_summary(folds),
        privacy=_privacy(config, folds, models),
        split=tuple(split),
        timing=timing,
        environment=environment(),
        problems=tuple(problems),
    )


def _as_strangers(folds: Sequence[FoldResult]) -> bool:
    """Whether sites scored their held-out speakers as strangers alone, so that nothing of them was known."""
    return any(fold.federated.strangers and fold.federated.strangers["all"] is None for fold in folds)


def _fold(fold: FoldResult) -> RunFold:
    federated, baselines = fold.federated, None
    if fold.pooled is not None and fold.local is not None:
        local = {site: Scored(test=own.scored) for site, own in fold.local.items()}
        baselines = Baselines(pooled=Scored(test=fold.pooled.scored), local=local)
    return RunFold(
        fold=federated.fold,
        train_speakers=federated.train_speakers,
        validation_speakers=federated.validation_speakers,
        test_speakers=federated.test_speakers,
        privacy=federated.privacy,
        chosen_round=federated.chosen_round,
        calibration=federated.calibration,
        test=federated.test,
        confusion_first=_first_heard(federated),
        baselines=baselines,
        personal=fold.personal,
        rounds=federated.rounds,
        refit=federated.refit,
        started_from=federated.started_from,
        taught_by=federated.taught_by,
        test_sites=federated.test_sites,
        test_scores=federated.test_scores,
    )


def _first_heard(fold: FoldRecord) -> Counts | None:
    """The confusion of a stranger's first recordings; None where the normalisation has nothing for them."""
    tables = (fold.strangers or {}).get("0")
    return tuple(map(tuple, np.sum(tables, axis=0).tolist())) if tables else None


def _privacy(config: Config, folds: Sequence[FoldResult], models: Sequence[NoisyModel] | None) -> PrivacyAccount | None:
    """The account of the fold whose sites' largest ε is the largest, and what all models tell together.

    None where nothing is private.
    """
    accounts = [fold.federated.privacy for fold in folds if fold.federated.privacy]
    if not accounts:
        return None
    worst = max(accounts, key=lambda account: largest_epsilon(account) or 0.0)
    if models is None:  # a deployment's: one model, and of the people at a site only that they are there
        spends = [spends_of(account) for account in accounts]
        models = [NoisyModel(members={site: (site,) for site in own}, spends=own) for own in spends]
    return dataclasses.replace(worst, all=compose(models, config.privacy.delta))


def _summary(folds: Sequence[FoldResult]) -> Summary | None:
    if any(fold.federated.test is None for fold in folds):
        return None
    federated = [_counts([fold.federated]) for fold in folds]
    pooled = [_counts([fold.pooled]) for fold in folds if fold.pooled is not None]
    local = [_counts(list(fold.local.values())) for fold in folds if fold.local is not None]
    one_by_one = all(fold.federated.by_speaker is not None for fold in folds)
    complete = len(pooled) == len(folds) == len(local)
    return Summary(
        uar=_figure(federated, "uar", one_by_one),
        wa=_figure(federated, "wa", one_by_one),
        macro_f1=_figure(federated, "macro_f1", one_by_one),
        pooled_uar=_figure(pooled, "uar") if complete else None,
        local_uar=_figure(local, "uar") if complete else None,
        stranger=_strangers([fold.federated for fold in folds], one_by_one),
        pooled_stranger=_strangers([fold.pooled for fold in folds if fold.pooled], one_by_one=True)
        if complete
        else None,
        noise=_noise([fold.federated for fold in folds]),
    )


def _noise(models: Sequence[FoldRecord]) -> NoiseSummary | None:
    """The figures in noise over the folds; None where one of them has none."""
    whole = [own.test.noise for own in models if own.test and own.test.noise]
    if len(whole) < len(models) or not whole:
        return None
    counts = [own.noise_counts for own in models if own.noise_counts]

    def over(kind: str, level: str) -> StrangerSummary:
        if len(counts) < len(models):  # of folds that were trained before these were kept
            return _spread([own[kind][level] for own in whole])
        return _over_speakers([np.array([own[kind][level]], dtype=np.int64) for own in counts])

    return {kind: {level: over(kind, level) for level in levels} for kind, levels in whole[0].items()}


def _over_speakers(counts: Sequence[Confusion], one_by_one: bool = True) -> StrangerSummary:
    return StrangerSummary.from_json({own: _figure(counts, own, one_by_one).as_json() for own in FIGURES})


def _spread(folds: Sequence[StrangerFigures]) -> StrangerSummary:
    """Mean and standard deviation, without an interval."""
    found: dict[str, Any] = {}
    for name in FIGURES:
        values = [getattr(own, name) for own in folds]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        found[name] = {"mean": float(np.mean(values)), "sd": sd, "ci95": None}
    return StrangerSummary.from_json(found)


def _strangers(models: Sequence[FoldRecord], one_by_one: bool) -> Strangers | None:
    """The figures by how much was heard; None of folds that were trained before there were any."""
    if not models or any(model.strangers is None for model in models):
        return None
    found: dict[str, StrangerSummary | None] = {}
    for name in models[0].strangers or ():
        tables = [(model.strangers or {}).get(name) for model in models]
        counts = [np.array([own], dtype=np.int64) for own in tables if own is not None]
        found[name] = _over_speakers(counts, one_by_one) if len(counts) == len(models) else None
    return found


def _figure(folds: Sequence[Confusion], figure: str, one_by_one: bool = True) -> Figure:
    """A figure over the folds; the interval takes the counts of each speaker."""
    return Figure.from_json(summarise(folds, figure) | ({} if one_by_one else {"ci95": None}))


def _counts(models: Sequence[FoldRecord]) -> Confusion:
    """The test speakers' counts under each model, ``(models, speakers, classes, classes)``; 1 speaker for all of them
    where they were not counted one by one.
    """
    return np.array([model.by_speaker or [model.scored.confusion] for model in models], dtype=np.int64)


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

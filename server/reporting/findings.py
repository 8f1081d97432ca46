"""What a ``result.json`` says, in the numbers and words that the report and the model card share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.units import UNITS
from common.strategies.available import CATALOGUE
from server.records import front
from server.records.fold_record import PrivacyAccount, Round
from server.reporting.formatting import CORPORA, flat, kind_of_model, natural
from server.reporting.run_record import Figure, Result, RunFold

Curve = list[float | None]
Curves = dict[str, Curve]
COUNTS = ("utterances", "skipped", "speakers")
UNTOLD = "an untold number of"  # recordings at sites that count speakers
NOT_SCORED = (
    "Not scored: no held-out speaker was at the coordinator, and in a private run those of the sites are asked nothing."
)
ROBUSTNESS = "robustness.json"  # in a run's folder ``audit``: what hostile sites made of the model
ENOUGH = 5  # test speakers for an interval


def count(value: int | Sequence[Any] | Mapping[str, int]) -> int:
    """How many: of a list its length, of counts by site their sum, a number as it is."""
    if isinstance(value, Mapping):
        return sum(value.values())
    return value if isinstance(value, int) else len(value)


def is_counted(result: Result) -> bool:
    """Whether the sites told how many speakers they have, but not who: so it is in a deployment."""
    return any(isinstance(fold.train_speakers, Mapping) for fold in result.folds)


def largest_epsilon(privacy: PrivacyAccount) -> float | None:
    """Of the sites that tell what they spent; None where none does. Those of ``untold`` may have spent more."""
    told = [site.epsilon for site in privacy.sites.values() if site.epsilon is not None]
    return max(told, default=None)


def untold(privacy: PrivacyAccount) -> list[str]:
    """The sites of which it is not known what they spent: they keep it to themselves, or gave no account."""
    return sorted((site for site, own in privacy.sites.items() if own.epsilon is None), key=natural)


def claim(privacy: PrivacyAccount) -> str:
    """The run's ε in a line: the largest over the sites, and of which sites it is not known."""
    largest, unknown = largest_epsilon(privacy), untold(privacy)
    if largest is None:
        return "ε as the sites know it: they keep it to themselves, or gave no account"
    known = sorted(set(privacy.sites) - set(unknown), key=natural)
    if not unknown:
        return f"ε = {largest:.3g}"
    return f"ε = {largest:.3g} at {joined(known)}; at {joined(unknown)} it is not known, and may be larger"


def together(privacy: PrivacyAccount) -> str:
    """What all models that the run's folder holds tell together, in a sentence; nothing of a single one."""
    every, noun = privacy.all, UNITS[privacy.unit].noun
    if every is None or every.models < 2:
        return ""
    told = "are not known to keep any ε together, for a site keeps to itself what it spent"
    if every.epsilon is not None:
        told = f"together tell ε = {every.epsilon:.3g} at δ = {every.delta:g} of it"
    return (
        f"That ε is of one model: one {noun} is in the data of {every.models} models that this run trained, and these "
        f"{told}."
    )


def joined(names: Sequence[str]) -> str:
    """Names as a text lists them, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def unscored(result: Result) -> list[str]:
    """The sites that hold test speakers and did not score the model: their speakers are not in the figures."""
    found = {site for fold in result.folds for site, told in (fold.test_sites or {}).items() if told is None}
    return sorted(found, key=natural)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the figures that are there; None where there are none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def mean_curve(curves: Iterable[Curve]) -> Curve:
    """The mean, round by round, over the curves that reach the round."""
    every = list(curves)
    length = max(map(len, every), default=0)
    return [mean(curve[index] for curve in every if index < len(curve)) for index in range(length)]


def chance(result: Result) -> float:
    """The UAR of guessing: one over the number of classes."""
    return 1 / len(result.corpus.classes)


def is_transductive(result: Result) -> bool:
    """Whether the features were normalised with the test speakers' own (unlabelled) recordings."""
    if result.transductive is None:
        return flat(result.config).get("data.normalise") in ("running", "speaker")
    return result.transductive


HEARD = {
    "0": "a stranger's first recording",
    "2": "after 2 others of the speaker",
    "8": "after 8 others of the speaker",
    "all": "all of the speaker known",
}


def heard(result: Result) -> dict[str, Figure]:
    """The UAR by what was heard of a speaker before, by the keys of ``HEARD``; empty where nothing adapts to one."""
    told = (result.summary.stranger or {}) if result.summary else {}
    known = {name: own.uar for name in HEARD if (own := told.get(name)) is not None}
    return known if is_transductive(result) or len(known) < len(told) else {}


def counted_as(result: Result) -> str:
    """What was heard of a speaker where a result's test is counted, in the words of ``HEARD``; empty where it is one.

    The same holds for every figure that is not told by what was heard: each class's, the confusion, the folds'.
    """
    if is_transductive(result):
        return HEARD["all"]
    return HEARD["0"] if heard(result) else ""


def noise(result: Result) -> dict[str, dict[str, float]]:
    """The UAR of a stranger's first recording by the kind of noise and its level; empty where it was not measured."""
    told = (result.summary.noise or {}) if result.summary else {}
    return {kind: {level: own.uar.mean for level, own in levels.items()} for kind, levels in told.items()}


def test_speakers(result: Result) -> int:
    """How many speakers were tested on, each counted once over all folds."""
    held_out = [fold.test_speakers for fold in result.folds]
    named = [speakers for speakers in held_out if isinstance(speakers, tuple)]
    if len(named) == len(held_out):
        return len({speaker for speakers in named for speaker in speakers})
    return sum(map(count, held_out))


def interval_note(result: Result) -> str:
    """What to know about the 95 % interval: why it is missing, or what it leaves out."""
    if result.summary is None:
        return NOT_SCORED
    speakers = test_speakers(result)
    if not result.summary.uar.ci95:
        why = f"{speakers} test speakers are too few for one (it takes at least {ENOUGH})"
        if speakers >= ENOUGH:
            why = f"it takes the counts of each of the {speakers} test speakers, and a site tells those of all together"
        return f"There is no 95 % interval: {why}.{_unscored_note(result)}"
    note = f"The 95 % interval comes from resampling the {speakers} test speakers (bootstrap)."
    if speakers < 20:
        note += " With fewer than 20 speakers it is too narrow: the truth lies outside more often than 5 times in 100."
    return f"{note} How much another seed would change the figure is not in it.{_unscored_note(result)}"


def _unscored_note(result: Result) -> str:
    """What to know where a site that holds test speakers did not score the model."""
    lost = unscored(result)
    return (
        f" Held-out speakers at {joined(lost)} are not in the figures: the model was not scored there." if lost else ""
    )


def sites_of(fold: RunFold) -> list[str]:
    """The names of the sites that took part in a fold."""
    return sorted({site for item in fold.rounds for site in item.sites}, key=natural)


def site_count(result: Result) -> str:
    """How many sites trained together: ``4 sites``, or ``4 to 5 sites`` where the folds differ."""
    counts = sorted({len(sites_of(fold)) for fold in result.folds})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} site" if number == "1" else f"{number} sites"


def fold_name(fold: RunFold) -> str:
    """A fold's heading, ``Fold 0`` or, where it is named after what it holds out, ``session:5``."""
    return f"Fold {fold.fold}" if fold.fold.isdigit() else fold.fold


def unheard(result: Result) -> str:
    """What to know of a run that holds out languages, in a sentence; nothing of another."""
    held = [fold.fold.removeprefix("language:") for fold in result.folds if fold.fold.startswith("language:")]
    if not held:
        return ""
    which = f"{held[0]} was" if len(held) == 1 else f"each of {joined(held)} was, in a fold,"
    return (
        f"The figure for an unheard language: {which} held out with all who speak it. Between languages it may differ "
        "by more than the interval says, which resamples speakers."
    )


def confusion(result: Result) -> list[list[int]]:
    """The confusion counts of all folds' test recordings together; rows are the truth, columns the prediction."""
    size = len(result.corpus.classes)
    matrices = [fold.test.confusion for fold in result.folds if fold.test]
    return [[sum(matrix[row][column] for matrix in matrices) for column in range(size)] for row in range(size)]


def confusion_first(result: Result) -> list[list[int]]:
    """As ``confusion``, of each recording as the first of a stranger's; empty where nobody is known better later."""
    matrices = [fold.confusion_first for fold in result.folds if fold.confusion_first]
    if not is_transductive(result) or len(matrices) < len(result.folds):
        return []
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def recall(result: Result) -> dict[str, float | None]:
    """Each class's recall over all folds' test recordings together; None for a class without any."""
    rows = enumerate(confusion(result))
    return {result.corpus.classes[i]: row[i] / sum(row) if sum(row) else None for i, row in rows}


def validation_curves(result: Result, figure: str = "uar") -> Curves:
    """A validation figure by round, of each fold that has validation speakers."""
    curves = {
        fold_name(fold): [getattr(item.validation, figure, None) for item in fold.rounds] for fold in result.folds
    }
    return {name: curve for name, curve in curves.items() if mean(curve) is not None}


def loss_curves(result: Result) -> Curves:
    """The training loss by round of each fold: over all its sites, where no site tells its own, else their mean."""

    def loss(item: Round) -> float | None:
        return item.loss if item.loss is not None else mean(site.loss for site in item.sites.values())

    return {fold_name(fold): [loss(item) for item in fold.rounds] for fold in result.folds}


def site_curves(result: Result, figure: str) -> Curves:
    """``loss`` or ``uar`` by round, as each site reported it: the mean over the folds in which it takes part."""
    folds: dict[str, list[Curve]] = {}
    for fold in result.folds:
        for site in sites_of(fold):
            curve = [getattr(item.sites.get(site), figure, None) for item in fold.rounds]
            folds.setdefault(site, []).append(curve)
    return {site: mean_curve(folds[site]) for site in sorted(folds, key=natural)}


def pooled_uar(fold: RunFold) -> float | None:
    """The held-out UAR of the model trained on all sites' recordings in one place; None without baselines."""
    baselines = fold.baselines
    return baselines.pooled.test.uar if baselines else None


def local_uar(fold: RunFold) -> float | None:
    """The mean held-out UAR of the models that each site trains alone; None without baselines."""
    baselines = fold.baselines
    return mean(site.test.uar for site in baselines.local.values()) if baselines else None


Model = tuple[str, Figure, Callable[[RunFold], float | None]]


def models(result: Result) -> list[Model]:
    """The models compared, each with its name, its summary figure and how to get its UAR in a fold; none unscored."""
    summary = result.summary
    if summary is None:
        return []
    every: list[tuple[str, Figure | None, Callable[[RunFold], float | None]]] = [
        ("Pooled", summary.pooled_uar, pooled_uar),
        ("Federated", summary.uar, lambda fold: fold.test.uar if fold.test else None),
        ("Each site alone", summary.local_uar, local_uar),
    ]
    return [(name, figure, of_fold) for name, figure, of_fold in every if figure]


def is_masked(result: Result) -> bool:
    """Whether updates were added up behind masks, so that the coordinator saw their sums alone."""
    return flat(result.config).get("federation.secure") == "True"


def overview(result: Result) -> dict[str, Any]:
    """What a reader asks first, by the names that the templates use."""
    corpus = result.corpus
    strategy = CATALOGUE.get(flat(result.config).get("federation.strategy", ""))
    return {
        "corpus": CORPORA.get(corpus.name, corpus.name),
        "counts": {name: UNTOLD if getattr(corpus, name) is None else getattr(corpus, name) for name in COUNTS},
        "sites": site_count(result),
        "model": kind_of_model(result.config),
        "words": flat(result.config).get("text.buckets", "0") != "0",
        "front": front.said(result.encoder, result.config),
        "strategy": strategy.title if strategy else "federated averaging",
        "rounds": max(len(fold.rounds) for fold in result.folds),
        "chance": chance(result),
        "transductive": is_transductive(result),
        "validated": bool(validation_curves(result)),
        "masked": is_masked(result),
        "taught": any(fold.taught_by for fold in result.folds),
        "refitted": any(fold.refit for fold in result.folds),
        "counted": is_counted(result),
        "unheard": unheard(result),
        "interval_note": interval_note(result),
        "command": result.command or "",
    }


def hostile(folder: Path, fold: str | None = None) -> list[dict[str, Any]]:
    """What ``fedser audit robustness`` found of a run, a row an attack; none where it found nothing that can be read.

    Args:
        folder: the run's.
        fold: of which fold; None for whichever was audited.
    """
    try:
        kept = json.loads((folder / "audit" / ROBUSTNESS).read_text(encoding="utf-8"))
        return list(kept["rows"]) if fold in (None, kept["fold"]) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []

"""A benchmark's folder as a sweep leaves it, with made-up counts: twelve speakers, three folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.config.settings import Config, flatten
from simulations.sweep.trials.conditions import read

CLASSES = ["anger", "happiness", "neutral", "sadness"]
SPEAKERS = [f"{i:02}" for i in range(12)]
SKILL = {"inf": 0.7, "utterance:8": 0.6, "utterance:2": 0.45, "utterance:1": 0.3, "speaker:8": 0.27, "site:8": 0.26}
ENCODER = {"sha256": "ab" * 32, "name": "Small Ear", "licence": "MIT", "trained_on": "stories", "heard_corpus": False}
COMMAND = (
    "fedser benchmark --corpus emodb --root 'my data' --held-out kfold:3 --conditions inf,utterance:8 --out runs/a"
)


def counts(rng: np.random.Generator, skill: float, speakers: Sequence[str], each: int = 12) -> list[Any]:
    """Each speaker's counts: of ``each`` recordings a class, so many are right; women are recognised more often."""
    found = []
    for speaker in speakers:
        right = min(0.98, skill + (0.08 if int(speaker) % 2 else -0.04))
        shares = np.full((4, 4), (1 - right) / 3) + np.eye(4) * (right - (1 - right) / 3)
        found.append([rng.multinomial(each, share).tolist() for share in shares])
    return found


def row(
    condition: str, fold: int, seed: int, *, strategy: str = "fedavg", sites: str = "4", skill: float
) -> dict[str, Any]:
    """One line."""
    rng = np.random.default_rng([seed, fold, *condition.encode(), *strategy.encode(), *sites.encode()])
    asked = read(condition)
    own, target = asked.unit, asked.target
    speakers = SPEAKERS[fold::3]
    places = ["federation"] if own == "site" else [f"site-{i}" for i in range(int(sites))]
    spent = {
        place: {
            "epsilon": (target or 0.0) * (0.996 + 0.001 * i),
            "delta": 1e-5,
            "noise_multiplier": 3.0 / (target or 1.0),
            "steps": 200,
            "sample_rate": 0.25,
        }
        for i, place in enumerate(places)
    }
    by_speaker = counts(rng, skill, speakers)
    pooled = None if own == "site" else counts(rng, skill + 0.04, speakers)
    local = None if own == "site" else [counts(rng, skill - 0.1, speakers) for _ in range(int(sites))]
    matrix = np.sum(by_speaker, axis=0)
    recall = (np.diagonal(matrix) / matrix.sum(axis=1)).tolist()
    mean = float(np.mean(recall))
    return {
        "trial": f"{condition}/{strategy}/sites:{sites}/kfold:3:{fold}/seed:{seed}",
        "config": flatten(Config())
        | {"privacy.sample_rate": 0.25, "training.optimizer": "sgd" if own in ("utterance", "speaker") else "adamw"},
        "fold": f"kfold:3:{fold}",
        "seed": seed,
        "strategy": strategy,
        "unit": own,
        "target_epsilon": target,
        "epsilon": max(site["epsilon"] for site in spent.values()) if own else None,
        "delta": 1e-5 if own else None,
        "test": {"wa": mean, "uar": mean, "macro_f1": 0.5, "recall": dict(zip(CLASSES, recall, strict=True))},
        "pooled_uar": None if pooled is None else 0.7,
        "local_uar": None if local is None else 0.5,
        "audit": None,
        "seconds": 20.0 if own is None else 45.0,
        "commit": "abcdef0123456789",
        **({"encoder": ENCODER} if asked.encoded else {}),
        "details": {
            "condition": condition,
            "sites": sites,
            "speakers": speakers,
            "by_speaker": by_speaker,
            "pooled": pooled,
            "local": local,
            "privacy": spent if own else {},
            "units": dict.fromkeys(places, 240),
            "parameters": 1500,
            "bytes": {"sent": 2_400_000, "received": 2_400_000},
            "session": 1000.0,
            "ended": 1000.0 + 60 * (fold + 1),
        },
    }  # fmt: skip


def adapting(line: dict[str, Any]) -> dict[str, Any]:
    """The line of models that adapt to a speaker: nothing heard costs each class one right answer in three."""
    details, known = line["details"], {"data.normalise": "running"}
    told = {name: _strangers(details[of]) for name, of in (("strangers", "by_speaker"), ("pooled_strangers", "pooled"))}
    return line | {"config": line["config"] | known, "details": details | told}


def _strangers(by_speaker: list[Any] | None) -> dict[str, list[Any]] | None:
    if by_speaker is None:
        return None
    first = np.array(by_speaker)
    for one in range(4):
        lost = first[:, one, one] // 3
        first[:, one, one] -= lost
        first[:, one, (one + 1) % 4] += lost
    return {"0": first.tolist(), "2": first.tolist(), "8": by_speaker, "all": by_speaker}


def audit(unit: str | None, skill: float) -> dict[str, Any]:
    """What attacks found: the more is learnt, the more leaks."""
    ratio = {"auc": 0.45 + 0.3 * skill, "auc_ci95": [0.4 + 0.3 * skill, 0.5 + 0.3 * skill]}
    loss = {"auc": 0.6, "auc_ci95": [0.5, 0.7]}  # the stronger one where little is learnt
    membership = {"likelihood_ratio": ratio, "loss_threshold": loss}
    canaries = None
    if unit in ("utterance", "speaker"):
        canaries = {"epsilon": 2 * skill, "claimed_epsilon": 10 * skill, "largest_bound": 5.03}
    gender = None if unit == "site" else {"uar": 0.5 + 0.4 * skill, "uar_ci95": [0.4 + 0.4 * skill, 0.6 + 0.4 * skill]}
    return {
        "membership": {"recordings": membership, "speakers": membership},
        "canaries": canaries,
        "gender": gender,
        "shadows": 4,
        "shadows_of": "inf",
    }


def write(
    folder: Path,
    *,
    skill: Mapping[str, float] = SKILL,
    seeds: Sequence[int] = (0,),
    strategies: Sequence[str] = ("fedavg",),
    sites: Sequence[str] = ("4",),
    audited: bool = False,
    adapts: bool = False,
    change: Mapping[str, Any] | None = None,
    **about: Any,
) -> Path:
    """Write a benchmark.

    Args:
        folder: where.
        skill: of each condition, the chance that a recording is recognised.
        seeds: of the trials.
        strategies: likewise.
        sites: likewise.
        audited: whether the first fold was attacked.
        adapts: whether the models adapt to a speaker, as ``adapting`` says.
        change: of every line.
        about: changes of ``benchmark.json``.
    """
    rows = [
        row(condition, fold, seed, strategy=strategy, sites=place, skill=right) | dict(change or {})
        for condition, right in skill.items()
        for strategy in strategies
        for place in sites
        for fold in range(3)
        for seed in seeds
    ]
    rows = [adapting(line) for line in rows] if adapts else rows
    for line in rows if audited else []:
        if line["fold"] == "kfold:3:0" and line["seed"] == seeds[0]:
            line["audit"] = audit(line["unit"], skill[line["details"]["condition"]])
    people = {s: {"gender": "female" if int(s) % 2 else "male", "language": "de"} for s in SPEAKERS}
    corpus = {
        "name": "emodb",
        "synthetic": False,
        "utterances": 576,
        "skipped": 0,
        "classes": CLASSES,
        "speakers": people,
    }
    content = {
        "settings": {"conditions": ",".join(skill), "seeds": ",".join(map(str, seeds)), "federation.rounds": 30},
        "command": COMMAND,
        "corpus": corpus,
        "environment": {"python": "3.11.2", "torch": "2.13.0", "commit": "abcdef0", "cpu": "2 cores"},
        "preset": None,
        "deviations": [],
        "reference": None,
        "trials": len(rows),
    } | about
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(content))
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rows))
    return folder

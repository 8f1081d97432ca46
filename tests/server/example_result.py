"""Results as ``result.json`` holds them, small enough to compute by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CLASSES = ["anger", "happiness", "neutral", "sadness"]
SITES = ["site-0", "site-1", "site-2", "site-3"]
# Recalls 0.8, 0.9, 1.0 and 0.7: a UAR of 0.85.
FULL = [[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 10, 0], [3, 0, 0, 7]]
# Nobody is sad: recalls 0.6, 0.9 and 0.9, a UAR of 0.8 over three classes.
NO_SADNESS = [[6, 4, 0, 0], [1, 9, 0, 0], [0, 1, 9, 0], [0, 0, 0, 0]]


SPENT = {
    "epsilon": 7.98,
    "epsilon_total": 16.25,
    "epsilon_rdp": 8.61,
    "delta": 1e-5,
    "noise_multiplier": 1.25,
    "steps": 240,
    "sample_rate": 0.25,
    "budget": 20.0,
    "budget_unit": "utterance",
    "stopped": True,
}


def privacy(**changes: Any) -> dict[str, Any]:
    """A fold's account with two sites."""
    sites = {"site-0": SPENT | {"budget": None, "stopped": False, "epsilon": 3.5}, "site-1": SPENT}
    account = {"unit": "utterance", "target_epsilon": 8.0, "max_grad_norm": 1.0, "accountant": "prv"}
    return account | {"insecure_seed": False, "sites": sites} | changes


def scores(confusion: list[list[int]], loss: float = 0.5) -> dict[str, Any]:
    """A ``test`` entry."""
    rows = list(enumerate(confusion))
    recall = {CLASSES[i]: row[i] / sum(row) if sum(row) else None for i, row in rows}
    known = [value for value in recall.values() if value is not None]
    wa = sum(row[i] for i, row in rows) / sum(map(sum, confusion))
    uar = sum(known) / len(known)
    return {"wa": wa, "uar": uar, "macro_f1": uar, "recall": recall, "confusion": confusion, "loss": loss}


def rounds(count: int, *, validation: bool) -> list[dict[str, Any]]:
    """Rounds in which the losses fall by 0.1 and the UARs rise by 0.1."""
    return [
        {
            "round": number + 1,
            "seconds": 1.5,
            "validation": {"wa": 0.3, "uar": 0.3 + number / 10, "macro_f1": 0.3, "loss": 1.2} if validation else None,
            "sites": {
                site: {
                    "examples": 20,
                    "loss": 1.4 - number / 10 + index / 100,
                    "uar": 0.2 + number / 10 if validation else None,
                }
                for index, site in enumerate(SITES)
            },
        }
        for number in range(count)
    ]


def fold(number: int, confusion: list[list[int]], *, baselines: bool = True, validation: bool = True) -> dict[str, Any]:
    """A fold of twelve speakers, ``00`` to ``11``, of which every third is held out."""
    speakers = [f"{index:02d}" for index in range(12)]
    held_out, rest = speakers[number::3], [name for index, name in enumerate(speakers) if index % 3 != number]
    local = {site: {"test": scores(NO_SADNESS)} for site in SITES}
    return {
        "fold": str(number),
        "train_speakers": rest[:4] if validation else rest,
        "validation_speakers": rest[4:] if validation else [],
        "test_speakers": held_out,
        "privacy": None,
        "chosen_round": 5,
        "test": scores(confusion),
        "baselines": {"pooled": {"test": scores(FULL)}, "local": local} if baselines else None,
        "rounds": rounds(5, validation=validation),
    }


def split(entry: dict[str, Any]) -> dict[str, Any]:
    """The ``split`` entry of a fold: its speakers dealt over the sites."""
    parts = ("train_speakers", "validation_speakers")
    train, validation = ({site: entry[part][index::4] for index, site in enumerate(SITES)} for part in parts)
    return {"fold": entry["fold"], "sites": train, "validation": validation, "test": entry["test_speakers"]}


def result(**changes: Any) -> dict[str, Any]:
    """Three folds with baselines and validation; in the second nobody is sad."""
    folds = [fold(0, FULL), fold(1, NO_SADNESS), fold(2, FULL)]
    return {
        "schema": 1,
        "command": "fedser simulate --corpus emodb --root 'my data' --out runs/a",
        "config": {"seed": 3, "data": {"normalise": "speaker"}, "federation": {"strategy": "fedavg", "rounds": 5}},
        "corpus": {
            "name": "emodb",
            "synthetic": False,
            "utterances": 110,
            "skipped": 2,
            "speakers": 12,
            "classes": CLASSES,
        },
        "folds": folds,
        "split": [split(entry) for entry in folds],
        "transductive": True,
        "summary": {
            "uar": {"mean": 0.8333, "sd": 0.0289, "ci95": [0.79, 0.87]},
            "wa": {"mean": 0.8333, "sd": 0.0289, "ci95": [0.78, 0.88]},
            "macro_f1": {"mean": 0.8333, "sd": 0.0289, "ci95": [0.77, 0.89]},
            "pooled_uar": {"mean": 0.85, "sd": 0.0, "ci95": [0.81, 0.89]},
            "local_uar": {"mean": 0.8, "sd": 0.0, "ci95": [0.75, 0.84]},
        },
        "privacy": None,
        "timing": {"features_s": 3.25, "training_s": 125.0, "overhead_s": 1.0, "total_s": 129.25},
        "environment": {"python": "3.11.2", "versions": {"torch": "2.13.0"}, "commit": "abc1234", "cpu": "2 cores"},
    } | changes


def lean_result(**changes: Any) -> dict[str, Any]:
    """One fold, without baselines, validation, interval, command or split, and normalised without test speakers."""
    entry = fold(0, NO_SADNESS, baselines=False, validation=False)
    figure = {"mean": 0.8, "sd": None, "ci95": None}
    summary = {"uar": figure, "wa": figure, "macro_f1": figure, "pooled_uar": None, "local_uar": None}
    whole = result(folds=[entry], summary=summary, config={"data": {"normalise": "global"}})
    return {key: value for key, value in whole.items() if key not in ("command", "split", "transductive")} | changes


def deployed_result(**changes: Any) -> dict[str, Any]:
    """One private fold of separate sites: counts where a simulation has names, and null for what sites keep."""
    entry = fold(0, FULL, baselines=False, validation=False)
    counted = {
        "train_speakers": {"charite": 3, "lausanne": 1},
        "validation_speakers": {"charite": 1, "lausanne": 0},
        "test_speakers": 5,
    }
    kept = dict.fromkeys((*SPENT, "delta"), None) | {"delta": 1e-5, "stopped": False}
    account = privacy(unit="speaker", sites={"charite": SPENT, "lausanne": kept})
    sites = {"examples": 20, "loss": None, "uar": None, "seconds": None, "bytes": 1000}
    entry |= counted | {"privacy": account}
    entry["rounds"] = [item | {"sites": {"charite": sites, "lausanne": sites}} for item in entry["rounds"]]
    figure = {"mean": 0.85, "sd": None, "ci95": [0.8, 0.9]}
    summary = {"uar": figure, "wa": figure, "macro_f1": figure, "pooled_uar": None, "local_uar": None}
    corpus = result()["corpus"] | {"name": "manifest", "utterances": None, "speakers": 10}
    told = {"sites": counted["train_speakers"], "validation": counted["validation_speakers"], "test": 5}
    own = {"folds": [entry], "summary": summary, "corpus": corpus, "privacy": account}
    return result(**own, split=[{"fold": "0"} | told]) | changes


def renamed(entry: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A result in which speakers, sites or classes have other names."""
    text = json.dumps(entry)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    renamed_entry: dict[str, Any] = json.loads(text)
    return renamed_entry


def stranger_result(*known: float | None) -> dict[str, Any]:
    """With what is reached after none, 2, 8 and all of a speaker's recordings; None where the mode has no such."""

    def figures(value: float | None) -> dict[str, Any] | None:
        figure = {"mean": value, "sd": 0.01, "ci95": None}
        return None if value is None else dict.fromkeys(("uar", "wa", "macro_f1"), figure)

    entry = result()
    entry["summary"] |= {"stranger": dict(zip(("0", "2", "8", "all"), map(figures, known), strict=True))}
    return entry

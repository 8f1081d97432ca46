"""The front ends of a sweep: classic features for some conditions, a public encoder for others, or one for all.

Each has features of its own. A recording that one of them cannot use is left out under every condition, so that all
are trained and tested on the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.settings import Config
from common.curation.selection import Selection
from common.data.extraction import Skipped
from common.data.preparation import prepare
from common.errors import UsageError
from common.features.cache import FeatureCache
from common.learning import saved_model
from common.progress import Display
from simulations.sweep.trials.conditions import ENCODER, Condition
from simulations.sweep.trials.trial import Sweep

PATH, PUBLIC = "encoder.path", "data.public"
Settings = dict[str, Any]


def divided(given: Mapping[str, Any], conditions: Sequence[Condition]) -> tuple[Settings, Settings]:
    """Settings of the conditions without an encoder of their own, and of those with one.

    The second are empty where no condition says ``:encoder``; then ``--encoder`` is for all. A model of public data
    goes to the conditions whose front end it has.

    Args:
        given: what the user set.
        conditions: of the sweep.

    Raises:
        UsageError: a condition says ``:encoder``, and none is named; or there is no such model of public data.
    """
    own = [condition.name for condition in conditions if condition.encoded]
    if not own:
        return dict(given), {}
    if not given.get(PATH):
        raise UsageError(f"--conditions has {own[0]}, and no encoder is named; give --{ENCODER} DIR")
    classic = {name: value for name, value in given.items() if not name.startswith(f"{ENCODER}.")}
    encoded = dict(given)
    if public := given.get(PUBLIC):
        heard = saved_model.load(Path(public).expanduser(), "--public").config.features.encoder.on
        del (classic if heard else encoded)[PUBLIC]
    return classic, encoded


def front_ends(sweep: Sweep) -> list[Config]:
    """The settings of the first trial with each front end; of a sweep whose conditions share one, the first trial's."""
    first: dict[bool, Condition] = {}
    for condition in sweep.conditions:
        first.setdefault(condition.encoded, condition)
    return [sweep.config(own, sweep.strategies[0], sweep.sites[0], sweep.seeds[0]) for own in first.values()]


def prepare_all(
    sweep: Sweep, selection: Selection, cache: FeatureCache, display: Display, *, workers: int
) -> list[Skipped]:
    """Compute, or find, the features of a corpus with each front end, and hold them in memory.

    Args:
        sweep: what is asked for.
        selection: the corpus, and what was chosen of it.
        cache: where features are kept.
        display: of the progress.
        workers: processes.

    Returns:
        The recordings that one of them, or more, cannot use.

    Raises:
        FedserError: as ``common.data.preparation.prepare``.
    """
    skipped: dict[str, Skipped] = {}
    for config in front_ends(sweep):
        for item in prepare(config, selection, cache, display, workers=workers):
            known = skipped.setdefault(item.name, item)
            skipped[item.name] = dataclasses.replace(known, alone=known.alone or item.alone)
    return list(skipped.values())

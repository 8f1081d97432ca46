"""From a configuration to the plans of its folds."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from common.config.settings import Config
from common.curation.contents import refuse_overlaps
from common.curation.selection import Selection
from common.data.extraction import Skipped
from common.errors import SplitError, UsageError
from common.splits.folds import Fold, held_out, read_emobox
from common.splits.kept_out import keep_out
from common.splits.plan import Plan
from common.splits.sites import split_sites
from common.utterance import Utterance
from server.sites.robust import check_quorum, check_rule, check_secure

log = logging.getLogger("fedser.simulation")


def plans(config: Config, selection: Selection, skipped: Sequence[Skipped], *, personal: bool = False) -> list[Plan]:
    """The plan of each fold.

    A private run's is made of the list alone, whatever can be used: who trains is cleaned at the sites, unit by unit,
    and of the held-out what their own recordings show to be unusable is left out.

    Args:
        config: of the run.
        selection: the corpus, and what was chosen of it.
        skipped: recordings that cannot be used.
        personal: keep a fifth of each training speaker's recordings out, for the sites' own models to be scored on.

    Raises:
        UsageError: a specification cannot be read.
        SplitError: these speakers cannot be split in this way.
        CorpusError: the run is private, and stretches of one file overlap that are two units'.
    """
    if config.federation.quorum < 1:
        log.warning("--quorum does nothing here: on one machine all sites answer, and each round has all of them")
    planned = _plans(config, selection, skipped)
    return [_without_a_fifth(config, plan, selection.utterances) for plan in planned] if personal else planned


def _without_a_fifth(config: Config, plan: Plan, utterances: Sequence[Utterance]) -> Plan:
    skipped = set(plan.skipped)
    usable = [u for u in utterances if u.name not in skipped]
    drawn = [u.name for site in plan.sites for u in keep_out(usable, site.train, config.seed, site.name)]
    return dataclasses.replace(plan, skipped=tuple(sorted({*plan.skipped, *drawn})), kept_out=tuple(sorted(drawn)))


def _plans(config: Config, selection: Selection, skipped: Sequence[Skipped]) -> list[Plan]:
    broken = {item.name for item in skipped}
    if not config.privacy.on:
        usable = [u for u in selection.utterances if u.name not in broken]
        return [_plan(config, selection, fold, usable, sorted(broken)) for fold in _folds(config, usable)]
    alone = {item.name for item in skipped if item.alone}
    folds = _folds(config, selection.utterances)
    trained = {speaker for fold in folds for speaker in fold.train}
    refuse_overlaps(config.privacy.protects, [u for u in selection.utterances if u.speaker in trained])
    return [_private_plan(config, selection, fold, alone) for fold in folds]


def _private_plan(config: Config, selection: Selection, fold: Fold, unusable: Collection[str]) -> Plan:
    test = set(fold.test)
    left_out = sorted({u.name for u in selection.utterances if u.speaker in test and u.name in unusable})
    return _plan(config, selection, fold, selection.utterances, left_out)


def _folds(config: Config, usable: Sequence[Utterance]) -> list[Fold]:
    if config.data.folds and config.data.held_out:
        raise UsageError("--folds and --held-out both say who is held out; give one")
    if config.data.folds:
        return [read_emobox(Path(config.data.folds), usable)]
    single = config.privacy.at_sites and config.privacy.protects.single
    return held_out(usable, config.data.held_out or default_held_out(usable), single=single)


def default_held_out(usable: Sequence[Utterance]) -> str:
    """``split`` where a manifest names test speakers, ``session:5`` for IEMOCAP and its twin, else ``kfold:5``.

    Of fewer than five speakers each is held out in turn.
    """
    if any(u.split == "test" for u in usable):
        return "split"
    if any(u.session == "5" for u in usable) and any(u.style for u in usable):
        return "session:5"
    return f"kfold:{min(5, max(2, len({u.speaker for u in usable})))}"


def _plan(
    config: Config, selection: Selection, fold: Fold, usable: Sequence[Utterance], skipped: Sequence[str]
) -> Plan:
    sites = split_sites(usable, fold, config.data.sites, config.data.validation, config.seed)
    if config.federation.min_sites > len(sites):
        raise UsageError(f"--min-sites is {config.federation.min_sites}, fold {fold.name} has {len(sites)} sites")
    check_rule(config.federation, len(sites))
    check_secure(config, len(sites))
    check_quorum(config)
    held = {speaker for site in sites for speaker in site.test}
    train = {speaker for site in sites for speaker in site.train}
    seen = {u.emotion for u in usable if u.speaker in train}
    missing = [name for name in selection.classes if name not in seen]
    if missing:
        raise SplitError(
            f"fold {fold.name}: no training speaker has {', '.join(missing)}; hold out others, choose --classes, or "
            "set nobody aside with --validation none"
        )
    return Plan(
        fold=fold.name,
        classes=tuple(selection.classes),
        test=tuple(speaker for speaker in fold.test if speaker not in held),
        sites=tuple(sites),
        skipped=tuple(skipped),
        synthetic=selection.synthetic,
    )

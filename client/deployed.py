"""A site in a deployment: it lists its own recordings and splits its own speakers; the server sends settings alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.holding import Holding
from client.site import Site
from common import protocol
from common.config.run_config import parse_run_config
from common.config.settings import Config, EncoderConfig, refuse_teacher
from common.corpora import catalogue
from common.curation import forgotten, speaker_ids
from common.curation.selection import Classes, list_corpus, merged, refuse_outside, select
from common.data.extraction import Found, Recording, extract_all, extract_each
from common.data.places import take_places
from common.errors import CorpusError, UsageError
from common.features.cache import FeatureCache
from common.features.encoded import refuse_other_encoder
from common.spelling import meant
from common.splits.folds import TEST, marked
from common.splits.sites import set_aside
from common.utterance import Utterance

log = logging.getLogger("fedser.client")

_open: dict[tuple[str, str], Site] = {}


def open_deployed(run_config: Mapping[str, object], node_config: Mapping[str, object]) -> Site:
    """The site that a node is, as its own process describes it; loaded at the first message of a process.

    Raises:
        UsageError: the node config lacks a place.
        CorpusError: there is no such corpus at the site, or its speakers are spelled alike and its kit says nothing.
        FedserError: nothing to train on.
    """
    run, node = (json.dumps(dict(values), sort_keys=True, default=str) for values in (run_config, node_config))
    if any(other != run for other, _ in _open):
        _open.clear()
    if (run, node) not in _open:
        _open[run, node] = _load(_Node(node_config), parse_run_config(run_config))
    return _open[run, node]


class _Node:
    """What the site's own process said of the site."""

    def __init__(self, node_config: Mapping[str, object]) -> None:
        self._values = node_config
        self.name = self._text(protocol.NODE_SITE)
        self.ledger = Path(self._text(protocol.NODE_LEDGER))
        self.state = Path(self._text(protocol.NODE_STATE))
        self.cache = FeatureCache(Path(self._text(protocol.NODE_CACHE)))
        self.budget = float(str(node_config.get(protocol.NODE_BUDGET) or math.inf))
        self.max_epsilon = float(str(node_config.get(protocol.NODE_MAX_EPSILON) or math.inf))
        self.budget_unit = str(node_config.get(protocol.NODE_BUDGET_UNIT) or "")
        self.report_epsilon = node_config.get(protocol.NODE_REPORT_EPSILON) is True
        self.one_by_one = node_config.get(protocol.NODE_TEST_SPEAKERS) is True
        self.folder = str(node_config.get(protocol.NODE_DATA) or "")
        withdrawn = str(node_config.get(protocol.NODE_FORGOTTEN) or "")
        self.forgotten = frozenset(forgotten.read(Path(withdrawn))) if withdrawn else frozenset()

    def _text(self, name: str) -> str:
        if not (value := str(self._values.get(name) or "")):
            raise UsageError(
                f"the node config has no {name!r}: start the site with fedser site run, or fedser site node"
            )
        return value

    def _encoder(self, own: EncoderConfig) -> str:
        """Where the run's encoder lies here, whatever the run says of places; empty where the run has none."""
        if not own.on:
            return ""
        path = str(self._values.get(protocol.NODE_ENCODER) or "")
        if not path:
            raise UsageError(
                f"the run has a public encoder in front, of SHA-256 {own.sha256}, and site.toml names none; put its "
                "folder below the recordings' folder and name it: encoder, in [data]"
            )
        refuse_other_encoder(own, path)
        return path

    def settings(self, config: Config) -> Config:
        """The run's settings with the site's own corpus and budget.

        Raises:
            UsageError: they name a teacher.
        """
        refuse_teacher(config)
        values = {
            "data.corpus": self._text(protocol.NODE_CORPUS),
            "data.root": self._text(protocol.NODE_ROOT),
            "data.label_map": str(self._values.get(protocol.NODE_LABEL_MAP) or ""),
            "data.speaker_ids": str(self._values.get(protocol.NODE_SPEAKER_IDS) or ""),
            "encoder.path": self._encoder(config.features.encoder),
            "data.outside_root": "true",  # of the list's folder; none outside the site's recordings is read
            "data.folds": "",
            "data.held_out": "",
        }
        if config.privacy.at_sites:
            values["privacy.budget"] = str(min(config.privacy.budget, self.budget))
            values["data.strict"] = "false"  # that the site fails would tell that one of its recordings is broken
        return config.with_values(values)


def _load(node: _Node, config: Config) -> Site:
    config = node.settings(config)
    names = config.data.classes
    if not names:
        raise UsageError("the run names no classes (data.classes); the coordinator's fedser federation run does")
    selection = list_corpus(dataclasses.replace(config.data, classes=()))
    if node.folder:
        place = Path(node.folder)
        refuse_outside(selection.listed, place.parent if place.is_file() else place)
    speaker_ids.refuse_unsaid(selection.alike)
    classes = merged(names, catalogue.default_classes(config.data.corpus, selection.root))
    there = {u.speaker for u in selection.listed}
    if unknown := [speaker for speaker in node.forgotten if meant(speaker, there) not in there]:
        log.warning("%d of the %d forgotten speakers have no recording here", len(unknown), len(node.forgotten))
    chosen = select(selection.listed, classes, config.data.style or None)
    listed = speaker_ids.without(chosen, node.forgotten, distinct=config.data.speaker_ids == "distinct")
    parts = (_by_unit if config.privacy.at_sites else _by_speaker)(listed, config, node)
    holding = Holding(
        name=node.name,
        classes=tuple(names),
        **parts,
        ledger=node.ledger,
        state=node.state,
        labels=_digest(classes, config.data.label_map),
        max_epsilon=node.max_epsilon,
        budget_unit=node.budget_unit,
        report_epsilon=node.report_epsilon,
        deployed=True,
        one_by_one=node.one_by_one,
    )
    return Site(config, holding)


def _by_speaker(listed: Sequence[Utterance], config: Config, node: _Node) -> dict[str, Any]:
    """Who trains, validates and is held out, of all recordings that can be used."""
    usable = _extract(listed, config, node.cache)
    test = marked([r.utterance for r in usable])
    rest = sorted({r.utterance.speaker for r in usable} - test)
    aside = set(set_aside(rest, config.data.validation, config.seed, node.name))
    return {
        "train": [r for r in usable if r.utterance.speaker not in test | aside],
        "validation": [r for r in usable if r.utterance.speaker in aside],
        "test": [r for r in usable if r.utterance.speaker in test],
    }


def _by_unit(listed: Sequence[Utterance], config: Config, node: _Node) -> dict[str, Any]:
    """The units of a private run, each of which is cleaned alone; of held-out recordings none is looked at.

    That one can't be used ends no such run, strict or not: it would tell of that one.
    """
    unit = config.privacy.protects
    test = marked(listed, single=unit.single)

    def each(utterances: Sequence[Utterance]) -> Sequence[Found]:
        longest = config.privacy.longest
        return extract_each(utterances, config.features, config.augment, node.cache, workers=0, seconds=longest)

    places = take_places(unit, [u for u in listed if u.speaker not in test], each, config.features)
    for item in places.unused:
        log.warning("%s: %s; it contributes nothing", item.name, item.detail)
    tested = sum(u.split == TEST or u.speaker in test for u in listed)
    return {"train": places.recordings, "validation": [], "test": [], "places": places, "tested": tested}


def _extract(utterances: Sequence[Utterance], config: Config, cache: FeatureCache) -> list[Recording]:
    recordings, broken = extract_all(utterances, config.features, config.augment, cache, workers=0)
    for item in broken:
        log.warning("%s: %s; skipped", item.name, item.detail)
    if broken and config.data.strict:
        raise CorpusError(f"--strict: {len(broken)} recordings cannot be used, the first is {broken[0].name}")
    return recordings


def _digest(classes: Classes, label_map: str) -> str:
    """Of how labels become classes: equal where two sites mean the same."""
    renamed = catalogue.read_label_map(Path(label_map)) if label_map else {}
    text = json.dumps([{name: sorted(labels) for name, labels in classes.items()}, renamed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

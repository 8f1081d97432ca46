"""From the lines of a benchmark to its series: the trials that differ in fold and seed alone, as counts by speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.config.units import rank
from common.errors import UsageError
from common.learning.metrics import Confusion
from server.reporting.formatting import natural
from simulations.sweep.trials import conditions, results
from simulations.sweep.trials.conditions import Condition
from simulations.sweep.trials.results import Row

Key = tuple[str, str, str]  # condition, strategy, sites
CLASSIC = "classic"


@dataclass(frozen=True, kw_only=True)
class Series:
    """The trials of one condition, strategy and sites.

    Attributes:
        condition: ``inf`` or e.g. ``utterance:8`` or ``utterance:8:encoder``.
        strategy: of the federation.
        sites: as ``--sites`` takes it.
        rows: of all its folds and seeds.
    """

    condition: str
    strategy: str
    sites: str
    rows: Sequence[Row]

    @cached_property
    def asked(self) -> Condition:
        """The condition, read."""
        return conditions.read(self.condition)

    @property
    def unit(self) -> str | None:
        """Whom it protects; None for nobody."""
        return self.asked.unit

    @property
    def epsilon(self) -> float:
        """The target; inf for no privacy."""
        return self.asked.epsilon

    @property
    def front(self) -> str:
        """What its models hear through, where conditions differ in it: ``encoder``, or ``classic`` features."""
        return conditions.ENCODER if self.asked.encoded else CLASSIC

    @property
    def encoder(self) -> Mapping[str, Any] | None:
        """What is known of the encoder in front, as of ``server.records.front``; None where there is none."""
        return self.rows[0].get("encoder")

    @property
    def adapts(self) -> bool:
        """Whether its models adapt to a speaker, so that it matters how many of the speaker's recordings are known."""
        return all(row["config"]["data.normalise"] in ("running", "speaker") for row in self.rows)

    @cached_property
    def seeds(self) -> list[int]:
        """In order."""
        return sorted({row["seed"] for row in self.rows})

    @cached_property
    def folds(self) -> list[str]:
        """Those that every seed has, in order: a benchmark that isn't finished lacks some."""
        by_seed = [{row["fold"] for row in self.rows if row["seed"] == seed} for seed in self.seeds]
        return sorted(set.intersection(*by_seed), key=natural)

    def counts(
        self, model: str = "by_speaker", *, folds: Sequence[str] | None = None, seeds: Sequence[int] | None = None
    ) -> list[Confusion]:
        """For each fold ``(models, speakers, classes, classes)``, a model a seed; of local models one a site and seed.

        Args:
            model: ``by_speaker`` for the federated, ``pooled`` or ``local``.
            folds: by default all that every seed has.
            seeds: by default all.

        Returns:
            Nothing where such a model was not trained.
        """
        join = np.concatenate if model == "local" else np.stack
        return self._counts(lambda details: details[model], folds, seeds, join)

    def strangers(self, model: str, heard: str) -> list[Confusion]:
        """As ``counts``, of speakers of whom so much was heard before; the draws of each are counted together.

        Args:
            model: ``strangers`` for the federated, or ``pooled_strangers``.
            heard: by the keys of ``test.stranger``.

        Returns:
            Nothing where there is none, as in lines that were written before there were any.
        """
        return self._counts(lambda details: (details.get(model) or {}).get(heard))

    def _counts(
        self,
        of: Callable[[Mapping[str, Any]], Any],
        folds: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        join: Callable[[list[Confusion]], Confusion] = np.stack,
    ) -> list[Confusion]:
        found = []
        for fold in self.folds if folds is None else folds:
            own = [of(self._row(fold, seed)["details"]) for seed in self.seeds if seeds is None or seed in seeds]
            if any(counts is None for counts in own):
                return []
            found.append(join([np.array(counts, dtype=np.int64) for counts in own]))
        return found

    def _row(self, fold: str, seed: int) -> Row:
        return next(row for row in self.rows if row["fold"] == fold and row["seed"] == seed)

    def tested(self, folds: Sequence[str]) -> list[list[str]]:
        """The test speakers of each of these folds, the same for every seed."""
        first = (next(row for row in self.rows if row["fold"] == fold) for fold in folds)
        return [list(row["details"]["speakers"]) for row in first]

    def speakers(self) -> dict[str, Confusion]:
        """Each test speaker's counts, ``(seeds, classes, classes)``, of all folds that test this speaker."""
        found: dict[str, Confusion] = {}
        for names, counts in zip(self.tested(self.folds), self.counts(), strict=True):
            for index, name in enumerate(names):
                found[name] = counts[:, index] + found.get(name, 0)
        return found


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark's folder, read.

    Attributes:
        path: of the folder.
        about: what ``benchmark.json`` says.
        rows: its lines.
    """

    path: Path
    about: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def classes(self) -> list[str]:
        """In the order that numbers them."""
        return list(self.about["corpus"]["classes"])

    @cached_property
    def begun(self) -> list[Series]:
        """All that have a trial; no privacy first, then unit by unit, the largest ε first."""
        by_key: dict[Key, list[Row]] = {}
        for row in self.rows:
            details = row["details"]
            by_key.setdefault((details["condition"], row["strategy"], details["sites"]), []).append(row)
        made = [Series(condition=c, strategy=t, sites=s, rows=rows) for (c, t, s), rows in by_key.items()]
        return sorted(made, key=_rank)

    @cached_property
    def series(self) -> list[Series]:
        """Those that have a fold of every seed, which the figures need."""
        return [one for one in self.begun if one.folds]

    @property
    def fronts(self) -> list[str]:
        """The front ends in which conditions differ; one where they don't."""
        return sorted({one.front for one in self.series})

    def plain(self, like: Series) -> Series | None:
        """The series without privacy of the same front end, strategy and sites."""
        return next((s for s in self.series if not s.unit and _kind(s) == _kind(like)), None)

    def classic(self, like: Series) -> Series | None:
        """The same with the classic features, of a series that has an encoder of its own."""
        private = like.unit, like.epsilon, like.asked.sharing
        there = (s for s in self.series if (s.unit, s.epsilon, s.asked.sharing) == private and s.front == CLASSIC)
        alike = (s for s in there if (s.strategy, s.sites) == (like.strategy, like.sites))
        return None if like.front == CLASSIC else next(alike, None)

    def distinction(self, series: Series) -> list[str]:
        """What tells a series from others that are as private: front end, strategy, sites, where there are several."""
        parts = {"front": series.front, "strategy": series.strategy, "sites": f"sites {series.sites}"}
        return [text for part, text in parts.items() if len({getattr(s, part) for s in self.series}) > 1]

    def groups(self, attribute: str) -> dict[str, list[str]]:
        """The test speakers by ``gender`` or ``language``; where all are alike or none is known there is no group."""
        people = self.about["corpus"]["speakers"]
        tested = sorted({speaker for row in self.rows for speaker in row["details"]["speakers"]}, key=natural)
        found: dict[str, list[str]] = {}
        for speaker in tested:
            if value := people.get(speaker, {}).get(attribute):
                found.setdefault(value, []).append(speaker)
        return dict(sorted(found.items())) if len(found) > 1 else {}


def _rank(series: Series) -> tuple[Any, ...]:
    unit = -1 if series.unit is None else rank(series.unit)
    return unit, -series.epsilon, series.asked.sharing, series.front, series.strategy, natural(series.sites)


def _kind(series: Series) -> tuple[str, str, str]:
    return series.front, series.strategy, series.sites


def read(path: Path) -> Benchmark:
    """Read a benchmark's folder, finished or not.

    Raises:
        UsageError: there is none, or it has no trial yet.
    """
    about, rows = results.read_about(path), results.read(path)
    if not rows:
        raise UsageError(f"{path} has no finished trial yet; give the command of fedser benchmark again")
    return Benchmark(path=path, about=about, rows=rows)


def shared_folds(series: Iterable[Series]) -> list[str]:
    """The folds that all of these have, in order."""
    return sorted(set.intersection(*(set(one.folds) for one in series)), key=natural)

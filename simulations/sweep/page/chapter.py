"""One benchmark as a chapter of the page."""

from __future__ import annotations

from collections.abc import Sequence

from common.config.units import UNITS
from server.records import front
from server.reporting import guarantee
from server.reporting.formatting import CORPORA, score
from server.reporting.pages import Tile
from simulations.sweep.page.adaptation import adaptation
from simulations.sweep.page.effort import effort, repeat
from simulations.sweep.page.fairness import ATTRIBUTES, fairness
from simulations.sweep.page.frontier import frontier
from simulations.sweep.page.layout import Chapter
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.effects import SeriesResult
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.publishing import publishing
from simulations.sweep.statistics.sentences import meaning, name
from simulations.sweep.statistics.series import Benchmark
from simulations.sweep.trials import protocols

TILES = 7


def chapter(benchmark: Benchmark, prefix: str = "") -> Chapter:
    """Work out a benchmark's chapter.

    Args:
        benchmark: with one trial or more.
        prefix: of its ids, where a page has several.
    """
    results = effects.results(benchmark)
    differences = effects.comparisons(benchmark)
    groups = {attribute: effects.groups(benchmark, attribute) for attribute in ATTRIBUTES}
    sections = [
        frontier(benchmark, results, differences, prefix),
        *adaptation(benchmark, prefix),
        fairness(benchmark, groups, prefix),
        effort(benchmark, prefix),
        repeat(benchmark, prefix),
    ]
    corpus = benchmark.about["corpus"]
    return Chapter(
        key=prefix,
        heading=CORPORA.get(corpus["name"], corpus["name"]),
        tiles=_tiles(benchmark, results),
        meaning=meaning(benchmark, results, differences, groups["gender"]),
        notes=notes(benchmark),
        synthetic=corpus["synthetic"],
        insecure=any(row["config"]["privacy.insecure_seed"] for row in benchmark.rows if row["unit"]),
        sections=sections,
        promises=_promises(benchmark),
        command=benchmark.about["command"],
    )


def _promises(benchmark: Benchmark) -> dict[str, dict[str, str]]:
    """What is promised with each unit, and with shared noise."""
    told = {}
    for unit in UNITS:
        own = [series for series in benchmark.series if series.unit == unit]
        if any(not series.asked.sharing for series in own):
            told[unit] = guarantee.promise(unit)
        if sharing := next((series.rows[0] for series in own if series.asked.sharing), None):
            honest, sites = sharing["config"]["privacy.honest"], len(sharing["details"]["privacy"])
            told[f"{unit}, shared noise"] = guarantee.promise_shared(unit, int(honest), sites)
    return told


def _tiles(benchmark: Benchmark, results: Sequence[SeriesResult]) -> list[Tile]:
    shown = [Tile.of(name(benchmark, own.series), own.uar, main=not own.series.unit) for own in results[:TILES]]
    pooled = next((own for own in results if own.pooled and not own.series.unit), None)
    if pooled and pooled.pooled:
        which = f", {pooled.series.front}" if len(benchmark.fronts) > 1 else ""
        shown.append(Tile.of(f"pooled, no privacy{which}", pooled.pooled))
    if reference := benchmark.about["reference"]:
        shown.append(Tile.of("unrestricted, no privacy", Estimate(mean=reference["uar"], ci95=reference["ci95"])))
    classes = len(benchmark.classes)
    return [*shown, Tile(name="chance", value=score(1 / classes), note=f"guessing among {classes}")]


def _encoders(benchmark: Benchmark) -> list[str]:
    """What is known of the encoder in front."""
    heard = [series for series in benchmark.begun if series.encoder]
    told = {front.said(series.encoder, series.rows[0]["config"]) for series in heard}
    which = "conditions named encoder" if len(heard) < len(benchmark.begun) else "all conditions"
    return [f"About the models of {which}. {text}" for text in sorted(told)]


def notes(benchmark: Benchmark) -> list[str]:
    """What a reader must know before the figures, a sentence or two each."""
    about, rows = benchmark.about, benchmark.rows
    notes = [f"{text}: its figures are not the protocol's." for text in about["deviations"]]
    notes += protocols.notes_of(about["preset"])
    speakers = len({speaker for row in rows for speaker in row["details"]["speakers"]})
    if speakers < 20:
        notes.append(
            f"There are {speakers} test speakers. Below 20 the intervals are too narrow, and below 5 there are none."
        )
    wanted = about["trials"]
    if len(rows) < wanted:
        notes.append(f"{len(rows)} of {wanted} trials are finished: folds that a seed lacks are left out.")
    notes += _encoders(benchmark)
    commits = {str(row["commit"])[:9] for row in rows}
    if len(commits) > 1:
        notes.append(f"The trials are of several commits of fedser: {', '.join(sorted(commits))}.")
    if about["settings"].get("tune"):
        notes.append(
            f"Learning rate and clipping bound were chosen for each trial among {about['settings']['tune']} candidates "
            "by a random search that is the same for every condition, on validation speakers. What that choice tells "
            "of them is not accounted: ε is of the final training alone."
        )
    return [*notes, *([together] if (together := publishing(benchmark)) else [])]

"""``report.html``: a result as one page that needs nothing but a browser, no network and no script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.config.units import UNITS
from common.storage import atomic
from server.reporting import figures, findings, formatting, guarantee, pages, tables
from server.reporting.drawing import Illustration
from server.reporting.pages import Table, Tile, listing
from server.reporting.run_record import Result

TILES = {"0": "first recording", "8": "after 8", "all": "all known"}


def write_report(result: Result, path: Path) -> None:
    """Write a result as one self-contained page; the same result gives the same bytes.

    Args:
        result: of a run.
        path: the HTML file to write; what hostile sites were found to do is read from beside it, where it was audited.
    """
    environment = pages.html(score=formatting.score, joined=findings.joined)
    found = findings.hostile(path.parent)
    hostile = tables.hostile(found) if found else None
    page = environment.get_template("report.html.j2").render(_content(result), hostile=hostile)
    atomic.write(path, page)


def _content(result: Result) -> dict[str, Any]:
    """What the template is filled with."""
    return findings.overview(result) | {
        "result": result,
        "started": guarantee.started(result),
        "headline": _tiles(result),
        "heard": {findings.HEARD[name]: figure for name, figure in findings.heard(result).items()},
        "scores": [_comparison(result), _recall(result), *_confusions(result)] if result.summary else [],
        "noise": [_noise(result)] if findings.noise(result) else [],
        "personal": tables.personal(result),
        "training": [] if result.privacy else [_rounds(result), _sites(result)],
        "folds": tables.folds(result),
        "speakers": tables.speakers(result),
        "lists": _lists(result),
        "averaged": bool(result.privacy and formatting.flat(result.config).get("privacy.average", "0.0") != "0.0"),
        "protected": UNITS[result.privacy.unit].noun if result.privacy else "",
        "promise": guarantee.promised(result.privacy) if result.privacy else {},
        "untold": findings.untold(result.privacy) if result.privacy else [],
        "together": findings.together(result.privacy) if result.privacy else "",
        "spent": guarantee.spent(result.privacy) if result.privacy else None,
    }


def _tiles(result: Result) -> list[Tile]:
    chance, guess = formatting.score(findings.chance(result)), f"guessing among {len(result.corpus.classes)}"
    return [*_scores(result), Tile(name="Chance", value=chance, note=guess)]


def _scores(result: Result) -> list[Tile]:
    """On top what who takes the model away gets of a stranger's recording, then what is reached with more of them."""
    summary = result.summary
    if summary is None:
        return [Tile(name="Federated UAR", value="not scored", note="nobody may be asked", main=True)]
    heard = findings.heard(result)
    own = {f"Federated UAR, {TILES[name]}": figure for name, figure in heard.items() if name in TILES}
    own = own or {"Federated UAR": summary.uar}
    others = {"Pooled UAR": summary.pooled_uar, "Each site alone, UAR": summary.local_uar}
    shown = [*own.items(), *((name, figure) for name, figure in others.items() if figure)]
    return [Tile.of(name, figure, main=place == 0) for place, (name, figure) in enumerate(shown)]


def _lists(result: Result) -> dict[str, Table]:
    times = {"Features": "features_s", "Training": "training_s", "Overhead": "overhead_s", "In all": "total_s"}
    timing = {name: formatting.duration(getattr(result.timing, key)) for name, key in times.items()}
    return {
        "timing": listing("Time taken", timing, ("Step", "Time")),
        "environment": listing("Machine and versions", formatting.flat(result.environment), ("What", "Value")),
        "settings": listing("Every setting of the run", formatting.flat(result.config)),
        "problems": tables.problems(result),
    }


def _comparison(result: Result) -> Illustration:
    bars = {name: (figure, [get(fold) for fold in result.folds]) for name, figure, get in findings.models(result)}
    title = "UAR: " + ", ".join(f"{name} {formatting.score(figure.mean)}" for name, (figure, _) in bars.items())
    caption = f"UAR on held-out speakers{_counted(result)}. The dashed line is guessing." + _rings(result)
    if result.summary and result.summary.uar.ci95:
        caption += " The whiskers are 95 % intervals."
    if findings.is_counted(result):
        caption += " Where recordings stay at separate sites there is no pooled model to compare it with."
    elif len(bars) == 1:
        caption += " The pooled and the local models were not trained; --baselines trains them."
    return Illustration(
        key="comparison",
        heading="Federated, pooled, and each site alone" if len(bars) > 1 else "The federated model",
        title=title,
        caption=caption,
        drawing=figures.comparison(bars, findings.chance(result)),
        table=tables.comparison(result),
    )


def _counted(result: Result) -> str:
    """What was heard of the speakers, behind a comma; the tile on top may be of another condition."""
    known = findings.counted_as(result)
    return f", {known}" if known else ""


def _rings(result: Result) -> str:
    return " A ring is a fold." if len(result.folds) > 1 else ""


def _recall(result: Result) -> Illustration:
    together = findings.recall(result)
    folds = {name: [fold.test.recall.get(name) if fold.test else None for fold in result.folds] for name in together}
    title = "Recall: " + ", ".join(f"{name} {formatting.score(value, 2)}" for name, value in together.items())
    return Illustration(
        key="recall",
        heading="Each emotion's recall",
        title=title,
        caption=f"The share of each emotion's test recordings that the federated model recognised{_counted(result)}."
        + _rings(result),
        drawing=figures.recalls({name: (value, folds[name]) for name, value in together.items()}),
        table=tables.recalls(result),
    )


def _confusions(result: Result) -> list[Illustration]:
    """What a stranger's first recordings are taken for, where that is another thing, and the counts of the test."""
    own = _confusion(result, "confusion", findings.confusion(result), findings.counted_as(result))
    first = findings.confusion_first(result)
    return [_confusion(result, "confusion-first", first, findings.HEARD["0"]), own] if first else [own]


def _confusion(result: Result, key: str, counts: list[list[int]], heard: str) -> Illustration:
    known, behind = (f", {heard}", f": {heard}") if heard else ("", "")
    return Illustration(
        key=key,
        heading=f"What is taken for what{behind}",
        title=f"Confusion matrix of the federated model on the held-out recordings{known}",
        caption=f"The share of each row, and the number of recordings{known}. Right answers lie on the diagonal.",
        drawing=figures.confusion(result.corpus.classes, counts),
        table=tables.confusion(result.corpus.classes, counts, heard),
    )


def _noise(result: Result) -> Illustration:
    curves = findings.noise(result)
    levels = list(map(formatting.noise_level, next(iter(curves.values()))))
    told = (f"{kind} {formatting.score(curve['10'])}" for kind, curve in curves.items() if "10" in curve)
    return Illustration(
        key="noise",
        heading="In noise",
        title=f"UAR by signal-to-noise ratio; at 10 dB {', '.join(told)}",
        caption="UAR of a stranger's first recording in pink noise, in the babble of made-up voices, and in rooms that "
        "echo, with pink noise. The voices and rooms are others than those of training.",
        drawing=figures.uar_by_level(
            {kind: list(own.values()) for kind, own in curves.items()}, levels, findings.chance(result)
        ),
        table=tables.noise(result),
    )


def _rounds(result: Result) -> Illustration:
    curves, label = findings.validation_curves(result), "Validation UAR"
    line = ("chance", findings.chance(result)) if curves else None
    title = "UAR on the validation speakers by round"
    caption = "The global model on the sites' validation speakers after each round"
    if not curves:
        curves, label = findings.loss_curves(result), "Training loss"
        title = "Training loss by round"
        caption = "There were no validation speakers; this is the training loss, the mean over the sites"
    return Illustration(
        key="rounds",
        heading=title,
        title=title,
        caption=f"{caption}{', a line a fold' if len(result.folds) > 1 else ''}.",
        drawing=figures.curves_by_round({label: curves}, line),
        table=tables.curves(title, curves),
    )


def _all_sites(result: Result) -> Illustration:
    """The training loss where no site tells its own."""
    title, curves = "Training loss by round", findings.loss_curves(result)
    return Illustration(
        key="sites",
        heading=title,
        title=title,
        caption="Over all sites' recordings; no site tells its own, which the masks hide with its updates.",
        drawing=figures.curves_by_round({"Training loss": curves}),
        table=tables.curves(title, curves),
    )


def _sites(result: Result) -> Illustration:
    if findings.is_masked(result):
        return _all_sites(result)
    losses, uars = findings.site_curves(result, "loss"), findings.site_curves(result, "uar")
    panels = {"Training loss": losses}
    validated = any(findings.mean(curve) is not None for curve in uars.values())
    if validated:
        panels["Validation UAR"] = uars
    title = f"{'Training loss and validation UAR' if validated else 'Training loss'} of each site by round"
    caption = "Each site's training" + (", and the global model on the site's validation speakers" if validated else "")
    folds = ", the mean over the folds in which it took part" if len(result.folds) > 1 else ""
    joined = {f"{site}: {label}": curve for label, curves in panels.items() for site, curve in curves.items()}
    return Illustration(
        key="sites",
        heading=title,
        title=title,
        caption=f"{caption}{folds}.",
        drawing=figures.curves_by_round(panels),
        table=tables.curves(title, joined),
    )

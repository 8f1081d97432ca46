"""``report.html``: a result as one page that needs nothing but a browser, no network and no script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.config.units import UNITS
from server.reporting import figures, findings, formatting, guarantee, pages, tables
from server.reporting.run_record import Result
from server.reporting.tables import Table


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure of the page.

    Attributes:
        key: its id in the page, and the prefix of the ids in its drawing.
        heading: what stands above it.
        title: what a screen reader says instead of the drawing.
        caption: how to read it.
        svg: the drawing.
        table: its numbers.
    """

    key: str
    heading: str
    title: str
    caption: str
    svg: Markup
    table: Table


def write_report(result: Result, path: Path) -> None:
    """Write a result as one self-contained page; the same result gives the same bytes.

    Args:
        result: of a run.
        path: the HTML file to write.
    """
    environment = pages.html(
        score=formatting.score, interval=formatting.interval, duration=formatting.duration, joined=findings.joined
    )
    page = environment.get_template("report.html.j2").render(_content(result))
    path.write_text(page, encoding="utf-8", newline="\n")


def _content(result: Result) -> dict[str, Any]:
    """What the template is filled with."""
    return findings.overview(result) | {
        "result": result,
        "scores": [_comparison(result), _recall(result), _confusion(result)] if result.summary else [],
        "training": [] if result.privacy else [_rounds(result), _sites(result)],
        "folds": tables.folds(result),
        "speakers": tables.speakers(result),
        "lists": _lists(result),
        "averaged": bool(result.privacy and formatting.flat(result.config).get("privacy.average", "0.0") != "0.0"),
        "protected": UNITS[result.privacy.unit].noun if result.privacy else "",
        "promise": guarantee.promise(result.privacy.unit) if result.privacy else {},
        "untold": findings.untold(result.privacy) if result.privacy else [],
        "spent": guarantee.spent(result.privacy) if result.privacy else None,
    }


def _lists(result: Result) -> dict[str, Table]:
    times = {"Features": "features_s", "Training": "training_s", "Overhead": "overhead_s", "In all": "total_s"}
    timing = {name: formatting.duration(getattr(result.timing, key)) for name, key in times.items()}
    return {
        "timing": tables.listing("Time taken", timing, ("Step", "Time")),
        "environment": tables.listing("Machine and versions", formatting.flat(result.environment), ("What", "Value")),
        "settings": tables.listing("Every setting of the run", formatting.flat(result.config)),
        "problems": tables.problems(result),
    }


def _comparison(result: Result) -> Illustration:
    bars = {name: (figure, [get(fold) for fold in result.folds]) for name, figure, get in findings.models(result)}
    title = "UAR: " + ", ".join(f"{name} {formatting.score(figure.mean)}" for name, (figure, _) in bars.items())
    caption = "UAR on held-out speakers. The dashed line is guessing." + _rings(result)
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
        svg=figures.comparison(bars, findings.chance(result), title),
        table=tables.comparison(result),
    )


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
        caption="The share of each emotion's test recordings that the federated model recognised." + _rings(result),
        svg=figures.recalls({name: (value, folds[name]) for name, value in together.items()}, title),
        table=tables.recalls(result),
    )


def _confusion(result: Result) -> Illustration:
    title = "Confusion matrix of the federated model on the held-out recordings"
    return Illustration(
        key="confusion",
        heading="What is taken for what",
        title=title,
        caption="The share of each row, and the number of recordings. Right answers lie on the diagonal.",
        svg=figures.confusion(result.corpus.classes, findings.confusion(result), title),
        table=tables.confusion(result),
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
        svg=figures.curves_by_round("rounds", {label: curves}, title, line),
        table=tables.curves(title, curves),
    )


def _sites(result: Result) -> Illustration:
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
        svg=figures.curves_by_round("sites", panels, title),
        table=tables.curves(title, joined),
    )

"""What a finished run leaves and says, simulated or deployed: result, model, card, report, scalars, a table."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from common.corpora import catalogue
from common.progress import Display
from common.storage import atomic
from server.reporting.card import write_card
from server.reporting.findings import NOT_SCORED, claim, together
from server.reporting.report import write_report
from server.reporting.run_record import Result, Summary
from server.reporting.scalars import write_scalars


def leave(whole: Result, out: Path, model: Path) -> None:
    """Write everything that a run leaves in its folder beside its folds.

    Args:
        whole: the run's result.
        out: the run's folder.
        model: the ``model.safetensors`` that is the run's, there or elsewhere.
    """
    module = catalogue.CORPORA[whole.corpus.name]
    atomic.write(out / "result.json", json.dumps(whole.as_json(), indent=1), durable=True)
    if model != out / "model.safetensors":
        atomic.write(out / "model.safetensors", model.read_bytes())
    write_card(whole, out / "MODEL_CARD.md", licence=module.LICENCE, citation=module.cite())
    write_report(whole, out / "report.html")
    write_scalars(out / "tensorboard", whole.folds)


def tell(whole: Result, out: Path, display: Display) -> None:
    """Print the figures in a table, and where the rest lies."""
    if whole.summary is None:
        display.say(NOT_SCORED)
    else:
        _tell_scores(whole, whole.summary, display)
    if whole.privacy:
        display.say(f"Private for each {whole.privacy.unit}, {claim(whole.privacy)}. {together(whole.privacy)}".strip())
    display.say(f"{out / 'report.html'}: the report; result.json, model.safetensors, MODEL_CARD.md lie beside it")


def _tell_scores(whole: Result, summary: Summary, display: Display) -> None:
    table = Table(title="Held-out speakers" + (" (synthetic speech)" if whole.corpus.synthetic else ""))
    for heading in ("", "mean over folds", "95 % interval"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"UAR": "uar", "WA": "wa", "macro-F1": "macro_f1", "pooled UAR": "pooled_uar", "local UAR": "local_uar"}
    for label, key in rows.items():
        figure = getattr(summary, key)
        if figure:
            interval = figure.ci95
            between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"
            table.add_row(label, f"{figure.mean:.3f}", between)
    display.console.print(table)
